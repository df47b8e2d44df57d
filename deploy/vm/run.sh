#!/bin/sh
# Runs inside the test machine: every test in a process of its own, as on the host. Prints a line for each. What fails is
# tried once more, as in CI's profile of the other tests, and then said to be flaky.
set -u
root=$(cat /berth/root) # the clone's path, which is compiled into the tests
mkdir -p "$root" && mount --bind /berth/clone "$root"
export CI=true BERTH_TEST_IMAGES=/berth/images RUST_BACKTRACE=0 PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo "kernel $(uname -r), cgroups $(stat -fc %T /sys/fs/cgroup) with $(cat /sys/fs/cgroup/cgroup.controllers)"
echo "security modules: $(cat /sys/kernel/security/lsm)"
failed=0
passed=0
try() { timeout 240 "/berth/$1" --exact "$2" --include-ignored --nocapture </dev/null >/tmp/out 2>&1 && grep -q '1 passed' /tmp/out; }
mkdir -p /berth/tmp
while read -r binary name; do
    # The kernel charges a guest for the pages of its disk if that is on a tmpfs, as /tmp is, and these count pages.
    case $name in limits::*) export TMPDIR=/berth/tmp ;; *) unset TMPDIR ;; esac
    began=$(cut -d. -f1 /proc/uptime)
    if try "$binary" "$name"; then
        passed=$((passed + 1))
        result=ok
    elif tail -n 60 /tmp/out && try "$binary" "$name"; then
        passed=$((passed + 1))
        result='ok, FLAKY'
    else
        failed=$((failed + 1))
        result=FAILED
        tail -n 60 /tmp/out
    fi
    echo "$binary $name ... $result ($(($(cut -d. -f1 /proc/uptime) - began)) s)"
done </berth/tests
echo "vm: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
