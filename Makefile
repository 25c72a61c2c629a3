# Kovcheg. Every cargo call needs --ignore-rust-version (README.md says why), so this file is the way in.
#
#   make run      check the machine, build, start a vault on ./kovcheg-data, say how to use it; Ctrl-C ends it cleanly
#   make test     lint, then every test; minutes per stage at the end
#   make lint     format, clippy, documentation, all with warnings as errors
#   make bench    stage ceilings and the real path
#   make nightly  make test with hundreds of rounds, and what takes hours
#
# Settings: CARGO_TARGET_DIR (default ~/.cache/kovcheg-target), KOVCHEG_DATA, KOVCHEG_S3, KOVCHEG_ADMIN for `make run`,
# KOVCHEG_CLIENTS (default ~/.cache/kovcheg-venv), a Python environment for the clients of the tests, made when it is not there.

SHELL := /bin/bash

export CARGO_TARGET_DIR ?= $(HOME)/.cache/kovcheg-target
# One profile, one set of features, the whole workspace, everywhere: RocksDB is then compiled once.
export KOVCHEG_CARGO_FLAGS := --release --workspace --ignore-rust-version --locked

.PHONY: run build test lint bench nightly check-machine

run:
	@exec scripts/run.sh

check-machine:
	@scripts/check-machine.sh build

build: check-machine
	@scripts/build.sh

test:
	@scripts/check-machine.sh test
	@scripts/clients.sh
	@scripts/test.sh

lint:
	@scripts/check-machine.sh lint
	@scripts/lint.sh

bench: check-machine
	@scripts/bench.sh

nightly:
	@scripts/check-machine.sh test
	@scripts/clients.sh
	@scripts/nightly.sh
