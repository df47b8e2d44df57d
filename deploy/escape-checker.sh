#!/usr/bin/env bash
# The published escape checker that the tests run against guests, in target/escape-checker: installed once, and again when
# deploy/escape-checker.txt changes. Nothing of it is part of Berth.
. "$(dirname "$0")/lib.sh"
cd "$root"

checker=$root/target/escape-checker
recipe=$(sha256sum deploy/escape-checker.txt | cut -d' ' -f1)
[ "$(cat "$checker/recipe" 2>/dev/null)" != "$recipe" ] || exit 0
step "installing the escape checker from PyPI"
rm -rf "$checker"
python3 -m venv "$checker"
"$checker/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r deploy/escape-checker.txt </dev/null
printf '%s\n' "$recipe" >"$checker/recipe"
