"""Goal: what a client says of its body is checked, kept and given back. Method: boto3's default CRC32, SHA256 and others, as
header and as trailer; wrong values; multipart with checksums of parts."""

import base64
import hashlib
import io
import types
import zlib

import botocore.httpchecksum
from boto3.s3.transfer import TransferConfig
from common import client, data, expect, keys, same

BUCKET = "sums"
s3 = client()
s3.create_bucket(Bucket=BUCKET)


def crc32(body):
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def sha256(body):
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def sha1(body):
    return base64.b64encode(hashlib.sha1(body).digest()).decode()


def check_algorithms(how):
    body = data(400_000)
    for length in (0, 1, len(body)):
        part = body[:length]
        answer = s3.put_object(Bucket=BUCKET, Key=f"{how}/default", Body=io.BytesIO(part))
        assert answer["ChecksumCRC32"] == crc32(part), answer
        head = s3.head_object(Bucket=BUCKET, Key=f"{how}/default", ChecksumMode="ENABLED")
        assert head["ChecksumCRC32"] == crc32(part), head
        # boto3 compares what it reads with what it was told.
        same(s3.get_object(Bucket=BUCKET, Key=f"{how}/default")["Body"].read(), part, how)
    for name, function in (("SHA256", sha256), ("SHA1", sha1), ("CRC32", crc32)):
        key = f"{how}/{name}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=io.BytesIO(body), ChecksumAlgorithm=name)
        got = s3.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
        assert got[f"Checksum{name}"] == function(body), got
        same(got["Body"].read(), body, key)


check_algorithms("header")

body = data(100_000)
put = {"Bucket": BUCKET, "Key": "wrong", "Body": body}
expect("BadDigest", 400, s3.put_object, **put, ChecksumSHA256=sha256(b"another"))
expect("BadDigest", 400, s3.put_object, **put, ChecksumCRC32=crc32(b"another"))
md5 = base64.b64encode(hashlib.md5(b"another").digest()).decode()
expect("BadDigest", 400, s3.put_object, **put, ContentMD5=md5)
expect("InvalidDigest", 400, s3.put_object, **put, ContentMD5="not a digest")
assert "wrong" not in keys(s3, BUCKET), "a body that did not match was kept"
s3.put_object(**put | {"Key": "right"}, ChecksumSHA256=sha256(body))

for name, function in (("CRC32", crc32), ("SHA256", sha256)):
    transfer = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
    body = data((12 << 20) + 5)
    s3.upload_fileobj(io.BytesIO(body), BUCKET, f"parts/{name}", Config=transfer, ExtraArgs={"ChecksumAlgorithm": name})
    out = io.BytesIO()
    s3.download_fileobj(BUCKET, f"parts/{name}", out, Config=transfer)
    same(out.getvalue(), body, f"parts with {name}")
    head = s3.head_object(Bucket=BUCKET, Key=f"parts/{name}", ChecksumMode="ENABLED")
    if name == "SHA256":
        pieces = [hashlib.sha256(body[at : at + (5 << 20)]).digest() for at in range(0, len(body), 5 << 20)]
        assert head["ChecksumSHA256"] == f"{sha256(b''.join(pieces))}-{len(pieces)}", head
    else:
        assert head["ChecksumCRC32"].split("-")[0], head

# Behind a TLS proxy boto3 sends checksums as trailers of an aws-chunked body without a length. Only the scheme of the
# endpoint decides, so the same bytes come over plain HTTP when it is told that the scheme is another.
botocore.httpchecksum.urlparse = lambda url: types.SimpleNamespace(scheme="https")
seen = []
s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: seen.append(dict(request.headers)))
check_algorithms("trailer")
assert len(seen) == 6, len(seen)
for headers in seen:
    assert headers["X-Amz-Content-SHA256"] in (b"STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), headers
    assert "Content-Length" not in headers or "Transfer-Encoding" in headers or "X-Amz-Trailer" in headers, headers
body = data((11 << 20) + 3)
s3.upload_fileobj(io.BytesIO(body), BUCKET, "trailer/parts", Config=transfer)
same(s3.get_object(Bucket=BUCKET, Key="trailer/parts")["Body"].read(), body, "parts with trailers")
stored = s3.head_object(Bucket=BUCKET, Key="trailer/default")
assert "aws-chunked" not in stored.get("ContentEncoding", ""), f"framing was kept as the object's encoding: {stored}"
