#!/usr/bin/env bash
# Runs the tests. As root on a machine that can hold VPSes it runs everything; elsewhere it runs what can run and says
# what it did not. With CI=true leaving something out is an error.
#   test.sh all | e2e | browser | vm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/test-postgres.sh"
cd "$root"

what=${1:-all}
began=$SECONDS
# Tests with real guests, by their binaries.
guests='(package(berth-tests) & binary(=e2e)) + (package(berth-agent) & binary(=runtime))'
root_here=yes
[ "$(id -u)" = 0 ] || root_here=no

# What Berth can leave on a machine; all its names hold "berth", but for interfaces and namespaces.
traces() {
    find /sys/fs/cgroup -maxdepth 3 -type d -name '*berth*' 2>/dev/null || true
    grep berth /proc/self/mounts || true
    losetup -l -n -O BACK-FILE 2>/dev/null | grep berth || true
    ip -o link 2>/dev/null | sed 's/^[0-9]*: \([^:@]*\).*/link \1/' || true
    ip netns list 2>/dev/null | sed 's/ .*//; s/^/netns /' || true
    nft list tables 2>/dev/null || true
    pgrep -a 'berth-' | cut -d' ' -f2- || true
    ls -d /run/berth* 2>/dev/null || true
}

deploy/setup.sh test
deploy/web.sh
if [ "$what" = all ]; then
    deploy/lint.sh --cheap
    deploy/checker.sh header
    # Clippy is the compiler with more lints: what is tested is linted as it is built, warnings are errors. A run of clippy
    # by itself would read all dependencies a second time, some minutes on two cores.
    export RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
fi

# Images are made while the compiler works: the one waits for packages, the other for the processor. What makes them is
# built before, with the features of the whole workspace, so that nothing is built twice.
export CARGO_INCREMENTAL=0
images=
if [ $root_here = yes ] && [ "$what" != browser ]; then
    step "building what makes the images"
    cargo build --quiet --locked --workspace --example debian_image </dev/null
    { deploy/test-images.sh && deploy/checker.sh escape; } &
    images=$!
fi

step "building everything (test profile)"
cargo build --quiet --locked --workspace --all-targets </dev/null
[ -z "$images" ] || wait "$images" || die "the test images could not be made; see above"

case $what in
all) filter='all()' ;;
e2e) filter=$guests ;;
vm) filter='none()' ;;
browser) filter='package(berth-tests) & test(/^browser::/)' ;;
*) die "unknown: test.sh $what" ;;
esac
if [ $root_here = no ]; then
    [ "${CI:-}" != true ] || die "the tests with real guests need root, and with CI=true nothing may be left out"
    [ "$what" != e2e ] || need_root "make e2e" "make e2e"
    warn "NOT TESTED HERE, because it needs root: real guests, make up itself, and pure cgroup2"
    filter="($filter) - ($guests)"
fi

if [ "$what" = vm ]; then
    need_root "make test-vm" "make test-vm"
    exec deploy/test-vm.sh
fi

# What deploy/sysctl.conf asks of a host and a test needs; it is as it was afterwards.
terminals=$(cat /proc/sys/kernel/pty/max)
restore() {
    [ $root_here = no ] || printf '%s\n' "$terminals" >/proc/sys/kernel/pty/max
    stop_test_postgres
}
before=$(traces | sort)
trap restore EXIT
[ $root_here = no ] || sed -n 's/^kernel.pty.max = //p' deploy/sysctl.conf >/proc/sys/kernel/pty/max
step "starting a throw-away Postgres"
start_test_postgres

step "tests"
cargo nextest run --locked --workspace --profile ci --no-tests=fail -E "$filter" </dev/null

if [ "$what" = all ] && [ $root_here = yes ]; then
    deploy/test-up.sh
    deploy/test-vm.sh --short
fi

stop_test_postgres
left=$(comm -13 <(printf '%s\n' "$before") <(traces | sort))
[ -z "$left" ] || die "the tests left this on the machine: $left"

say "make test: $what passed in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
