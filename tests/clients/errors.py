"""Goal: what goes wrong has the code, the status and the request id that programs look at. Method: boto3's ClientError."""

import botocore
from common import client, data, expect

s3 = client()
s3.create_bucket(Bucket="errors")
s3.put_object(Bucket="errors", Key="there", Body=b"content")
there = {"Bucket": "errors", "Key": "there"}

wrong = client(aws_secret_access_key="not the secret of this vault")
expect("SignatureDoesNotMatch", 403, wrong.list_buckets)
expect("SignatureDoesNotMatch", 403, wrong.get_object, **there)
expect("SignatureDoesNotMatch", 403, wrong.put_object, **there, Body=data(3_000_000))
expect("InvalidAccessKeyId", 403, client(aws_access_key_id="NOBODY").list_buckets)
nobody = client(config={"signature_version": botocore.UNSIGNED})
expect("AccessDenied", 403, nobody.get_object, **there)
expect("AccessDenied", 403, nobody.put_object, **there, Body=b"overwritten")
assert s3.get_object(**there)["Body"].read() == b"content"

gone = {"Bucket": "no-such-bucket"}
expect("NoSuchBucket", 404, s3.list_objects_v2, **gone)
expect("NoSuchBucket", 404, s3.get_object, **gone, Key="k")
expect("NoSuchBucket", 404, s3.put_object, **gone, Key="k", Body=b"body")
expect("NoSuchBucket", 404, s3.put_object, **gone, Key="k", Body=data(9 << 20))
expect("NoSuchBucket", 404, s3.delete_object, **gone, Key="k")
expect("NoSuchBucket", 404, s3.delete_objects, **gone, Delete={"Objects": [{"Key": "k"}]})
expect("NoSuchBucket", 404, s3.create_multipart_upload, **gone, Key="k")
expect("NoSuchBucket", 404, s3.delete_bucket, **gone)
expect("404", 404, s3.head_bucket, **gone)

expect("NoSuchKey", 404, s3.get_object, Bucket="errors", Key="nothing")
expect("404", 404, s3.head_object, Bucket="errors", Key="nothing")
s3.delete_object(Bucket="errors", Key="nothing")
expect("BucketAlreadyOwnedByYou", 409, s3.create_bucket, Bucket="errors")
expect("BucketNotEmpty", 409, s3.delete_bucket, Bucket="errors")
expect("InvalidBucketName", 400, s3.create_bucket, Bucket="Upper.Case")
expect("InvalidRange", 416, s3.get_object, **there, Range="bytes=100-")
expect("PreconditionFailed", 412, s3.get_object, **there, IfMatch='"0123"')
expect("PreconditionFailed", 412, s3.put_object, **there, Body=b"again", IfNoneMatch="*")
expect("304", 304, s3.get_object, **there, IfNoneMatch=s3.head_object(**there)["ETag"])
expect("NoSuchUpload", 404, s3.list_parts, **there, UploadId="0" * 32)
expect("NoSuchUpload", 404, s3.abort_multipart_upload, **there, UploadId="nonsense")
expect("KeyTooLongError", 400, s3.put_object, Bucket="errors", Key="k" * 1025, Body=b"")
expect("InvalidArgument", 400, s3.list_objects_v2, Bucket="errors", ContinuationToken="nonsense")
expect("InvalidArgument", 400, s3.put_object, Bucket="errors", Key="control\u0001", Body=b"")
expect("InvalidArgument", 400, s3.create_multipart_upload, Bucket="errors", Key="control\u0001")

# What is not built says so; nothing pretends.
expect("NotImplemented", 501, s3.put_bucket_acl, Bucket="errors", ACL="public-read")
expect("NotImplemented", 501, s3.put_bucket_tagging, Bucket="errors", Tagging={"TagSet": []})
expect("InvalidArgument", 400, s3.copy_object, Bucket="errors", Key="copy", CopySource="errors/there?versionId=abc")
expect("NoSuchVersion", 404, s3.get_object, **there, VersionId="0" * 32)
bucket = {"Bucket": "errors"}


def sealed_by(algorithm, **more):
    by_default = {"SSEAlgorithm": algorithm, **more}
    return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}}


s3.put_bucket_encryption(**bucket, **sealed_by("AES256"))
expect("NotImplemented", 501, s3.put_bucket_encryption, **bucket, **sealed_by("aws:kms", KMSMasterKeyID="k"))
s3.delete_bucket_encryption(**bucket)
(rule,) = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, rule
sse = {"ServerSideEncryption": "aws:kms"}
expect("NotImplemented", 501, s3.put_object, **there, Body=b"again", **sse)
assert s3.get_object(**there)["Body"].read() == b"content"
