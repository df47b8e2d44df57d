#!/usr/bin/env bash
# Formatting, clippy with warnings as errors, supply chain.
#   lint.sh            all of it
#   lint.sh --cheap    without clippy: make test lints what it builds, while it builds it
. "$(dirname "$0")/lib.sh"
cd "$root"
deploy/setup.sh test

step "shellcheck"
shellcheck deploy/*.sh deploy/vm/*.sh deploy/incus/*.sh .ci/run

step "cargo fmt"
cargo fmt --all --check

if [ "${1:-}" != --cheap ]; then
    step "clippy"
    cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
fi

step "licences, sources, bans"
# cargo-deny reads the sources of all platforms' crates; a build fetches this platform's only.
cargo fetch --quiet --locked
cargo deny --log-level error --offline check bans licenses sources
db=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
if compgen -G "$db/advisory-db-*" >/dev/null; then
    step "advisories (copy in $db)"
    cargo deny --log-level error --offline check advisories
else
    warn "advisories not checked: no copy of the RustSec database in $db"
fi
