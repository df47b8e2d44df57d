#!/bin/sh
# A FUSE file system: sshfs over this machine's own sshd, as root and as a user.
mkdir -p /mnt/fuse
ssh-keygen -q -t ed25519 -N '' -f /root/inside-key
cat /root/inside-key.pub >>/root/.ssh/authorized_keys
options=StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null
sshfs -o "$options,IdentityFile=/root/inside-key" root@127.0.0.1:/etc /mnt/fuse
cmp /mnt/fuse/hostname /etc/hostname
umount /mnt/fuse
install -o tenant -m 600 /root/inside-key /home/tenant/key
runuser -u tenant -- mkdir -p /home/tenant/mnt
runuser -u tenant -- sshfs -o "$options,IdentityFile=/home/tenant/key" root@127.0.0.1:/etc /home/tenant/mnt
runuser -u tenant -- cmp /home/tenant/mnt/hostname /etc/hostname
runuser -u tenant -- fusermount3 -u /home/tenant/mnt
