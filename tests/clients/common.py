"""What the scripts share: a client as a user makes one, and assertions that say what they saw."""

import os
import random

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SEED = int(os.environ.get("KOVCHEG_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
print(f"KOVCHEG_SEED={SEED}")
RANDOM = random.Random(SEED)


def client(retries=1, **given):
    """A client with the environment's endpoint and keys. Few retries, so that an error is seen and not repeated away."""
    given.setdefault("aws_access_key_id", os.environ["AWS_ACCESS_KEY_ID"])
    given.setdefault("aws_secret_access_key", os.environ["AWS_SECRET_ACCESS_KEY"])
    config = Config(retries={"total_max_attempts": retries}, **given.pop("config", {}))
    return boto3.client("s3", config=config, **given)


def data(length):
    """Incompressible bytes."""
    return RANDOM.randbytes(length)


def expect(code, status, call, *arguments, **named):
    """Fails unless the call is refused with this code and status and names its request."""
    try:
        answer = call(*arguments, **named)
    except ClientError as error:
        meta = error.response["ResponseMetadata"]
        seen = (error.response["Error"]["Code"], meta["HTTPStatusCode"])
        assert seen == (code, status), f"wanted {code} {status}, got {error.response}"
        assert meta.get("RequestId") or meta["HTTPHeaders"].get("x-amz-request-id"), f"no request id: {error.response}"
        return error
    raise AssertionError(f"wanted {code} {status}, got an answer: {answer}")


def same(left, right, what):
    """Compares bytes without printing them."""
    assert left == right, f"{what}: {len(left)} and {len(right)} bytes differ"


def keys(s3, bucket, **given):
    """All keys of a bucket, through pages."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **given)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]
