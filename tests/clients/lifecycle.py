"""Goal: lifecycle rules are set, shown and removed from boto3 as against AWS. Method: the rules of backup tools, filters in every form, mistakes."""

from datetime import datetime, timezone

from common import client, expect

s3 = client()
s3.create_bucket(Bucket="logs")
there = {"Bucket": "logs"}
expect("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, **there)


def put(*rules):
    s3.put_bucket_lifecycle_configuration(**there, LifecycleConfiguration={"Rules": list(rules)})


def rules():
    return s3.get_bucket_lifecycle_configuration(**there)["Rules"]


on = {"Status": "Enabled"}
tag = {"Key": "tier", "Value": "cold"}
asked = [
    {"ID": "all", **on, "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}},
    {"ID": "date", **on, "Filter": {"Prefix": "old/"}, "Expiration": {"Date": datetime(2101, 1, 1, tzinfo=timezone.utc)}},
    {"ID": "markers", **on, "Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    {"ID": "tag", "Status": "Disabled", "Filter": {"Tag": tag}, "Expiration": {"Days": 1}},
    {
        "ID": "and",
        **on,
        "Filter": {"And": {"Prefix": "a/", "Tags": [tag], "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9}},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2},
    },
    {"ID": "uploads", **on, "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    {
        "ID": "tiers",
        **on,
        "Filter": {"ObjectSizeGreaterThan": 1 << 20},
        "Transitions": [{"Days": 3, "StorageClass": "GLACIER"}],
        "NoncurrentVersionTransitions": [{"NoncurrentDays": 3, "StorageClass": "DEEP_ARCHIVE"}],
    },
]
put(*asked)
assert rules() == asked, rules()

# The form of before there were filters, and a rule without a name.
put({**on, "Prefix": "x/", "Expiration": {"Days": 2}})
(shown,) = rules()
assert (shown["Filter"], shown["Expiration"], shown["ID"]) == ({"Prefix": "x/"}, {"Days": 2}, "rule-1"), shown

whole = {"ID": "r", **on, "Filter": {"Prefix": ""}}
for rule, code in (
    ({**whole}, "InvalidArgument"),
    ({**whole, "Expiration": {"Days": 0}}, "InvalidArgument"),
    ({**whole, "Expiration": {"Days": 1, "Date": datetime(2101, 1, 1, tzinfo=timezone.utc)}}, "InvalidArgument"),
    ({**whole, "Filter": {"Prefix": "a", "Tag": tag}, "Expiration": {"Days": 1}}, "MalformedXML"),
    ({**whole, "Status": "on", "Expiration": {"Days": 1}}, "MalformedXML"),
):
    expect(code, 400, put, rule)
assert rules() == [shown]
s3.delete_bucket_lifecycle(**there)
expect("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, **there)
expect("NoSuchBucket", 404, s3.get_bucket_lifecycle_configuration, Bucket="absent")
