#!/bin/sh
# Podman as an ordinary user, with the 65,536 ids that the distribution gave that user.
grep -q '^tenant:100000:65536$' /etc/subuid || fail "unexpected: $(cat /etc/subuid)"
cat >/tmp/rootless <<'X'
set -eu
cd; XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR
tar -C /tmp/image -c . | podman import -q - local/web
[ "$(podman run --rm "$@" local/web id -u)" = 0 ]
podman run --rm "$@" --user 60000 local/web id -u | grep -x 60000
podman run -d "$@" --name pod -p 8082:80 local/web /bin/httpd -f -p 80 -h /www
X
has pids || set -- --pids-limit=0
until_ok test -S /run/user/1000/bus
runuser -u tenant -- sh /tmp/rootless "$@"
until_ok curl -fsS -m 5 http://127.0.0.1:8082/
