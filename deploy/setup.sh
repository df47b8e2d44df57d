#!/usr/bin/env bash
# Installs what is missing, and only that: a second run asks no network and takes no time.
#   setup.sh run     what `make up` needs
#   setup.sh test    that, and what `make test` needs
. "$(dirname "$0")/lib.sh"

what=${1:-run}
missing=()
# want PACKAGE TEST…: the package is missing unless the test passes.
want() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
postgres_there() { compgen -G '/usr/lib/postgresql/*/bin/initdb'; }
certificates_there() { [ -s /etc/ssl/certs/ca-certificates.crt ]; }
libc_headers_there() { printf '#include <stdlib.h>\n' | cc -E -; }

want gcc have cc
want libc6-dev libc_headers_there
want ca-certificates certificates_there
want postgresql postgres_there
want nftables have nft
want lxcfs have lxcfs
want mmdebstrap have mmdebstrap
want debian-archive-keyring test -d /usr/share/keyrings
want e2fsprogs have mkfs.ext4
want iproute2 have ip
want zstd have zstd
want xz-utils have xz
want openssh-client have ssh-keygen
want hcloud-cli have hcloud
want curl have curl
want jq have jq
want nodejs have node
want npm have npm
want util-linux have setsid
if [ "$what" = test ]; then
    want python3-venv python3 -c 'import ensurepip, venv'
    want chromium have chromium
    want python3-hcloud test -d /usr/lib/python3/dist-packages/hcloud
    want sshpass have sshpass
    want busybox-static have busybox
    want iputils-ping have ping
    want iperf3 have iperf3
    want bird2 have bird
    want qemu-system-x86 have qemu-system-x86_64
    want shellcheck have shellcheck
    want squashfs-tools have mksquashfs
    want bind9 test -x /usr/sbin/named
    want bind9-dnsutils have dig
fi

# From crates.io, built once into ~/.cargo/bin; without optimisation, which takes longer than it saves.
cargo_tools() {
    local tool
    for tool in cargo-nextest cargo-deny; do # what runs the tests; licences and sources
        have $tool && continue
        step "building $tool; some minutes, once"
        (cd / && CARGO_TARGET_DIR=$root/target/tools CARGO_PROFILE_DEV_DEBUG=0 cargo install --debug --locked --quiet $tool </dev/null) ||
            die "could not install $tool from crates.io"
        rm -rf "$root/target/tools"
    done
}
# Packages are waited for, compilers compute: both at once, where there is a compiler already.
tools=
if [ "$what" = test ] && have cargo && have cc; then
    cargo_tools &
    tools=$!
fi

if [ ${#missing[@]} -gt 0 ]; then
    have apt-get || die "missing: ${missing[*]}. Install them by hand: this script only knows apt-get."
    [ "$(id -u)" = 0 ] || die "missing packages: ${missing[*]}. Run 'make setup' as root once, or install them by hand."
    step "installing ${missing[*]}"
    # Debian's postgresql package makes and starts a cluster of its own, which nobody here needs.
    dropin=/etc/postgresql-common/createcluster.d/berth-setup.conf
    # Nor is any other service to be started: what needs one starts its own.
    policy=/usr/sbin/policy-rc.d
    made=()
    trap '[ ${#made[@]} = 0 ] || rm -f "${made[@]}"' EXIT
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        made+=("$dropin")
        mkdir -p "${dropin%/*}"
        printf 'create_main_cluster = false\n' >"$dropin"
    fi
    if [ ! -e "$policy" ]; then
        made+=("$policy")
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    install() { apt-get install -y --no-install-recommends "${missing[@]}" </dev/null; }
    mkdir -p "$root/target"
    log=$root/target/setup.log
    { apt-get update && install; } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "apt-get failed; the whole log is $log"
    }
    for service in bind9:named bird2:bird; do
        if [[ " ${missing[*]} " == *" ${service%:*} "* ]] && [ -d /run/systemd/system ]; then
            systemctl disable --quiet "${service#*:}" >>"$log" 2>&1 || warn "disable ${service#*:} if it should not run here"
        fi
    done
fi

have cargo || die "no Rust toolchain: install one (https://rustup.rs, or Debian's if it is new enough), then run this again"
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
found=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n1)" = "$wanted" ] ||
    die "Rust $found is too old: $wanted or newer is needed (rustup update)"

# The dashboard's build and its tests want Node.js 20; Debian 12 has 18. The npm registry has the binary as a package.
node_major() { "$1" --version | sed 's/^v\([0-9]*\).*/\1/'; }
if [ "$(node_major node)" -lt 20 ] && [ ! -x "$root/target/node/bin/node" ]; then
    step "installing Node.js 22 into target/node"
    mkdir -p "$root/target/node"
    case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) die "no Node.js 20 for $(uname -m) known" ;; esac
    (cd "$root/target/node" && npm install --silent --no-save --ignore-scripts --prefix . "node-linux-$arch@22" </dev/null)
    mkdir -p "$root/target/node/bin"
    ln -sf "../node_modules/node-linux-$arch/bin/node" "$root/target/node/bin/node"
fi

[ "$what" = test ] || exit 0

if [ -n "$tools" ]; then wait "$tools" || die "a tool could not be installed from crates.io; see above"; fi
cargo_tools
