#!/usr/bin/env bash
# Stops all that `make up` started and leaves the machine as it was: no process, mount, cgroup, interface or rule of
# Berth. Data stays, and `make up` brings the same VPSes back.
. "$(dirname "$0")/lib.sh"
need_root "make down" "make down"
. "$root/deploy/stack.sh"

[ -f "$home/settings" ] || {
    say "Nothing to stop: there is no installation in $home."
    exit 0
}
lock_home
load_settings

if running_pid "$server_pid" >/dev/null || running_pid "$agent_pid" >/dev/null; then running=yes; else running=no; fi

# The agent first, or it would start again what is stopped here.
stop_agent
if [ "$(cat "$claim" 2>/dev/null)" = "$home" ]; then
    step "shutting the VPSes down"
    "$home/bin/berth-agent" stop-all </dev/null 2>>"$home/log/agent.log" 9>&- ||
        die_with_log agent "not everything could be stopped; make down again tries again"
    rm -f "$claim"
    rmdir "${BERTH_AGENT_RUN_DIR:-/run/berth}" 2>/dev/null || true # a monitor that was still ending had its files there
fi
stop_server

if [ $running = yes ]; then
    say "Stopped. Data is kept in $home; make up brings everything back."
else
    say "Nothing was running. Data is in $home."
fi
