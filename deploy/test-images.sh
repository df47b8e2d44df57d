#!/usr/bin/env bash
# The images that the tests boot, in target/images: built once, and again when the recipe changes or after a month, so
# that they do not rot.
. "$(dirname "$0")/lib.sh"
cd "$root"

images=$root/target/images
recipe=$(sha256sum server/src/images/debian.rs | cut -d' ' -f1)
build=${CARGO_TARGET_DIR:-$root/target}/debug/examples/debian_image
mkdir -p "$images"
for image in bookworm:debian-12 trixie:debian-13; do
    file=$images/${image#*:}.tar.zst
    if [ -f "$file" ] && [ "$(cat "$file.recipe" 2>/dev/null)" = "$recipe" ] && [ -z "$(find "$file" -mtime +30)" ]; then
        continue
    fi
    step "building ${image#*:} from Debian's packages"
    rm -f "$file.recipe"
    "$build" "${image%:*}" "$file" </dev/null
    printf '%s\n' "$recipe" >"$file.recipe"
done

# guest NAME SUITE PACKAGES: a Debian with another init, or with cloud-init.
guest() {
    local file=$images/$1.tar.zst recipe
    recipe=$(printf '%s\n' "$@" "$(declare -f guest)" | sha256sum | cut -d' ' -f1)
    if [ -f "$file" ] && [ "$(cat "$file.recipe" 2>/dev/null)" = "$recipe" ] && [ -z "$(find "$file" -mtime +30)" ]; then
        return
    fi
    step "building $1 from Debian's packages"
    rm -f "$file.recipe"
    # shellcheck disable=SC2016 # mmdebstrap's hooks expand it
    mmdebstrap --quiet --mode=root --variant=minbase --format=tar --include="$3" \
        '--aptopt=Acquire::Retries "2"' '--aptopt=Acquire::http::Timeout "20"' \
        '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/lib/dbus/machine-id' \
        '--customize-hook=: > "$1"/etc/machine-id' \
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' \
        "$2" - "deb http://deb.debian.org/debian $2 main" </dev/null | zstd -q -f -3 -T0 -o "$file.partial"
    mv "$file.partial" "$file"
    printf '%s\n' "$recipe" >"$file.recipe"
}
usual=openssh-server,iproute2,iputils-ping,procps,netbase
guest sysvinit bookworm "sysvinit-core,ifupdown,$usual"
guest openrc bookworm "sysvinit-core,openrc,ifupdown,$usual"
guest cloud-init trixie "systemd-sysv,dbus,kmod,cloud-init,$usual"

# A busybox that needs no libraries: a whole root file system is made of it where the tests run.
if [ ! -x "$images/busybox" ]; then
    step "fetching busybox-static from Debian's packages"
    (
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        chmod 755 "$work"
        cd "$work"
        apt-get download -qq busybox-static >/dev/null
        dpkg-deb --fsys-tarfile ./*.deb | tar -xO ./bin/busybox >busybox
        chmod 755 busybox
        mv busybox "$images/busybox"
    )
fi
