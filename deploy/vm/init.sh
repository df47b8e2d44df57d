#!/bin/sh
# The only service of the test machine: runs what the second disk holds, says how it went, and switches off.
set -u
mkdir -p /berth
mount LABEL=berth-run /berth && sh /berth/run
echo "BERTH-VM-RESULT $?"
sync
systemctl poweroff --force
