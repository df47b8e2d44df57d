#!/bin/sh
# Podman as root, with a published port.
has pids || set -- --pids-limit=0
tar -C /tmp/image -c . | podman import -q - local/web
podman run -d "$@" --name pod -p 8081:80 local/web /bin/httpd -f -p 80 -h /www
until_ok curl -fsS -m 5 http://127.0.0.1:8081/
podman exec pod mount | grep '^overlay on / type overlay' >/dev/null || fail "its root is no overlay"
podman rm -f -t 0 pod
