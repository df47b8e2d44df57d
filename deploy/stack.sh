# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # used by, and set by, what sources it
# What `make up`, `make down` and `make purge` know about the installation they share: where it lives, its settings, and
# how its two daemons are started and stopped. Sourced after lib.sh.

home=$(berth_home)
server_pid=$home/run/server.pid
agent_pid=$home/run/agent.pid
# Beside the Makefile, where people look for it; an installation in a place of its own keeps its own.
env_file=$root/berth.env
[ -z "${BERTH_HOME:-}" ] || env_file=$home/berth.env

# One up or down at a time. Every daemon is started without the descriptor, or the lock would live as long as they do.
lock_home() {
    mkdir -p "$home"
    chmod 711 "$home"
    exec 9>"$home/lock"
    flock -n 9 || die "another make up or make down is at work on $home"
}

# Settings are taken from the environment once, at the first make up, and kept in the home: ports that move would make
# bookmarks rot, and names that change would lose track of running VPSes.
kept_settings="BERTH_LISTEN BERTH_AGENT_LISTEN BERTH_NAT_POOL BERTH_OPERATOR_EMAIL BERTH_AGENT_RUN_DIR
    BERTH_AGENT_CGROUP_PARENT BERTH_AGENT_IFACE_PREFIX BERTH_AGENT_NFT_TABLE BERTH_AGENT_ID_BASE BERTH_AGENT_UPLINK
    BERTH_AGENT_UNDERLAY_ADDRESS BERTH_AGENT_VXLAN_PORT BERTH_AGENT_LXCFS"
load_settings() {
    local name port
    if [ ! -f "$home/settings" ]; then
        port=$(free_port "${BERTH_PORT:-8080}")
        BERTH_LISTEN=127.0.0.1:$port
        BERTH_AGENT_LISTEN=127.0.0.1:$(free_port "${BERTH_AGENT_PORT:-$((port == 8443 ? 8444 : 8443))}")
        for name in $kept_settings; do
            [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
        done >"$home/settings.new"
        mv "$home/settings.new" "$home/settings"
    fi
    # Whatever of ours the caller has set (a sourced berth.env, say) must not leak in.
    for name in $(compgen -e BERTH_) DATABASE_URL RUST_LOG; do
        [ "$name" = BERTH_HOME ] || unset "$name"
    done
    # shellcheck source=/dev/null
    . "$home/settings"
    url=http://$BERTH_LISTEN
    export BERTH_URL=$url BERTH_DATA_DIR=$home/server BERTH_AGENT_NAMES=localhost,127.0.0.1
    export BERTH_FIRST_START_FILE=$home/operator.json BERTH_RATE_LIMIT=0
    export BERTH_AGENT_STATE_DIR=$home/agent
    claim=/run/${BERTH_AGENT_CGROUP_PARENT:-berth}.home
}

# Two installations may share a machine, but not the names of what they make in its kernel.
claim_names() {
    local other
    other=$(cat "$claim" 2>/dev/null) || other=$home
    if [ "$other" != "$home" ] && running_pid "$other/run/agent.pid" >/dev/null; then
        die "another Berth runs on this machine, from $other. Stop it first, or give this one names of its own; see deploy/README.md"
    fi
    printf '%s\n' "$home" >"$claim"
}

# daemon NAME PIDFILE COMMAND…: in a session of its own, so that neither a closed terminal nor make takes it along. Logs
# go to stderr; stdout, where the server greets its first operator, is not kept. Whatever else the caller has open (a lock
# of its own, say) must not stay open for as long as the daemon runs.
daemon() {
    local name=$1 file=$2 fd
    shift 2
    (
        cd "$home" || exit
        for fd in /proc/"$BASHPID"/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || exec {fd}>&-
        done
        exec setsid "$@" >/dev/null 2>>"$home/log/$name.log" </dev/null
    ) &
    write_pid "$file" $!
}

server_up() {
    running_pid "$server_pid" >/dev/null || die_with_log server "the control plane ended"
    curl -fsS -o /dev/null --max-time 2 "$url/healthz" 2>/dev/null
}
start_server() {
    local port
    running_pid "$server_pid" >/dev/null && return
    for port in "${BERTH_LISTEN##*:}" "${BERTH_AGENT_LISTEN##*:}"; do
        ! port_taken "$port" || die "port $port is taken by another program; stop that, or change the port in $home/settings"
    done
    step "starting the control plane"
    daemon server "$server_pid" "$home/bin/berth-server" serve
    wait_for 60 server_up || die_with_log server "the control plane does not answer on $url"
    changed+=("control plane started")
}
stop_server() { stop_pid "$server_pid" berth-server 30; }

start_agent() {
    running_pid "$agent_pid" >/dev/null && return
    step "starting the host's agent"
    daemon agent "$agent_pid" "$home/bin/berth-agent" run
    changed+=("agent started")
}
stop_agent() { stop_pid "$agent_pid" berth-agent 30; }

die_with_log() {
    tail -n 15 "$home/log/$1.log" >&2
    die "$2; the whole log is $home/log/$1.log"
}

admin() { "$home/bin/berth-server" admin "$@" </dev/null 9>&-; }
