#!/usr/bin/env bash
# Checks what a build, a lint or the tests need before anything long starts: toolchain, compilers, space, rights.
# As root it installs what is missing through apt; otherwise it prints the one command that does.
# Usage: scripts/check-machine.sh build|lint|test
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-build}
target=${CARGO_TARGET_DIR:-$HOME/.cache/kovcheg-target}
rust_min=1.95.0
# A cold build of everything takes about 4 GiB, tests write 2 more.
space_min_gib=6
problems=()
packages=()

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}

at_least() { # at_least HAVE WANT
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

free_gib() { # of the nearest folder that exists
    local place=$1
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    df -Pk "$place" | awk 'NR == 2 { printf "%d", $4 / 1048576 }'
}

if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
    problems+=("cargo is in ~/.cargo/bin, which is not on PATH:  export PATH=\"\$HOME/.cargo/bin:\$PATH\"")
elif ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
    problems+=("Rust $rust_min or newer is missing: install the stable toolchain with rustup, then try again")
else
    rust_have=$(rustc --version | awk '{ print $2 }')
    at_least "${rust_have%%-*}" "$rust_min" ||
        problems+=("rustc is $rust_have, $rust_min or newer is needed:  rustup update stable")
    if [ "$purpose" != build ]; then
        cargo fmt --version >/dev/null 2>&1 || problems+=("rustfmt is missing:  rustup component add rustfmt")
        cargo clippy --version >/dev/null 2>&1 || problems+=("clippy is missing:  rustup component add clippy")
    fi
fi

need cc gcc
need c++ g++
need make make
need clang clang
if ! compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && ! ldconfig -p 2>/dev/null | grep -q libclang; then
    [ -n "${LIBCLANG_PATH:-}" ] || packages+=(libclang-dev)
fi
need cmake cmake
need pkg-config pkg-config
need curl curl
if [ "$purpose" = test ]; then
    need fusermount3 fuse3
    # Clients that the tests run.
    need rclone rclone
    need restic restic
    need s3cmd s3cmd
    need pgbackrest pgbackrest
    need barman-cloud-backup barman-cli-cloud
    # Puts clocks forward.
    need faketime faketime
    if ! command -v duplicity >/dev/null 2>&1; then packages+=(duplicity python3-boto3); fi
    if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then packages+=(postgresql); fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then packages+=(python3-venv); fi
fi

if ((${#packages[@]} > 0)); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing: ${packages[*]}"
        log=$(mktemp)
        if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            problems+=("apt-get could not install: ${packages[*]}")
        fi
        rm -f "$log"
    else
        problems+=("missing on this machine:  sudo apt-get install -y ${packages[*]}")
    fi
fi

# clang takes the C++ library of the newest gcc it sees, which may be there without one.
if command -v clang++ >/dev/null 2>&1 && ! echo '#include <string>' | "${CXX:-clang++}" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null; then
    problems+=("${CXX:-clang++} compiles no C++20: install the libstdc++-N-dev of the newest gcc here, or set CXX=g++")
fi

if ! mkdir -p "$target" 2>/dev/null || [ ! -w "$target" ]; then
    problems+=("no right to write to $target: set CARGO_TARGET_DIR to a folder of yours")
else
    # What is built already needs no space again.
    if [ ! -x "$target/release/kovcheg" ] && [ "$(free_gib "$target")" -lt "$space_min_gib" ]; then
        problems+=("$(free_gib "$target") GiB are free for $target, $space_min_gib are needed: set CARGO_TARGET_DIR elsewhere")
    fi
fi

if ((${#problems[@]} > 0)); then
    printf 'cannot go on:\n' >&2
    printf '  - %s\n' "${problems[@]}" >&2
    exit 1
fi
