#!/bin/sh
# What several checks use: a tiny container image, a user with a session, a tree for nested systems, a cron job.
mkdir -p /tmp/image/bin /tmp/image/www /tmp/image/tmp
cp /bin/busybox /tmp/image/bin/
for name in sh httpd id cat mount sleep; do ln -sf busybox "/tmp/image/bin/$name"; done
echo hello >/tmp/image/www/index.html
printf 'FROM scratch\nCOPY . /\nCMD ["/bin/httpd","-f","-p","80","-h","/www"]\n' >/tmp/image/Dockerfile
echo '* * * * * root date >>/tmp/cron-ran' >/etc/cron.d/inside
useradd -m -s /bin/sh tenant
loginctl enable-linger tenant
# A whole Debian for nested systems: this one, with a layer of its own on the disk.
layer=/var/lib/containers/nested
mkdir -p $layer/upper $layer/work /mnt/nested
mount -t overlay nested -o userxattr,lowerdir=/,upperdir=$layer/upper,workdir=$layer/work /mnt/nested
: >/mnt/nested/etc/machine-id
