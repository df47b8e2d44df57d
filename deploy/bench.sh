#!/usr/bin/env bash
# Figures of this machine: real guests, release binaries, under names of its own, so it runs beside a live installation
# (but measures that too). The binaries carry the failpoints that tests use; make up builds its own without.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/test-postgres.sh"
cd "$root"
need_root "make bench" "make bench"

deploy/setup.sh test
deploy/web.sh
step "building (release)"
cargo build --quiet --release --locked --workspace --bins </dev/null
cargo build --quiet --locked -p berth-server --example debian_image </dev/null
deploy/test-images.sh

trap stop_test_postgres EXIT
start_test_postgres
step "measuring"
BERTH_TEST_IMAGES=$root/target/images "${CARGO_TARGET_DIR:-$root/target}/release/berth-bench"
