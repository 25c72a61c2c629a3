#!/usr/bin/env bash
# Stage ceilings and the real path, in one process; benches/README.md has the method.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stages.sh

say_rocksdb
# shellcheck disable=SC2086 # the flags are words
cargo bench --workspace --ignore-rust-version --locked --profile release "$@"
