# shellcheck shell=bash
# A throw-away Postgres for tests: nothing is flushed, it listens on a Unix socket only, and it goes when the script
# that sourced this ends. Exports BERTH_TEST_DATABASE_URL.

start_test_postgres() {
    local bin owner=()
    bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n1)
    [ -n "$bin" ] || die "no Postgres under /usr/lib/postgresql; run 'make setup'"
    # Not under target/: the clone may lie where an unprivileged user cannot go.
    test_postgres=$(mktemp -d /tmp/berth-test-postgres.XXXXXX)
    if [ "$(id -u)" = 0 ]; then
        chown postgres: "$test_postgres"
        owner=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    fi
    (
        cd "$test_postgres"
        "${owner[@]}" "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >init.log 2>&1
        "${owner[@]}" "$bin/pg_ctl" -D data -w -s -l log start -o "-c listen_addresses= -k $test_postgres \
            -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 \
            -c shared_buffers=64MB -c max_wal_size=256MB" </dev/null
    ) || {
        tail -n 20 "$test_postgres"/*log >&2
        die "the test Postgres did not start"
    }
    stop_test_postgres_command=("${owner[@]}" "$bin/pg_ctl" -D "$test_postgres/data" -s -m immediate stop)
    export BERTH_TEST_DATABASE_URL="postgres:///postgres?host=$test_postgres&user=postgres"
}

stop_test_postgres() {
    [ -n "${test_postgres:-}" ] || return 0
    (cd / && "${stop_test_postgres_command[@]}") || warn "the test Postgres in $test_postgres did not stop"
    rm -rf "$test_postgres"
    test_postgres=
}
