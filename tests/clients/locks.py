"""Goal: Object Lock works from boto3 as against AWS. Method: the calls of backup tools: a locked bucket, retention per object, holds, bypass."""

from datetime import datetime, timedelta, timezone

from common import client, data, expect

s3 = client()
s3.create_bucket(Bucket="held", ObjectLockEnabledForBucket=True)
assert s3.get_bucket_versioning(Bucket="held")["Status"] == "Enabled"
assert s3.get_object_lock_configuration(Bucket="held")["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
until = (datetime.now(timezone.utc) + timedelta(days=30)).replace(microsecond=0)

# One object in one piece, one in parts, each with its own retention, as a repository of backups has them.
lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
kept = {"Bucket": "held", "Key": "block"}
version = s3.put_object(**kept, Body=data(1 << 20), **lock)["VersionId"]
upload = s3.create_multipart_upload(Bucket="held", Key="parts", **lock)["UploadId"]
parts = {"Bucket": "held", "Key": "parts", "UploadId": upload}
etags = [s3.upload_part(**parts, PartNumber=n, Body=data(5 << 20))["ETag"] for n in (1, 2)]
done = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
of_parts = s3.complete_multipart_upload(**parts, MultipartUpload={"Parts": done})["VersionId"]
for key, name in (("block", version), ("parts", of_parts)):
    seen = s3.head_object(Bucket="held", Key=key, VersionId=name)
    assert (seen["ObjectLockMode"], seen["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", until), seen
    expect("AccessDenied", 403, s3.delete_object, Bucket="held", Key=key, VersionId=name, BypassGovernanceRetention=True)
many = {"Objects": [{"Key": "block", "VersionId": version}, {"Key": "parts", "VersionId": of_parts}]}
refused = s3.delete_objects(Bucket="held", Delete=many, BypassGovernanceRetention=True)
assert [error["Code"] for error in refused["Errors"]] == ["AccessDenied"] * 2 and "Deleted" not in refused, refused

# The immutability of a backup is prolonged, never shortened.
longer = {"Mode": "COMPLIANCE", "RetainUntilDate": until + timedelta(days=1)}
shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(days=1)}
s3.put_object_retention(**kept, VersionId=version, Retention=longer)
expect("AccessDenied", 403, s3.put_object_retention, **kept, VersionId=version, Retention=shorter)
assert s3.get_object_retention(**kept, VersionId=version)["Retention"] == longer

# Governance: lifted by who may, and asks for it.
rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}}
s3.put_object_lock_configuration(Bucket="held", ObjectLockConfiguration=rule)
assert s3.get_object_lock_configuration(Bucket="held")["ObjectLockConfiguration"] == rule
by_default = {"Bucket": "held", "Key": "default"}
version = s3.put_object(**by_default, Body=b"x")["VersionId"]
expect("AccessDenied", 403, s3.delete_object, **by_default, VersionId=version)
s3.put_object_legal_hold(**by_default, VersionId=version, LegalHold={"Status": "ON"})
expect("AccessDenied", 403, s3.delete_object, **by_default, VersionId=version, BypassGovernanceRetention=True)
assert s3.get_object_legal_hold(**by_default, VersionId=version)["LegalHold"]["Status"] == "ON"
s3.put_object_legal_hold(**by_default, VersionId=version, LegalHold={"Status": "OFF"})
s3.delete_object(**by_default, VersionId=version, BypassGovernanceRetention=True)

# A bucket without it answers an error, not an empty configuration.
s3.create_bucket(Bucket="plain")
expect("ObjectLockConfigurationNotFoundError", 404, s3.get_object_lock_configuration, Bucket="plain")
expect("InvalidRequest", 400, s3.put_object, Bucket="plain", Key="k", Body=b"x", **lock)

# Tags and attributes, of the version that is named.
s3.put_object_tagging(**kept, Tagging={"TagSet": [{"Key": "system", "Value": "ledger"}]})
assert s3.get_object_tagging(**kept)["TagSet"] == [{"Key": "system", "Value": "ledger"}]
s3.delete_object_tagging(**kept)
assert s3.get_object_tagging(**kept)["TagSet"] == []
wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
seen = s3.get_object_attributes(Bucket="held", Key="parts", ObjectAttributes=wanted)
assert (seen["ObjectSize"], seen["ObjectParts"]["TotalPartsCount"], seen["VersionId"]) == (10 << 20, 2, of_parts), seen
