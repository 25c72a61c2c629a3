#!/usr/bin/env bash
# make run: checks the machine, builds, starts a vault in the foreground and says how to use it. Repeatable: keys and data
# stay in ./kovcheg-data. Ctrl-C ends the vault cleanly.
# Settings: KOVCHEG_DATA (./kovcheg-data), KOVCHEG_S3 (127.0.0.1:9000), KOVCHEG_ADMIN (127.0.0.1:9001).
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

data=${KOVCHEG_DATA:-./kovcheg-data}
s3=${KOVCHEG_S3:-127.0.0.1:9000}
admin=${KOVCHEG_ADMIN:-127.0.0.1:9001}
keys=$data/run.env

say() { printf '==> %s\n' "$*"; }

random_text() { # random_text LENGTH CHARACTERS
    # `head` ends `tr` by closing the pipe, which is not a failure.
    (set +o pipefail; LC_ALL=C tr -dc "$2" </dev/urandom | head -c "$1")
}

check_place() {
    mkdir -p "$data" 2>/dev/null || { echo "no right to make $data: set KOVCHEG_DATA to a folder of yours" >&2; exit 1; }
    [ -w "$data" ] || { echo "no right to write to $data: set KOVCHEG_DATA to a folder of yours" >&2; exit 1; }
    if curl -s --noproxy '*' --max-time 2 -o /dev/null "http://$admin/health/live"; then
        echo "something answers on $admin already: a vault that runs? Stop it, or set KOVCHEG_S3 and KOVCHEG_ADMIN" >&2
        exit 1
    fi
}

# Keys are made once; they reach the vault as KOVCHEG_ROOT_*, and clients as AWS_*, by sourcing one file of mode 0600.
keep_keys() {
    if [ ! -f "$keys" ]; then
        local access secret
        access=KV$(random_text 18 A-Z0-9)
        secret=$(random_text 40 A-Za-z0-9)
        cat >"$keys.new" <<EOF
# Root keys of the vault beside this file, and the same for S3 clients. Whoever reads this may do anything to the vault.
export KOVCHEG_ROOT_ACCESS_KEY=$access
export KOVCHEG_ROOT_SECRET_KEY=$secret
export AWS_ACCESS_KEY_ID=$access
export AWS_SECRET_ACCESS_KEY=$secret
export AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL=http://$s3
EOF
        chmod 600 "$keys.new"
        mv "$keys.new" "$keys"
    fi
    chmod 600 "$keys"
    # The address may be another one than last time.
    sed -i "s|^export AWS_ENDPOINT_URL=.*|export AWS_ENDPOINT_URL=http://$s3|" "$keys"
    # shellcheck disable=SC1090 # made above
    . "$keys"
}

# The secret is shown on a terminal only; elsewhere it would end up in a log.
shown_secret() {
    if [ -t 1 ]; then echo "$KOVCHEG_ROOT_SECRET_KEY"; else echo "(in $keys)"; fi
}

banner() {
    cat <<EOF

  Kovcheg is ready.

    endpoint     http://$s3
    region       us-east-1
    addressing   path style
    access key   $KOVCHEG_ROOT_ACCESS_KEY
    secret key   $(shown_secret)
    kept in      $keys (mode 0600)
    health       http://$admin/health/ready

  Try, in another terminal (awscli 1.29 or newer, from this folder):

    . $keys && aws s3 mb s3://first
    aws s3 cp README.md s3://first/README.md && aws s3 cp s3://first/README.md - | cmp - README.md && echo same bytes
    pg_dump mydb | aws s3 cp - s3://first/mydb.sql

  State: $CARGO_TARGET_DIR/release/kovcheg status --data $data
  Ctrl-C ends the vault cleanly; make run starts it again with the same data and keys.

EOF
}

# Waits beside the server, whose process id is this script's own: it takes this script's place.
announce() {
    local server=$1 waited=0
    until curl -s --noproxy '*' --max-time 2 -f -o /dev/null "http://$admin/health/ready"; do
        kill -0 "$server" 2>/dev/null || return 0
        sleep 0.3
        waited=$((waited + 1))
        if ((waited % 100 == 0)); then
            echo "still not ready: $(curl -s --noproxy '*' --max-time 2 "http://$admin/health/ready" || echo 'no answer')"
        fi
    done
    banner
}

say 'checking the machine'
scripts/check-machine.sh build
check_place
say "building into $CARGO_TARGET_DIR"
scripts/build.sh
keep_keys
say "starting the vault on $data"
announce $$ &
exec "$CARGO_TARGET_DIR/release/kovcheg" serve --data "$data" --s3-listen "$s3" --admin-listen "$admin"
