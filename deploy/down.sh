#!/usr/bin/env bash
# Stops all that `make up` started and leaves the machine as it was: no process, mount, cgroup, interface or rule of
# Berth. Data stays, and `make up` brings the same VPSes back.
. "$(dirname "$0")/lib.sh"
need_root "make down" "make down"
. "$root/deploy/stack.sh"

[ -d "$home" ] || {
    say "Nothing to stop: there is no installation in $home."
    exit 0
}
lock_home
load_settings
clean_environment

was_running=no
running_pid "$server_pid" >/dev/null || running_pid "$agent_pid" >/dev/null && was_running=yes

# The agent first: it would only report what follows.
stop_agent
if [ -x "$home/bin/berth-agent" ]; then
    step "shutting the VPSes down"
    "$home/bin/berth-agent" stop-all 9>&- </dev/null
fi
stop_server

if [ $was_running = yes ]; then
    say "Stopped. Data is kept in $home; make up brings everything back."
else
    say "Nothing was running. Data is in $home."
fi
