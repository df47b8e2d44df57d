#!/usr/bin/env bash
# Writes .sqlx/ anew: the checked descriptions of all queries, which let everybody else build without a database.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/test-postgres.sh"
cd "$root"

trap stop_test_postgres EXIT
start_test_postgres
step "applying migrations to a throw-away database"
for file in migrations/*.sql; do
    psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -d "$BERTH_TEST_DATABASE_URL" -f "$file"
done

step "checking the queries against it"
rm -rf .sqlx
mkdir .sqlx
touch server/src/lib.rs
DATABASE_URL=$BERTH_TEST_DATABASE_URL SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$root/.sqlx cargo check --quiet -p berth-server --all-targets
say "$(find .sqlx -name '*.json' | wc -l) queries described in .sqlx/; commit them with the change."
