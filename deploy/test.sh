#!/usr/bin/env bash
# Runs the tests. As root on a machine that can hold VPSes it runs everything; elsewhere it runs what can run and says
# what it did not. With CI=true leaving something out is an error.
#   test.sh all | e2e | browser
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/test-postgres.sh"
cd "$root"

what=${1:-all}
began=$SECONDS
skipped=()
skip() {
    warn "SKIPPED: $1 ($2)"
    skipped+=("$1")
}

deploy/setup.sh test
if [ "$what" = all ]; then
    deploy/web.sh
    deploy/lint.sh
fi

step "building everything (test profile)"
export CARGO_INCREMENTAL=0
cargo build --quiet --locked --workspace --all-targets
export BERTH_TEST_BIN=${CARGO_TARGET_DIR:-$root/target}/debug

step "starting a throw-away Postgres"
trap stop_test_postgres EXIT
start_test_postgres

case $what in
all) filter=() ;;
browser)
    deploy/web.sh
    filter=(-E 'package(berth-tests) & test(/^browser::/)')
    ;;
e2e) filter=(-E 'package(berth-tests) & binary(~e2e)') ;;
*) die "unknown: test.sh $what" ;;
esac
step "tests"
cargo nextest run --locked --workspace --profile ci --no-tests=fail "${filter[@]}" </dev/null

[ ${#skipped[@]} = 0 ] || {
    printf 'NOT TESTED HERE: %s\n' "${skipped[@]}" >&2
    [ "${CI:-}" != true ] || die "with CI=true nothing may be left out"
}
say "make test: $what passed in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
