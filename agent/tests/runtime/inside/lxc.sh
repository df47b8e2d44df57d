#!/bin/sh
# The same Debian booted by LXC.
mkdir -p /var/lib/lxc/nested
cat >/var/lib/lxc/nested/config <<'X'
lxc.uts.name = nested
lxc.rootfs.path = dir:/mnt/nested
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.init.cmd = /sbin/init --unit=basic.target
X
lxc-start -n nested
until_ok lxc-attach -n nested -- systemctl is-active -q basic.target
[ "$(lxc-attach -n nested -- ps -p 1 -o comm=)" = systemd ]
lxc-stop -n nested -t 60
