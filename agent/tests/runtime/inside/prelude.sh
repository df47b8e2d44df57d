#!/bin/sh
# Put before each check. A check ends with an error when something does not work, and says what.
set -eu
fail() { echo "$*"; exit 1; }
# until_ok COMMAND…: waits until it succeeds, at most two minutes.
until_ok() {
    tries=0
    until "$@" >/tmp/until-said 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 240 ] || fail "waited in vain for: $*: $(cat /tmp/until-said)"
        sleep 0.5
    done
}
# Whether the guest has a cgroup controller of its own.
has() { grep -qw "$1" /sys/fs/cgroup/cgroup.controllers; }
