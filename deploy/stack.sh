# shellcheck shell=bash
# What `make up`, `make down` and `make purge` know about the installation they share: where it lives, its ports, and
# how its two daemons are started and stopped. Sourced after lib.sh.

home=$(berth_home)
server_pid=$home/run/server.pid
agent_pid=$home/run/agent.pid
settings=$home/settings

# One up or down at a time. The descriptor is closed again for every daemon, or the lock would live as long as they do.
lock_home() {
    mkdir -p "$home"
    chmod 711 "$home"
    exec 9>"$home/lock"
    flock -n 9 || die "another make up or make down is at work on $home"
}

# Ports are chosen once and kept, or every bookmark and known_hosts line would rot.
load_settings() {
    local PORT='' AGENT_PORT=''
    # shellcheck source=/dev/null
    [ ! -f "$settings" ] || . "$settings"
    port=${BERTH_PORT:-$PORT}
    agent_port=${BERTH_AGENT_PORT:-$AGENT_PORT}
    if ! running_pid "$server_pid" >/dev/null; then
        [ -n "$port" ] || port=$(free_port 8080)
        [ -n "$agent_port" ] || agent_port=$(free_port $((port == 8443 ? 8444 : 8443)))
        local p
        for p in "$port" "$agent_port"; do
            ! port_taken "$p" || die "port $p is taken by another program; set BERTH_PORT or BERTH_AGENT_PORT, or stop that program"
        done
        printf 'PORT=%s\nAGENT_PORT=%s\n' "$port" "$agent_port" >"$settings"
    elif [ "$port" != "$PORT" ]; then
        die "this installation runs on port $PORT; make down first to move it to $port"
    fi
    url=http://127.0.0.1:$port
}

# What both daemons and the admin commands are configured by. Whatever of ours the caller's environment holds (a sourced
# berth.env, another installation's settings) must not leak in.
clean_environment() {
    local name
    for name in $(compgen -e BERTH_) DATABASE_URL; do
        case $name in BERTH_HOME) ;; *) unset "$name" ;; esac
    done
    export BERTH_DATA_DIR=$home/server BERTH_URL=$url
    export BERTH_LISTEN=127.0.0.1:$port BERTH_AGENT_LISTEN=127.0.0.1:$agent_port BERTH_AGENT_NAMES=localhost,127.0.0.1
    export BERTH_STATE_DIR=$home/agent
    export RUST_LOG=${RUST_LOG:-info}
}

# daemon NAME PIDFILE COMMAND…: in a session of its own, so that neither a closed terminal nor make takes it along.
daemon() {
    local name=$1 file=$2
    shift 2
    (cd "$home" && exec setsid "$@" >>"$home/log/$name.log" 2>&1 </dev/null 9>&-) &
    write_pid "$file" $!
}

server_answers() { curl -fsS -o /dev/null --max-time 2 "$url/healthz"; }
server_up() {
    running_pid "$server_pid" >/dev/null || die "berth-server ended: see $home/log/server.log"
    server_answers 2>/dev/null
}

start_server() {
    running_pid "$server_pid" >/dev/null && return
    step "starting the control plane"
    daemon server "$server_pid" "$home/bin/berth-server" serve
    wait_for 60 server_up || die "the control plane does not answer on $url: see $home/log/server.log"
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

admin() { "$home/bin/berth-server" admin "$@"; }
