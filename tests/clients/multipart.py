"""Goal: multipart uploads by several threads at once. Method: upload_fileobj with small parts, several objects side by side,
downloads in ranges; parts out of order, twice, and too small."""

import io
from concurrent.futures import ThreadPoolExecutor

from boto3.s3.transfer import TransferConfig
from common import client, data, expect, keys, same

MIB = 1 << 20
s3 = client(config={"max_pool_connections": 40})
s3.create_bucket(Bucket="parts")
transfer = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)

bodies = {f"side by side/{number}": data(27 * MIB + number) for number in range(4)}
with ThreadPoolExecutor(len(bodies)) as threads:
    list(threads.map(lambda of: s3.upload_fileobj(io.BytesIO(of[1]), "parts", of[0], Config=transfer), bodies.items()))
assert keys(s3, "parts") == sorted(bodies), keys(s3, "parts")


def fetch(key):
    out = io.BytesIO()
    s3.download_fileobj("parts", key, out, Config=transfer)
    return out.getvalue()


for key, body in bodies.items():
    same(fetch(key), body, key)
    assert s3.head_object(Bucket="parts", Key=key)["ETag"].endswith('-6"')

# Parts in any order, one of them sent twice: the later one counts.
at = {"Bucket": "parts", "Key": "by hand"}
upload = s3.create_multipart_upload(**at)["UploadId"]
pieces = {number: data(5 * MIB) for number in (1, 2, 7)}
tags = {}
for number in (7, 1, 2):
    s3.upload_part(**at, UploadId=upload, PartNumber=number, Body=data(5 * MIB))
with ThreadPoolExecutor(3) as threads:
    sent = threads.map(lambda n: (n, s3.upload_part(**at, UploadId=upload, PartNumber=n, Body=pieces[n])), pieces)
    tags = {number: answer["ETag"] for number, answer in sent}
listed = s3.list_parts(**at, UploadId=upload)["Parts"]
assert [(part["PartNumber"], part["ETag"]) for part in listed] == sorted(tags.items()), listed


def named(*numbers):
    return {"Parts": [{"PartNumber": number, "ETag": tags[number]} for number in numbers]}


expect("InvalidPartOrder", 400, s3.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=named(2, 1))
tags[3] = tags[1]
expect("InvalidPart", 400, s3.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=named(1, 3))
s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=named(1, 2, 7))
same(fetch("by hand"), pieces[1] + pieces[2] + pieces[7], "by hand")
expect("NoSuchUpload", 404, s3.upload_part, **at, UploadId=upload, PartNumber=9, Body=b"late")

small = s3.create_multipart_upload(Bucket="parts", Key="small")["UploadId"]
at = {"Bucket": "parts", "Key": "small", "UploadId": small}
tags = {number: s3.upload_part(**at, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)}
expect("EntityTooSmall", 400, s3.complete_multipart_upload, **at, MultipartUpload=named(1, 2))
expect("InvalidArgument", 400, s3.upload_part, **at | {"PartNumber": 10_001}, Body=b"x")
s3.abort_multipart_upload(**at)
expect("NoSuchUpload", 404, s3.list_parts, **at)
assert "small" not in keys(s3, "parts")
