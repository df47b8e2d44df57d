#!/usr/bin/env bash
# Runs the runtime's tests on pure cgroup2: a stock Debian 13 with its cloud kernel and AppArmor, under QEMU's software
# emulation, which is there on every machine. What this machine's own hierarchies cannot hold is proven there.
#
#   test-vm.sh              all of them, some twenty-five minutes
#   test-vm.sh --short      what only this kernel proves, and one guest's boot: what `make test` runs
#   test-vm.sh PATTERN      only the tests whose names match (a regular expression)
#
# Needs what `deploy/setup.sh test` installs, the images of deploy/test-images.sh, and the clone to be built.
. "$(dirname "$0")/lib.sh"
cd "$root"
need_root "make test-vm" "make test-vm"

pattern=${1:-.}
# Limits that a hybrid machine has no controllers for, our groups on this one, and the network where kernels differ.
[ "$pattern" != --short ] || pattern='^test (limits::(cpu|disk|memory)|boot::debian_13)|^lib linux::(cgroup|net::(private|six))::'
vm=$root/target/vm
target=${CARGO_TARGET_DIR:-$root/target}
minutes=30
packages=systemd-sysv,dbus,udev,linux-image-cloud-amd64,initramfs-tools,apparmor,iproute2,nftables,e2fsprogs,lxcfs,fuse3,openssh-client,iputils-ping,zstd,kmod,procps
# What runs there: the kind of its binary, and its name. Software emulation is slow: each of these needs a kernel. Of the
# network it is what differs between kernels: VXLAN between hosts, WireGuard, which not every kernel has, and IPv6, whose forwarding has one switch here.
wanted='^(test (life|boot|hostile|limits)::|lib linux::(cgroup|disk)::'
wanted+='|lib linux::net::(tests|firewall|private::(tests::members|tunnel::between)|six::tests::(guests|the_machine))'
wanted+=')'
# These need a mirror, measure, wait for long what no kernel changes, or are done more thoroughly by others (limits).
left_out='packages_can_be_updated|twenty_start_at_once|speed_of|a_monitor_that_hangs|conformance6|life::limits_hold'

mkdir -p "$vm"

# The machine: made once, and again when its recipe changes or after a month.
make_machine() {
    local recipe
    recipe=$({ printf '%s\n' "$packages" && cat deploy/vm/init.sh deploy/vm/berth-vm.service; } | sha256sum | cut -d' ' -f1)
    if [ -f "$vm/machine.ext4" ] && [ "$(cat "$vm/recipe" 2>/dev/null)" = "$recipe" ] && [ -z "$(find "$vm/machine.ext4" -mtime +30)" ]; then
        return
    fi
    step "building the test machine from Debian's packages"
    rm -rf "$vm/root" "$vm/recipe"
    mkdir "$vm/root"
    mmdebstrap --quiet --mode=root --variant=minbase --format=tar --include="$packages" \
        --aptopt='Acquire::Retries "2"' trixie - </dev/null | tar -C "$vm/root" -x
    install -m 755 deploy/vm/init.sh "$vm/root/usr/local/sbin/berth-vm"
    install -m 644 deploy/vm/berth-vm.service "$vm/root/etc/systemd/system/berth-vm.service"
    ln -s ../berth-vm.service "$vm/root/etc/systemd/system/multi-user.target.wants/berth-vm.service"
    printf 'berth-vm\n' >"$vm/root/etc/hostname"
    : >"$vm/root/etc/fstab"
    cp "$vm"/root/boot/vmlinuz-* "$vm/vmlinuz"
    cp "$vm"/root/boot/initrd.img-* "$vm/initrd"
    truncate -s 8G "$vm/machine.ext4"
    mkfs.ext4 -q -F -L berth-vm -E lazy_itable_init=1,lazy_journal_init=1 -d "$vm/root" "$vm/machine.ext4"
    rm -rf "$vm/root"
    printf '%s\n' "$recipe" >"$vm/recipe"
}

# The test binaries of the agent, as `kind path`: lib, bin, test.
binaries() {
    CARGO_INCREMENTAL=0 cargo build --quiet --locked --workspace --all-targets --message-format=json </dev/null |
        jq -r 'select(.executable != null and .profile.test and (.manifest_path | endswith("/agent/Cargo.toml")))
            | "\(.target.kind[0]) \(.executable)"'
}

# The disk with what is tested.
make_run() {
    local stage=$vm/run kind
    rm -rf "$stage"
    mkdir -p "$stage/clone/agent" "$stage/clone/target/debug" "$stage/clone/target/tmp" "$stage/images"
    : >"$stage/tests"
    binaries >"$vm/binaries"
    for kind in lib test; do
        strip --strip-debug -o "$stage/$kind" "$(sed -n "s/^$kind //p" "$vm/binaries")"
        "$stage/$kind" --list --format terse 2>/dev/null | sed -n "s/^\(.*\): test$/$kind \1/p" |
            grep -E "$wanted" | grep -vE "$left_out" | grep -E "$pattern" >>"$stage/tests" || true
    done
    [ -s "$stage/tests" ] || die "no test matches $pattern"
    strip --strip-debug -o "$stage/clone/target/debug/berth-monitor" "$target/debug/berth-monitor"
    cp "$root"/target/images/debian-1[23].tar.zst "$stage/images/"
    cp deploy/vm/run.sh "$stage/run"
    printf '%s\n' "$root" >"$stage/root"
    rm -f "$vm/run.ext4"
    truncate -s 12G "$vm/run.ext4"
    mkfs.ext4 -q -F -L berth-run -E lazy_itable_init=1,lazy_journal_init=1 -d "$stage" "$vm/run.ext4"
    rm -rf "$stage"
}

make_machine
make_run
step "booting it (software emulation; at most $minutes minutes)"
status=0
timeout $((minutes * 60)) qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -nodefaults -no-reboot \
    -display none -serial stdio -kernel "$vm/vmlinuz" -initrd "$vm/initrd" \
    -append "root=/dev/vda rw console=ttyS0 quiet systemd.unified_cgroup_hierarchy=1 systemd.mask=serial-getty@ttyS0.service" \
    -drive "file=$vm/machine.ext4,if=virtio,format=raw,snapshot=on" \
    -drive "file=$vm/run.ext4,if=virtio,format=raw,cache=unsafe" </dev/null >"$vm/log" 2>&1 || status=$?
rm -f "$vm/run.ext4"
tr -d '\r' <"$vm/log" | grep -aE '(^|h)(kernel|security|vm:|lib|test) ' || true
[ $status != 124 ] || die "the test machine did not finish within $minutes minutes; the end of its console: $(tail -n 20 "$vm/log")"
grep -aq '^BERTH-VM-RESULT 0' "$vm/log" || die "tests failed on pure cgroup2; the whole console is $vm/log"
