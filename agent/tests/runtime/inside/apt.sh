#!/bin/sh
# The distribution's upgrade, and a package whose scripts restart a service.
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get -y upgrade
apt-get -y install --reinstall bash cron
apt-get -y install --no-install-recommends tree
tree -L 1 / >/dev/null
systemctl is-active -q cron
