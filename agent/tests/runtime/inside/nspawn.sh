#!/bin/sh
# A whole Debian booted by systemd-nspawn. It has to be shown the uncovered /proc and /sys that Berth keeps for this.
systemd-run -q --unit=nested systemd-nspawn --keep-unit -q -D /mnt/nested -M nested --private-network \
    --bind=/dev/.berth/proc --bind=/dev/.berth/sys -b systemd.unit=basic.target
until_ok systemd-run -q -M nested --wait --pipe true
[ "$(systemd-run -q -M nested --wait --pipe systemctl is-system-running --wait)" = running ]
machinectl poweroff nested
gone() { ! systemctl is-active -q nested; }
until_ok gone
