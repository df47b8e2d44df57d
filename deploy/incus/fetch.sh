#!/usr/bin/env bash
# Debian's Incus for `make bench`, unpacked into target/incus/root and installed nowhere. Prints nothing and exits with 3
# where there is none for this machine; the benchmark says so and goes on without it.
. "$(dirname "$0")/../lib.sh"
. /etc/os-release

home=$root/target/incus
case ${VERSION_CODENAME:-} in
bookworm) suites="bookworm bookworm-updates bookworm-backports" release=bookworm-backports ;;
trixie) suites="trixie trixie-updates" release=trixie ;;
*) exit 3 ;;
esac
[ "$(cat "$home/root/.complete" 2>/dev/null)" != "$release" ] || exit 0
have apt-get || exit 3

step "fetching Debian's incus ($release) into target/incus"
rm -rf "$home"
mkdir -p "$home"/{parts,lists/partial,cache/archives/partial,debs,root/usr}
cat >"$home/parts/debian.sources" <<END
Types: deb
URIs: http://deb.debian.org/debian
Suites: $suites
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
# An apt of its own, which knows what is installed here and changes nothing of it.
apt=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$home/parts" -o "Dir::State::Lists=$home/lists"
    -o "Dir::Cache=$home/cache" -o APT::Sandbox::User=root)
log=$home/log
needed() {
    apt-get "${apt[@]}" install --simulate --no-install-recommends -t "$release" incus-base btrfs-progs |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}
download() {
    local packages
    apt-get "${apt[@]}" update
    mapfile -t packages < <(needed)
    [ ${#packages[@]} -gt 0 ] || return 1 # installed here already, by somebody who uses it
    cd "$home/debs" && apt-get "${apt[@]}" download -t "$release" "${packages[@]}"
}
(download) >>"$log" 2>&1 </dev/null || {
    warn "Debian's incus cannot be had; the log is $log"
    exit 3
}
for package in "$home"/debs/*.deb; do
    dpkg-deb -x "$package" "$home/unpacked"
done
# Everything under usr, as on a merged system: that is what is laid over the machine's /usr.
for part in bin sbin lib usr; do
    [ -d "$home/unpacked/$part" ] || continue
    to=$home/root/usr/$part
    [ "$part" != usr ] || to=$home/root/usr
    mkdir -p "$to"
    cp -a "$home/unpacked/$part/." "$to/"
done
rm -rf "$home/unpacked" "$home/debs" "$home/lists" "$home/cache"
printf '%s\n' "$release" >"$home/root/.complete"
