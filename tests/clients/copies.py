"""Goal: copies as boto3 makes them: of small objects in one request, of large ones as parts by range, with conditions and
metadata. Method: bytes and answers compared, keys with characters that must be encoded among them."""

import io

from boto3.s3.transfer import TransferConfig
from common import client, data, expect, same

MIB = 1 << 20
s3 = client()
s3.create_bucket(Bucket="source")
s3.create_bucket(Bucket="target")
transfer = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=6 * MIB, max_concurrency=4)


def body(bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


for key in ("plain", "with space", "percent %41 plus +", "кириллица/ключ", "a//b/../c", "q?versionId=null&x=y", "tilde~'()*!"):
    content = data(100_003)
    s3.put_object(Bucket="source", Key=key, Body=content, Metadata={"from": "test"})
    answer = s3.copy_object(Bucket="target", Key=key, CopySource={"Bucket": "source", "Key": key})
    same(body("target", key), content, key)
    head = s3.head_object(Bucket="target", Key=key)
    assert head["Metadata"] == {"from": "test"} and head["ETag"] == answer["CopyObjectResult"]["ETag"], (key, head)

large = data(20 * MIB + 77)
s3.upload_fileobj(io.BytesIO(large), "source", "large", Config=transfer)
for key in ("large", "larger"):
    s3.copy({"Bucket": "source", "Key": "large"}, "target", key, Config=transfer)
    same(body("target", key), large, key)
one, two = (s3.head_object(Bucket="target", Key=key)["ETag"] for key in ("large", "larger"))
assert one == two and one.endswith('-4"'), (one, two)

at = {"Bucket": "target", "Key": "conditional", "CopySource": {"Bucket": "source", "Key": "plain"}}
etag = s3.head_object(Bucket="source", Key="plain")["ETag"]
expect("PreconditionFailed", 412, s3.copy_object, **at, CopySourceIfNoneMatch=etag)
s3.copy_object(**at, CopySourceIfMatch=etag, MetadataDirective="REPLACE", Metadata={"new": "1"}, ContentType="text/x-sql")
head = s3.head_object(Bucket="target", Key="conditional")
assert head["Metadata"] == {"new": "1"} and head["ContentType"] == "text/x-sql", head
answer = s3.copy_object(**at, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
seen = s3.get_object(Bucket="target", Key="conditional", ChecksumMode="ENABLED")
assert seen["ChecksumSHA256"] == answer["ChecksumSHA256"], (seen, answer)
same(seen["Body"].read(), body("source", "plain"), "with a checksum")
expect("InvalidRequest", 400, s3.copy_object, Bucket="source", Key="plain", CopySource={"Bucket": "source", "Key": "plain"})
expect("NoSuchKey", 404, s3.copy_object, Bucket="target", Key="x", CopySource={"Bucket": "source", "Key": "none"})
