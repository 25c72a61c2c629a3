"""Goal: a key is any text of up to 1,024 bytes, and never anything but itself. Method: names that were got wrong elsewhere are
put, got, headed, listed in pages and by prefix, and deleted in one request."""

import unicodedata

from common import client, expect, keys

s3 = client()
s3.create_bucket(Bucket="keys")
NAMES = [
    "plain", "with space", " leading and trailing ", "a+b", "a b", "a%20b", "a%2Bb", "100%", "%", "%%", "%zz", "a%2Fb", "a/b",
    "a//b", "a/", "a", "/leading", "//", "../up", "a/../b", ".", "..", "a/./b", "q?x=1&y=2", "#fragment", "semi;colon", "c:d",
    "at@host", "back\\slash", "quote\"s'", "<xml>&amp;</xml>", "]]>", "star*", "~user", "(round)[square]{curly}", "comma,",
    "$dollar!", "pipe|", "caret^`", "=equals=", "tab\there", "line\nfeed", "carriage\rreturn", "\u007f",
    "деревня/дом", "日本語", "emoji \U0001f5c4", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"),
    "\u202eright to left", "\u00a0", "\u2028", "\ufffd", "k" * 1024, "я" * 512, "x-amz-meta-y", "?uploads", "?delete", "?acl",
]  # fmt: skip
assert len(set(NAMES)) == len(NAMES)


def by_bytes(names):
    return sorted(names, key=lambda name: name.encode())


# No answer could carry these.
for name in ("\u0001control", "vertical\u000btab", "escape\u001b[2J", "\uffff"):
    expect("InvalidArgument", 400, s3.put_object, Bucket="keys", Key=name, Body=b"")
for number, name in enumerate(NAMES):
    s3.put_object(Bucket="keys", Key=name, Body=f"{number}".encode())
for number, name in enumerate(NAMES):
    got = s3.get_object(Bucket="keys", Key=name)["Body"].read()
    assert got == f"{number}".encode(), f"{name!r} gave {got}"
    s3.head_object(Bucket="keys", Key=name)
for size in (1000, 3, 1):
    listed = keys(s3, "keys", PaginationConfig={"PageSize": size})
    assert listed == by_bytes(NAMES), f"pages of {size}: {set(listed) ^ set(NAMES)}, {listed}"
for name in NAMES:
    expected = by_bytes(other for other in NAMES if other.startswith(name))
    assert keys(s3, "keys", Prefix=name) == expected, f"prefix {name!r}: {keys(s3, 'keys', Prefix=name)}"
pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="keys", Delimiter="/", PaginationConfig={"PageSize": 5}))
found = [content["Key"] for page in pages for content in page.get("Contents", [])]
assert found == by_bytes(name for name in NAMES if "/" not in name), found
folders = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", [])]
assert folders == by_bytes({name.split("/")[0] + "/" for name in NAMES if "/" in name}), folders

# Programs that read XML change line ends, so these keys are deleted one by one.
LONELY = [name for name in NAMES if any(ord(char) < 32 for char in name)]
for name in LONELY:
    s3.delete_object(Bucket="keys", Key=name)
    expect("NoSuchKey", 404, s3.get_object, Bucket="keys", Key=name)
REST = [name for name in NAMES if name not in LONELY]
answer = s3.delete_objects(Bucket="keys", Delete={"Objects": [{"Key": name} for name in REST[1:]]})
assert [one["Key"] for one in answer["Deleted"]] == REST[1:] and not answer.get("Errors"), answer
assert keys(s3, "keys") == REST[:1], keys(s3, "keys")
s3.delete_object(Bucket="keys", Key=REST[0])
s3.delete_bucket(Bucket="keys")
