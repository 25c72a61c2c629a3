# Sourced by the other scripts: runs stages one after the other and says at the end how long each took.

stage_names=()
stage_seconds=()

# stage NAME COMMAND...: runs it, remembers the time, ends everything when it fails.
stage() {
    local name=$1 start=$SECONDS status=0
    shift
    printf '\n==> %s\n' "$name"
    "$@" || status=$?
    stage_names+=("$name")
    stage_seconds+=($((SECONDS - start)))
    if ((status != 0)); then
        printf '\n%s FAILED (exit %d): %s\n' "$name" "$status" "$*" >&2
        stage_table
        exit "$status"
    fi
}

stage_table() {
    local at total=0
    printf '\nminutes per stage\n'
    for at in "${!stage_names[@]}"; do
        total=$((total + stage_seconds[at]))
        printf '  %-44s %4d:%02d\n' "${stage_names[at]}" $((stage_seconds[at] / 60)) $((stage_seconds[at] % 60))
    done
    printf '  %-44s %4d:%02d\n' 'all' $((total / 60)) $((total % 60))
}

# The compiler of RocksDB, from one place for all checkouts that share the target folder: another path would have it compiled again.
if [ -z "${CXX:-}" ]; then
    mkdir -p "$CARGO_TARGET_DIR"
    install -m 755 scripts/cxx "$CARGO_TARGET_DIR/cxx.new"
    mv "$CARGO_TARGET_DIR/cxx.new" "$CARGO_TARGET_DIR/cxx"
    export CXX=$CARGO_TARGET_DIR/cxx
fi

# Whether RocksDB still has to be compiled for the shared target folder.
rocksdb_missing() {
    ! compgen -G "$CARGO_TARGET_DIR/release/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null
}

say_rocksdb() {
    if rocksdb_missing; then
        echo "RocksDB is compiled first, once: about a quarter of an hour on two cores. The next time it is not."
    fi
}
