"""Goal: a presigned link lets somebody without keys do one thing, for a while. Method: links made by boto3, used by urllib."""

import time
import urllib.error
import urllib.request
import xml.etree.ElementTree

from common import client, data, same

s3 = client(config={"signature_version": "s3v4"})
s3.create_bucket(Bucket="links")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def use(url, method="GET", body=None, **headers):
    """Status and body of a request that carries nothing but the link."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def link(what, key, seconds=300, **more):
    return s3.generate_presigned_url(what, Params={"Bucket": "links", "Key": key, **more}, ExpiresIn=seconds)


def refused(url, status, code, **how):
    seen, body = use(url, **how)
    found = xml.etree.ElementTree.fromstring(body).findtext("Code")
    assert (seen, found) == (status, code), f"wanted {status} {code}, got {seen} {body}"


for key in ("plain", "with space+plus%20percent&and=ключ?#/ß"):
    body = data(1_300_000)
    status, _ = use(link("put_object", key), "PUT", body)
    assert status == 200, status
    same(s3.get_object(Bucket="links", Key=key)["Body"].read(), body, f"put by link: {key}")
    status, got = use(link("get_object", key))
    assert status == 200
    same(got, body, f"got by link: {key}")
    status, got = use(link("get_object", key), Range="bytes=100-199")
    assert status == 206
    same(got, body[100:200], "a range by link")
    status, got = use(link("head_object", key), "HEAD")
    assert (status, got) == (200, b"")

get = link("get_object", "plain")
refused(get, 403, "SignatureDoesNotMatch", method="PUT", body=b"overwritten")
refused(get.replace("/plain?", "/other?"), 403, "SignatureDoesNotMatch")
refused(get.replace("X-Amz-Expires=300", "X-Amz-Expires=3000"), 403, "SignatureDoesNotMatch")
refused(get.split("?")[0], 403, "AccessDenied")
assert s3.head_object(Bucket="links", Key="plain")["ContentLength"] == 1_300_000, "nobody overwrote it"
refused(link("get_object", "nothing"), 404, "NoSuchKey")

attached = link("get_object", "plain", ResponseContentDisposition='attachment; filename="a b"')
with opener.open(attached, timeout=60) as answer:
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a b"', answer.headers

short = link("get_object", "plain", seconds=1)
time.sleep(3)
refused(short, 403, "AccessDenied")

foreign = client(config={"signature_version": "s3v4"}, aws_secret_access_key="not the secret of this vault")
url = foreign.generate_presigned_url("get_object", Params={"Bucket": "links", "Key": "plain"})
refused(url, 403, "SignatureDoesNotMatch")
