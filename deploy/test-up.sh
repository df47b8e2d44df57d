#!/usr/bin/env bash
# Tests what `make up` promises, with the very scripts, in a network namespace and under names of its own, so that it
# runs beside a live installation: the ssh line works, the guest shows the plan's figures, the stock CLI works, again
# changes nothing, down leaves the machine clean, up brings the same VPS back with its data.
. "$(dirname "$0")/lib.sh"
cd "$root"
need_root "this test" "deploy/test-up.sh"

if [ -z "${BERTH_TEST_IN_NAMESPACE:-}" ]; then
    export BERTH_TEST_IN_NAMESPACE=1
    exec unshare --net "$root/deploy/test-up.sh" "$@"
fi
ip link set lo up

unset "${!BERTH_AGENT@}" BERTH_PORT BERTH_AGENT_PORT
tag=up$((RANDOM % 9000 + 1000))
# Guests and Postgres run as users without rights, who cannot enter a clone in /root.
BERTH_HOME=$(mktemp -d /var/tmp/berth-test-$tag.XXXXXX)
export BERTH_HOME BERTH_BUILD=debug
export BERTH_AGENT_CGROUP_PARENT=berth-$tag BERTH_AGENT_NFT_TABLE=berth_$tag BERTH_AGENT_IFACE_PREFIX=bu
export BERTH_AGENT_RUN_DIR=/run/berth-$tag BERTH_AGENT_ID_BASE=$((0x50000000 + (RANDOM % 64) * 0x100000))
export BERTH_IMAGE_FILE=$root/target/images/debian-12.tar.zst
export BERTH_OPERATOR_EMAIL=operator@berth.localhost
out=$BERTH_HOME.log

cleanup() {
    local status=$?
    [ $status = 0 ] || {
        warn "the last output of make up was:"
        tail -n 40 "$out" >&2
        tail -n 20 "$BERTH_HOME"/log/*.log >&2 || true
    }
    BERTH_PURGE=yes deploy/purge.sh >/dev/null || warn "left: $BERTH_HOME"
    rm -f "$out"
    exit $status
}
trap cleanup EXIT

fail() { die "$*"; }
expect() { # expect WHAT COMMAND…
    local what=$1
    shift
    "$@" || fail "make up: $what; it was: $*"
    say "  ok  $what"
}
said() { grep -qF -- "$1" "$out"; }
up() { deploy/up.sh >"$out" 2>&1; }
line() { sed -n 's/^  First VPS   \(ssh .*\)$/\1/p' "$out"; }
guest() { # the printed line as it is, and a command
    # shellcheck disable=SC2046 # the line is words
    $(line) -o BatchMode=yes "$@" </dev/null
}
within() { [ "$2" -ge "$1" ] && [ "$2" -le "$3" ]; } # within LOW VALUE HIGH

step "make up, the first time"
up || fail "make up failed"
expect "prints the dashboard's URL" said "  Dashboard   http://127.0.0.1:"
expect "prints the operator's password" said "(shown only now)"
password=$(sed -n 's/^  Password    \([^ ]*\) .*/\1/p' "$out")
expect "the ssh line works" test "$(guest id -un)" = root
expect "Debian is running, nothing failed" test "$(guest systemctl is-system-running --wait)" = running
expect "nproc is the plan's" test "$(guest nproc)" = 1
expect "free is the plan's" within $((1000 * 1024)) "$(guest free -k | awk '/^Mem:/ { print $2 }')" $((1024 * 1024))
expect "df is the plan's" within 10500000000 "$(guest df -B1 --output=size / | tail -n1 | tr -d ' ')" 10900000000
boot=$(guest cat /proc/sys/kernel/random/boot_id)
guest 'echo kept >/root/note && sync'

env_file=$BERTH_HOME/berth.env
expect "berth.env is for root only" test "$(stat -c %a "$env_file")" = 600
# shellcheck source=/dev/null
list() { (. "$env_file" && HOME=$BERTH_HOME hcloud server list -o noheader -o columns=name,status); }
expect "hcloud server list shows it" test "$(list | tr -s ' ')" = "first-light running"

step "make up, again"
pids=$(cat "$BERTH_HOME"/run/*.pid)
up || fail "the second make up failed"
expect "says that there is nothing to do" said "Nothing to do"
expect "leaves the daemons alone" test "$(cat "$BERTH_HOME"/run/*.pid)" = "$pids"
expect "leaves the VPS alone" test "$(guest cat /proc/sys/kernel/random/boot_id)" = "$boot"
expect "does not print the password again" test -z "$(grep -F "$password" "$out")"

step "make down"
deploy/down.sh >"$out" 2>&1 || fail "make down failed"
left() {
    pgrep -f "^$BERTH_HOME/" || true
    grep -F "$BERTH_HOME" /proc/self/mounts || true
    find /sys/fs/cgroup -maxdepth 3 -name "berth-$tag*" 2>/dev/null
    ip -o link | grep -F ': bu' || true
    nft list tables | grep -F "berth_$tag" || true
    losetup -l -n -O BACK-FILE | grep -F "$BERTH_HOME" || true
    find /run -maxdepth 1 -name "berth-$tag*"
}
expect "leaves nothing of it on the machine: $(left | head -n 5)" test -z "$(left)"

step "make up, after down"
up || fail "make up after make down failed"
expect "the VPS has its data" test "$(guest cat /root/note)" = kept
expect "it was booted anew" test "$(guest cat /proc/sys/kernel/random/boot_id)" != "$boot"
expect "everything else is the same" test "$(list | tr -s ' ')" = "first-light running"
