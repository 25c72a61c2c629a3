"""Goal: what a client says of a whole multipart object is compared when the upload is completed. Method: boto3 with CRC32C, of
the bytes and of the parts' sums, right and wrong; a link that asks for the sum; uploads found and aborted by their list."""

import base64
import urllib.request

from common import client, data, expect, same

MIB = 1 << 20


def table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = tuple(table())


def raw_crc32c(body):
    crc = 0xFFFFFFFF
    for byte in body:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "big")


def text(raw):
    return base64.b64encode(raw).decode()


assert raw_crc32c(b"123456789").hex() == "e3069283"
s3 = client()
s3.create_bucket(Bucket="whole")
bodies = [data(5 * MIB), data(1000)]


def upload(key, kind):
    at = {"Bucket": "whole", "Key": key}
    at["UploadId"] = s3.create_multipart_upload(**at, ChecksumAlgorithm="CRC32C", ChecksumType=kind)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        sum_of_part = text(raw_crc32c(body))
        part = s3.upload_part(**at, PartNumber=number, Body=body, ChecksumCRC32C=sum_of_part)
        assert part["ChecksumCRC32C"] == sum_of_part, part
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32C": sum_of_part})
    return at | {"MultipartUpload": {"Parts": parts}}


full, composed = upload("full", "FULL_OBJECT"), upload("composed", "COMPOSITE")
of_bytes = text(raw_crc32c(b"".join(bodies)))
of_sums = text(raw_crc32c(b"".join(raw_crc32c(body) for body in bodies))) + "-2"
expect("BadDigest", 400, s3.complete_multipart_upload, **full, ChecksumCRC32C=text(raw_crc32c(b"another")))
expect("BadDigest", 400, s3.complete_multipart_upload, **composed, ChecksumCRC32C=of_bytes)
done = s3.complete_multipart_upload(**full, ChecksumCRC32C=of_bytes, ChecksumType="FULL_OBJECT", MpuObjectSize=5 * MIB + 1000)
assert (done["ChecksumCRC32C"], done["ChecksumType"]) == (of_bytes, "FULL_OBJECT"), done
done = s3.complete_multipart_upload(**composed, ChecksumCRC32C=of_sums)
assert (done["ChecksumCRC32C"], done["ChecksumType"]) == (of_sums, "COMPOSITE"), done
for key in ("full", "composed"):
    same(s3.get_object(Bucket="whole", Key=key)["Body"].read(), b"".join(bodies), key)

# boto3 signs the header of a link instead of putting it into the query; whoever sends it along is served.
signing = client(config={"signature_version": "s3v4"})
url = signing.generate_presigned_url("get_object", Params={"Bucket": "whole", "Key": "full", "ChecksumMode": "ENABLED"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(urllib.request.Request(url, headers={"x-amz-checksum-mode": "ENABLED"}), timeout=60) as answer:
    assert answer.headers["x-amz-checksum-crc32c"] == of_bytes, answer.headers
    same(answer.read(), b"".join(bodies), "a link with a checksum mode")
begun = s3.create_multipart_upload(Bucket="whole", Key="left open")["UploadId"]
listed = [one for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket="whole") for one in page["Uploads"]]
assert [(one["Key"], one["UploadId"]) for one in listed] == [("left open", begun)], listed
for key in ("full", "composed"):
    s3.delete_object(Bucket="whole", Key=key)
expect("BucketNotEmpty", 409, s3.delete_bucket, Bucket="whole")
for one in listed:
    s3.abort_multipart_upload(Bucket="whole", Key=one["Key"], UploadId=one["UploadId"])
s3.delete_bucket(Bucket="whole")
