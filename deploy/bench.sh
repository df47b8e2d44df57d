#!/usr/bin/env bash
# Figures of this machine: real guests, release binaries, under names of its own, so it runs beside a live installation
# (but measures that too). The binaries carry the failpoints that tests use; make up builds its own without.
#   bench.sh             everything, some twenty minutes on two quiet cores
#   bench.sh PART…       life (create, stop, start, reboot, delete, burst, memory), incus (the same of Debian's Incus, beside
#                        life's), neighbour (what floods cost another guest; Incus's too with incus), small (100 VPSes),
#                        network (packets and rules; Incus's too with incus)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/test-postgres.sh"
cd "$root"
need_root "make bench" "make bench"

deploy/setup.sh test
deploy/web.sh
step "building (release)"
cargo build --quiet --release --locked --workspace --bins </dev/null
cargo build --quiet --locked --workspace --example debian_image </dev/null
deploy/test-images.sh
if [ $# = 0 ] || [[ " $* " == *" incus "* ]]; then
    deploy/incus/fetch.sh || [ $? = 3 ] # the benchmark says that there is none to compare with
fi

# Of all images one is measured, which is the one that Incus gets too.
images=$root/target/bench-images
mkdir -p "$images"
ln -f target/images/debian-12.tar.zst "$images/"

trap stop_test_postgres EXIT
start_test_postgres
step "measuring"
BERTH_TEST_IMAGES=$images "${CARGO_TARGET_DIR:-$root/target}/release/berth-bench" "$@"
