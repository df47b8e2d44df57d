#!/bin/sh
# A user's own service manager.
until_ok test -S /run/user/1000/bus
cat >/tmp/user-units <<'X'
set -eu
XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR
[ "$(systemd-run --user --wait --pipe -q id -un)" = tenant ]
systemctl --user is-system-running --wait
X
runuser -u tenant -- sh /tmp/user-units
# The system's own sandboxes, which packages' units use.
systemd-run --wait --pipe -q -p DynamicUser=yes -p PrivateTmp=yes -p ProtectSystem=strict -p PrivateDevices=yes \
    -p ProtectHome=yes -p ProtectKernelTunables=yes -p PrivateNetwork=yes -p NoNewPrivileges=yes cat /proc/meminfo >/dev/null
