#!/usr/bin/env bash
# Measures this machine with release binaries.
. "$(dirname "$0")/lib.sh"
cd "$root"
need_root "make bench" "make bench"
deploy/setup.sh test
deploy/web.sh
step "building (release)"
cargo build --quiet --release --locked --workspace --bins
die "no benchmarks yet"
