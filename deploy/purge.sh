#!/usr/bin/env bash
# Stops everything and deletes the installation of `make up`, VPSes included.
. "$(dirname "$0")/lib.sh"
need_root "make purge" "make purge"
. "$root/deploy/stack.sh"

[ -d "$home" ] || {
    say "There is no installation in $home."
    exit 0
}
if [ "${BERTH_PURGE:-}" != yes ]; then
    [ -t 0 ] || die "this deletes all data in $home; without a terminal say BERTH_PURGE=yes"
    read -r -p "Delete all VPSes and data in $home? Type 'delete': " answer
    [ "$answer" = delete ] || die "nothing deleted"
fi
"$root/deploy/down.sh"
rm -rf --one-file-system "$home"
rm -f "$env_file"
[ ! -L "$root/.berth" ] || rm -f "$root/.berth"
say "Deleted $home."
