#!/usr/bin/env bash
# make test with hundreds of rounds, and the tests that take hours (marked #[ignore]).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stages.sh

export KOVCHEG_NIGHTLY=1
export KOVCHEG_ROUNDS=${KOVCHEG_ROUNDS:-200}
export KOVCHEG_CUTS=${KOVCHEG_CUTS:-200}
export KOVCHEG_FUZZ_ROUNDS=${KOVCHEG_FUZZ_ROUNDS:-5000000}
export PROPTEST_CASES=${PROPTEST_CASES:-20000}

stage 'make test, many rounds' scripts/test.sh
# shellcheck disable=SC2086 # the flags are words
stage 'tests that take hours' cargo test $KOVCHEG_CARGO_FLAGS --no-fail-fast -- --ignored --nocapture --test-threads=1
stage 'benches' scripts/bench.sh
if cargo deny --version >/dev/null 2>&1; then
    stage 'licences and advisories' cargo deny check
fi
stage_table
