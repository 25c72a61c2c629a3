"""minio-py: streams of known and unknown length, ranges, copies, compositions, presigned links, batch removal."""

import io
import os
import urllib.request
from urllib.parse import urlparse

from minio import Minio
from minio.commonconfig import ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

client = Minio(
    urlparse(os.environ["AWS_ENDPOINT_URL"]).netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    secure=False,
)
data = os.urandom(12 << 20)


def read(name, **of):
    answer = client.get_object("mini", name, **of)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


assert not client.bucket_exists("mini")
client.make_bucket("mini")
assert client.bucket_exists("mini")
odd = "a+b %ы/x y"
client.put_object("mini", odd, io.BytesIO(data), len(data), part_size=5 << 20, metadata={"kind": "dump"})
assert read(odd) == data
client.put_object("mini", "stream", io.BytesIO(data), -1, part_size=5 << 20)
assert read("stream", offset=100, length=50) == data[100:150]
found = client.stat_object("mini", odd)
assert found.size == len(data) and found.metadata["x-amz-meta-kind"] == "dump", found.metadata
assert sorted(found.object_name for found in client.list_objects("mini", recursive=True)) == sorted([odd, "stream"])
assert {found.object_name for found in client.list_objects("mini")} == {"a+b %ы/", "stream"}
client.copy_object("mini", "copy", CopySource("mini", odd))
client.compose_object("mini", "composed", [ComposeSource("mini", "stream"), ComposeSource("mini", "copy")])
assert read("composed") == data + data
with urllib.request.urlopen(client.presigned_get_object("mini", odd)) as answer:
    assert answer.read() == data
try:
    client.stat_object("mini", "absent")
    raise AssertionError("there is no such object")
except S3Error as error:
    assert error.code == "NoSuchKey", error.code
names = ["copy", "stream", "composed", odd, "absent"]
assert not list(client.remove_objects("mini", [DeleteObject(name) for name in names]))
client.remove_bucket("mini")
print("minio-py: fine")
