#!/usr/bin/env bash
# Format, clippy, documentation; warnings are errors. No RUSTFLAGS: they would make cargo compile everything again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stages.sh

say_rocksdb
stage 'lint: format' cargo fmt --all -- --check
# shellcheck disable=SC2086 # the flags are words
stage 'lint: clippy' cargo clippy $KOVCHEG_CARGO_FLAGS --all-targets -- -D warnings
# shellcheck disable=SC2086
stage 'lint: documentation' env RUSTDOCFLAGS='-D warnings' cargo doc $KOVCHEG_CARGO_FLAGS --no-deps
if [ "${KOVCHEG_STAGES_QUIET:-}" = "" ]; then stage_table; fi
