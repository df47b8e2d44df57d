#!/usr/bin/env bash
# A whole Berth on this machine: control plane, host, image, first VPS. Every part is made only if it is not there, so
# running it again changes nothing; after a change of the code it replaces the daemons and leaves the VPSes running.
. "$(dirname "$0")/lib.sh"
cd "$root"
need_root "make up" "make up"
. "$root/deploy/stack.sh"

first_vps=first-light
operator=operator@berth.localhost
changed=()

build() {
    deploy/setup.sh run
    deploy/web.sh
    step "building (release; the first time takes ten minutes on two cores, later seconds)"
    cargo build --release --locked --quiet -p berth-server -p berth-agent </dev/null
}

# Daemons run from copies, so that the next cargo build does not write into a running program. What differs is replaced
# and its daemon restarted; running VPSes keep the monitor that they have.
install_binaries() {
    local from=${CARGO_TARGET_DIR:-$root/target}/release name
    mkdir -p "$home"/{bin,log,run}
    chmod 700 "$home/log"
    for name in berth-server berth-agent berth-monitor; do
        cmp -s "$from/$name" "$home/bin/$name" && continue
        [ ! -e "$home/bin/$name" ] || changed+=("$name replaced")
        install -m 755 "$from/$name" "$home/bin/.$name.new"
        mv -f "$home/bin/.$name.new" "$home/bin/$name"
        case $name in
        berth-server) stop_server ;;
        berth-agent) stop_agent ;;
        esac
    done
}

make_operator() { :; }

write_env() {
    local token admin_token
    [ -s "$root/berth.env" ] && grep -q "^export BERTH_URL=$url\$" "$root/berth.env" && return
    token=$(admin tokens create --project default --name "make up")
    admin_token=$(admin tokens create --operator --name "make up")
    (
        umask 077
        cat >"$root/berth.env.new" <<END
# Written by make up. Use: . ./berth.env && hcloud server list
export HCLOUD_ENDPOINT=$url/v1
export HCLOUD_TOKEN=$token
export BERTH_URL=$url
export BERTH_ADMIN_TOKEN=$admin_token
END
    )
    mv "$root/berth.env.new" "$root/berth.env"
    changed+=("berth.env written")
}

main() {
    lock_home
    build
    install_binaries
    load_settings
    clean_environment
    start_server
    write_env
}
main "$@"
