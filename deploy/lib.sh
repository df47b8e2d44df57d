# shellcheck shell=bash
# Shared by the scripts of this directory; sourced, never run. Sets `root` (the clone) and a few verbs.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
[ -z "${HOME:-}" ] || PATH=$PATH:$HOME/.cargo/bin
export PATH

say() { printf '%s\n' "$*"; }
step() { printf '==> %(%T)T %s\n' -1 "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
# Node.js that deploy/setup.sh put there because the system's is too old.
[ ! -x "$root/target/node/bin/node" ] || PATH=$root/target/node/bin:$PATH

have() { command -v "$1" >/dev/null 2>&1; }

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 needs root: it makes namespaces, mounts, cgroups and firewall rules. Run it as root (sudo -E $2)."
}

# Where `make up` keeps everything. Postgres and the guests run as users without rights, so every directory above it has
# to be searchable by them; a clone in /root is not, and gets a home under /var/lib instead.
berth_home() {
    if [ -n "${BERTH_HOME:-}" ]; then
        printf '%s\n' "$BERTH_HOME"
    elif searchable "$root"; then
        printf '%s\n' "$root/.berth"
    else
        printf '/var/lib/berth-%s\n' "$(printf %s "$root" | cksum | cut -d' ' -f1)"
    fi
}

# Whether a user without rights could reach this directory.
searchable() {
    local dir=$1
    while [ "$dir" != / ]; do
        [ -e "$dir" ] && [ $((0$(stat -c %a "$dir") & 1)) = 0 ] && return 1
        dir=$(dirname "$dir")
    done
    return 0
}

# A pid alone may have been given to another process since; with its start time it is a name.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    printf '%s\n' "$stat" | cut -d' ' -f20
}
write_pid() { printf '%s %s\n' "$2" "$(start_time "$2")" >"$1"; }
# Prints the pid when the process named by the file still runs.
running_pid() {
    local pid started
    [ -f "$1" ] || return 1
    read -r pid started <"$1" || return 1
    [ "$(start_time "$pid")" = "$started" ] || return 1
    printf '%s\n' "$pid"
}

# wait_for SECONDS COMMAND…: until the command succeeds; fails when the time is over.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

# Ends a process by its pid file: asks, waits, insists.
stop_pid() {
    local file=$1 name=$2 patience=$3 pid
    if pid=$(running_pid "$file"); then
        kill -TERM "$pid" 2>/dev/null || true
        wait_for "$patience" gone "$pid" || {
            warn "$name (pid $pid) did not leave within $patience s; killing it"
            kill -KILL "$pid" 2>/dev/null || true
            wait_for 10 gone "$pid" || die "$name (pid $pid) cannot be killed"
        }
    fi
    rm -f "$file"
}
gone() {
    local state
    state=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    state=${state##*) }
    [ "${state%% *}" = Z ]
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# The wanted port, or the next free one.
free_port() {
    local port=$1
    while port_taken "$port"; do port=$((port + 1)); done
    printf '%s\n' "$port"
}
