#!/usr/bin/env bash
# inside.sh ROOT DIR: runs incusd from ROOT (see fetch.sh) with everything of it in DIR. Started in new mount, pid and
# network namespaces, so nothing of this reaches the machine but the cgroups that liblxc makes: when this process dies,
# the daemon, its containers, lxcfs and all mounts are gone.
set -euo pipefail
packages=$1 dir=$2
mount --make-rprivate /
mount -t overlay incus -o "lowerdir=$packages/usr:/usr" /usr
mount -t proc proc /proc
# This network namespace's interfaces in /sys, and the machine's cgroups.
mkdir -p "$dir/cgroup" "$dir/state"
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"
# Ids for its containers: a range that nobody else on this machine has.
echo root:1207959552:65536 >"$dir/ids"
for file in /etc/subuid /etc/subgid; do
    [ ! -e "$file" ] || mount --bind "$dir/ids" "$file"
done
# A live lxcfs of the machine is used, else one of its own; guests of both systems have one.
if [ ! -e /var/lib/lxcfs/proc/uptime ]; then
    mkdir -p /var/lib/lxcfs
    lxcfs --enable-loadavg --enable-cfs --pidfile "$dir/lxcfs.pid" /var/lib/lxcfs >"$dir/lxcfs.log" 2>&1 </dev/null &
fi
export INCUS_DIR=$dir/state INCUS_SOCKET=$dir/incus.sock
exec /usr/libexec/incus/incusd --group root --logfile "$dir/incusd.log" </dev/null
