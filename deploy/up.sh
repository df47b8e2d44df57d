#!/usr/bin/env bash
# A whole Berth on this machine: control plane, host, image, first VPS. Every part is made only if it is not there, so
# running it again changes nothing; after a change of the code it replaces the daemons and leaves the VPSes running.
#
# BERTH_IMAGE_FILE names an archive to import as debian-12 instead of building it. BERTH_BUILD=debug takes a faster build.
. "$(dirname "$0")/lib.sh"
cd "$root"
need_root "make up" "make up"
. "$root/deploy/stack.sh"

first_vps=first-light
image=debian-12
image_file=${BERTH_IMAGE_FILE:-}
profile=${BERTH_BUILD:-release}
changed=()

build() {
    deploy/setup.sh run
    deploy/web.sh
    if [ "$profile" = release ]; then
        local built=${CARGO_TARGET_DIR:-$root/target}/release/berth-server
        if [ -x "$built" ]; then
            step "building what changed"
        else
            step "building (the first time takes some ten minutes on two cores)"
        fi
        cargo build --release --locked --quiet -p berth-server -p berth-agent </dev/null
    else
        step "building (debug)"
        cargo build --locked --quiet --workspace --bins </dev/null
    fi
}

# Daemons run from copies, so that the next cargo build does not write into a running program. What differs is replaced
# and its daemon restarted; running VPSes keep the monitor that they have.
install_binaries() {
    local from=${CARGO_TARGET_DIR:-$root/target}/$profile name
    mkdir -p "$home/bin" "$home/run" "$home/log"
    chmod 700 "$home/log"
    for name in berth-server berth-agent berth-monitor; do
        cmp -s "$from/$name" "$home/bin/$name" && continue
        case $name in
        berth-server) stop_server ;;
        berth-agent) stop_agent ;;
        esac
        [ ! -e "$home/bin/$name" ] || changed+=("$name replaced")
        install -m 755 "$from/$name" "$home/bin/.$name.new"
        mv -f "$home/bin/.$name.new" "$home/bin/$name"
    done
}

make_key() {
    [ -f "$home/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C 'made by make up' -f "$home/id_ed25519"
}

# Tokens are shown once, so the file is the only place that has them; another port or another database needs new ones.
tokens_work() {
    grep -qx "export BERTH_URL=$url" "$env_file" 2>/dev/null || return 1
    # shellcheck source=/dev/null
    (. "$env_file" && api GET /locations && curl_as "$BERTH_ADMIN_TOKEN" "$url/admin/v1/hosts") >/dev/null 2>&1
}
write_env() {
    tokens_work && return
    local token admin_token
    token=$(admin tokens create --project default --name 'make up')
    admin_token=$(admin tokens create --admin --name 'make up')
    (
        umask 077
        cat >"$env_file.new" <<END
# Written by make up.
export HCLOUD_ENDPOINT=$url/v1
export HCLOUD_TOKEN=$token
export BERTH_URL=$url
export BERTH_ADMIN_TOKEN=$admin_token
END
    )
    mv "$env_file.new" "$env_file"
    changed+=("berth.env written")
}

# The token goes through a pipe: arguments can be read by every user of the machine.
curl_as() {
    local token=$1
    shift
    curl -sS --fail-with-body --max-time 60 -H @- "$@" <<<"Authorization: Bearer $token"
}
# api METHOD PATH [BODY]: the tenant API, as the token of berth.env.
api() {
    curl_as "$HCLOUD_TOKEN" -X "$1" ${3:+-H 'Content-Type: application/json' -d "$3"} "$HCLOUD_ENDPOINT$2"
}

enrol_host() {
    [ -f "$home/agent/identity.json" ] && return
    local name token
    name=$(uname -n | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9-' | cut -c1-32)
    step "enrolling this machine as host ${name:-host-1}"
    token=$(admin hosts token "${name:-host-1}")
    mkdir -p "$home/agent"
    chmod 711 "$home/agent"
    BERTH_ENROL_TOKEN=$token "$home/bin/berth-agent" enrol </dev/null >/dev/null 9>&-
    changed+=("host enrolled")
}
host_seen() {
    running_pid "$agent_pid" >/dev/null || die_with_log agent "the agent ended"
    curl_as "$BERTH_ADMIN_TOKEN" "$url/admin/v1/hosts" | jq -e '[.hosts[] | select(.state == "online")] | length > 0' >/dev/null
}

make_image() {
    admin images list --json | jq -e --arg name $image 'any(.[]; .name == $name and .retired_at == null)' >/dev/null && return
    if [ -n "$image_file" ]; then
        step "importing $image from $image_file"
        admin images import --name $image --file "$image_file" >/dev/null
    else
        step "building the image $image from Debian's packages (about a minute)"
        admin images build-debian --suite bookworm >/dev/null
    fi
    changed+=("image $image made")
}

# The first VPS is made once. Who deletes it later does not find it there again.
make_vps() {
    local key answer
    [ ! -f "$home/first-vps" ] || return 0
    key=$(jq -nc --arg key "$(cat "$home/id_ed25519.pub")" '{name: "make-up", public_key: $key}')
    api GET '/ssh_keys?name=make-up' | jq -e '.ssh_keys | length > 0' >/dev/null || api POST /ssh_keys "$key" >/dev/null
    if api GET "/servers?name=$first_vps" | jq -e '.servers | length == 0' >/dev/null; then
        step "creating the first VPS"
        answer=$(api POST /servers "$(jq -nc --arg name $first_vps --arg image $image \
            '{name: $name, server_type: "b1", image: $image, ssh_keys: ["make-up"]}')") ||
            die "the VPS could not be created: $(jq -r '.error.message // .' <<<"$answer")"
        changed+=("VPS $first_vps created")
    fi
    api GET "/servers?name=$first_vps" | jq -r '.servers[0].id' >"$home/first-vps"
}

vps() { api GET "/servers?name=$first_vps" | jq -c '.servers[0] // empty'; }
vps_ready() {
    local status error
    status=$(vps | jq -r .status)
    error=$(api GET "/servers/$(cat "$home/first-vps")/actions" | jq -r '[.actions[] | select(.status == "error")][0].error.message // empty')
    [ -z "$error" ] || die "the VPS did not start: $error"
    # One that its owner has switched off stays off.
    [ "$status" = off ] || { [ "$status" = running ] && in_vps true 2>/dev/null; }
}
ssh_line() {
    printf 'ssh -i %s -o UserKnownHostsFile=%s -o StrictHostKeyChecking=accept-new root@%s' \
        "$home/id_ed25519" "$home/known_hosts" "$(vps | jq -r .public_net.ipv4.ip)"
}
in_vps() {
    # shellcheck disable=SC2046 # the line is words
    $(ssh_line) -o BatchMode=yes -o ConnectTimeout=3 -o LogLevel=ERROR "$@" </dev/null 9>&-
}

report() {
    local state env_shown=$env_file
    [ "$env_file" != "$root/berth.env" ] || env_shown=./berth.env
    say
    if [ ${#changed[@]} = 0 ]; then
        say "Nothing to do: everything is up already."
    else
        say "Done: $(printf '%s, ' "${changed[@]}" | sed 's/, $//')."
    fi
    say
    say "  Dashboard   $url"
    if [ -f "$home/operator.json" ]; then
        say "  Sign in     $(jq -r .email "$home/operator.json")"
        say "  Password    $(jq -r .password "$home/operator.json")    (shown only now)"
        rm -f "$home/operator.json"
    else
        say "  Sign in     ${BERTH_OPERATOR_EMAIL:-operator@berth.localhost}    (a new password: make password)"
    fi
    say "  Data        $home"
    say "  API         . $env_shown && hcloud server list"
    state=$(vps | jq -r .status)
    case $state in
    '') say "  First VPS   deleted" ;;
    off) say "  First VPS   off; . $env_shown && hcloud server poweron $first_vps" ;;
    *) say "  First VPS   $(ssh_line)" ;;
    esac
    say
}

lock_home
build
install_binaries
load_settings
claim_names
start_server
write_env
# shellcheck source=/dev/null
. "$env_file"
make_key
make_image
enrol_host
start_agent
wait_for 60 host_seen || die_with_log agent "the control plane has not heard from this host"
make_vps
if [ -n "$(vps)" ]; then
    [ ${#changed[@]} = 0 ] || step "waiting for $first_vps to answer"
    wait_for 180 vps_ready || die "$first_vps is $(vps | jq -r .status) but does not answer: see $home/log/agent.log"
fi
report
