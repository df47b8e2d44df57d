#!/bin/sh
# nginx and PostgreSQL by their packages' units, and over a restart.
systemctl restart nginx postgresql
until_ok curl -fsS -m 5 -o /dev/null http://127.0.0.1/
sum() { runuser -u postgres -- psql -d postgres -Atc 'select sum(n) from generate_series(1, 1000) n'; }
until_ok sum
[ "$(sum)" = 500500 ]
runuser -u postgres -- psql -q -d postgres -c 'create table kept as select 42 as n'
systemctl restart postgresql
until_ok runuser -u postgres -- psql -d postgres -Atc 'select n from kept'
