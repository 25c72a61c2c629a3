#!/usr/bin/env bash
# Lint, then every test. Ends with the summary lines of the runner and the minutes of each stage.
# KOVCHEG_CLIENTS: a Python environment with awscli, boto3 and minio, for the tests that use real clients (scripts/clients.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stages.sh

say_rocksdb
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run_tests() {
    # shellcheck disable=SC2086 # the flags are words
    cargo test $KOVCHEG_CARGO_FLAGS --no-fail-fast 2>&1 | tee "$log"
}

# The build comes first and alone, so that its minutes are not counted as tests'.
stage 'lint: format' cargo fmt --all -- --check
# shellcheck disable=SC2086
stage 'build: tests and binary' cargo test $KOVCHEG_CARGO_FLAGS --no-run
# shellcheck disable=SC2086
stage 'lint: clippy' cargo clippy $KOVCHEG_CARGO_FLAGS --all-targets -- -D warnings
# shellcheck disable=SC2086
stage 'lint: documentation' env RUSTDOCFLAGS='-D warnings' cargo doc $KOVCHEG_CARGO_FLAGS --no-deps
stage 'test: everything' run_tests
stage_table

printf '\nsummary\n'
grep -E '^test result: ' "$log" | awk '
    { print; passed += $4; failed += $6; ignored += $8 }
    END { printf "\nall: %d passed; %d failed; %d ignored\n", passed, failed, ignored; exit failed > 0 || passed == 0 }'
