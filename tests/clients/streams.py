"""Goal: bodies stream in both directions. Method: files, buffers and generators put; bodies read in pieces, lines, ranges."""

import io
import tempfile

from common import client, data, same

s3 = client()
s3.create_bucket(Bucket="streams")

for length in (0, 1, 70_000, 12 << 20):
    body = data(length)
    # Over TLS also an empty body is framed, and so asked for.
    asked = length > 0 or s3.meta.endpoint_url.startswith("https:")
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.seek(0)
        put = s3.put_object(Bucket="streams", Key="file", Body=file, Metadata={"length": str(length)})
    # A body that was not asked for by `100 Continue` must not leave the connection in doubt.
    ends = put["ResponseMetadata"]["HTTPHeaders"].get("connection") == "close"
    assert ends != asked, put
    got = s3.get_object(Bucket="streams", Key="file")
    assert got["ContentLength"] == length and got["Metadata"] == {"length": str(length)}, got
    same(b"".join(got["Body"].iter_chunks(100_000)), body, "a file put, read in pieces")
    assert got["LastModified"].tzinfo is not None

body = data(2 << 20)
s3.put_object(Bucket="streams", Key="bytes", Body=body)
for start, end in ((0, 1), (65_535, 65_537), (1, 2 << 20), (1_000_000, 1_500_000)):
    got = s3.get_object(Bucket="streams", Key="bytes", Range=f"bytes={start}-{end - 1}")
    same(got["Body"].read(), body[start:end], f"range {start}..{end}")

lines = b"".join(b"line %d\n" % number for number in range(100_000))
s3.put_object(Bucket="streams", Key="lines", Body=io.BytesIO(lines), ContentType="text/plain")
got = s3.get_object(Bucket="streams", Key="lines")
same(b"\n".join(got["Body"].iter_lines()) + b"\n", lines, "lines")


class Unseekable(io.RawIOBase):
    """A pipe: it can be read once, and nobody knows how much is in it."""

    def __init__(self, content):
        self.rest = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.rest.readinto(buffer)


body = data((20 << 20) + 7)
s3.upload_fileobj(Unseekable(body), "streams", "pipe")
out = io.BytesIO()
s3.download_fileobj("streams", "pipe", out)
same(out.getvalue(), body, "a pipe")

# A reader that leaves in the middle harms nobody.
s3.get_object(Bucket="streams", Key="pipe")["Body"].close()
same(s3.get_object(Bucket="streams", Key="pipe")["Body"].read(), body, "after a reader left")
