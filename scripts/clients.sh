#!/usr/bin/env bash
# The Python environment with the clients that the tests run: made once, in ~/.cache/kovcheg-venv or where KOVCHEG_CLIENTS says.
set -euo pipefail

clients=${KOVCHEG_CLIENTS:-$HOME/.cache/kovcheg-venv}
complete() { "$clients/bin/python" -c 'import awscli, boto3, minio' 2>/dev/null; }
if complete; then exit 0; fi
echo "making $clients: awscli, boto3 and minio-py for the tests"
python3 -m venv "$clients"
"$clients/bin/pip" install --quiet --disable-pip-version-check awscli boto3 minio
if ! complete; then
    echo "$clients lacks awscli, boto3 or minio although pip installed them: remove that folder and try again" >&2
    exit 1
fi
