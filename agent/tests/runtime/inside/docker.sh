#!/bin/sh
# Docker on overlay2: an image built here, a published port (also tried from outside), exec.
systemctl is-active -q docker
driver=$(docker info -f '{{.Driver}}')
[ "$driver" = overlay2 ] || fail "docker uses $driver"
docker build -q -t local/web /tmp/image 2>&1
docker run -d --name web -p 8080:80 local/web
until_ok curl -fsS -m 5 http://127.0.0.1:8080/
docker exec web mount | grep -q '^overlay on / type overlay' || fail "its root is no overlay"
# Limits need controllers, which a guest has only on a host with pure cgroup2.
if has memory && has cpu && has pids; then
    docker run --rm -m 64m --cpus 0.5 --pids-limit 50 local/web cat /sys/fs/cgroup/memory.max | grep -qx 67108864
fi
# Another container reaches it by a network of their own.
docker network create inner
docker network connect inner web
docker run --rm --network inner local/web /bin/busybox wget -q -O - http://web/ | grep -qx hello
