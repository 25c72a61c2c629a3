#!/usr/bin/env bash
# Builds the workspace, always with the same flags.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stages.sh

say_rocksdb
# shellcheck disable=SC2086 # the flags are words
cargo build $KOVCHEG_CARGO_FLAGS
