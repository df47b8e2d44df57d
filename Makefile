# Every target is one script; nothing is decided here. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help up down password purge setup fmt lint test test-vm e2e bench browser web sqlx clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up:  ## a control plane, a host and a first VPS on this machine (root)
	@deploy/up.sh

down:  ## stop all that `make up` started; data stays
	@deploy/down.sh

password:  ## a new password for the operator of make up
	@deploy/password.sh

purge:  ## make down, then delete all data of it, VPSes included (asks first)
	@deploy/purge.sh

setup:  ## install what building and running needs
	@deploy/setup.sh run

fmt:  ## format the code
	@cargo fmt --all

lint:  ## formatting, clippy, licences and sources
	@deploy/lint.sh

test:  ## everything: lint, unit, integration, e2e with real guests, clients, browser
	@deploy/test.sh all

e2e:  ## only the tests with real guests
	@deploy/test.sh e2e

test-vm:  ## only the runtime's tests on pure cgroup2, in an emulated Debian 13
	@deploy/test.sh vm

browser:  ## only the browser tests
	@deploy/test.sh browser

bench:  ## figures of this machine beside Incus's: times, memory, hostile neighbours (PARTS="life small" for some)
	@deploy/bench.sh $(PARTS)

web:  ## build the dashboard's assets
	@deploy/web.sh

sqlx:  ## write .sqlx/ anew after a change of queries or migrations
	@deploy/sqlx.sh

clean:  ## remove build output (not the data of make up)
	@cargo clean
	@rm -rf web/node_modules web/dist tests/browser/node_modules
