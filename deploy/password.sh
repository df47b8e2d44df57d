#!/usr/bin/env bash
# Gives the operator of `make up` a new password and prints it.
. "$(dirname "$0")/lib.sh"
need_root "make password" "make password"
. "$root/deploy/stack.sh"

[ -f "$home/settings" ] || die "there is no installation in $home; make up makes one"
load_settings
operator=${BERTH_OPERATOR_EMAIL:-operator@berth.localhost}
password=$(admin users reset-password "$operator")
say "$url, $operator, new password: $password"
