#!/usr/bin/env bash
# A published checker that the tests run, in target/NAME-checker: installed once, and again when deploy/NAME-checker.txt changes.
# Nothing of it is part of Berth.
#   checker.sh escape    looks for ways out of a guest
#   checker.sh header    rates the headers of the dashboard's answers
. "$(dirname "$0")/lib.sh"
cd "$root"

name=${1:?which checker: escape or header}
recipe=$(sha256sum "deploy/$name-checker.txt" | cut -d' ' -f1)
checker=$root/target/$name-checker
[ "$(cat "$checker/recipe" 2>/dev/null)" != "$recipe" ] || exit 0
step "installing the $name checker from PyPI"
rm -rf "$checker"
python3 -m venv "$checker"
"$checker/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "deploy/$name-checker.txt" </dev/null
printf '%s\n' "$recipe" >"$checker/recipe"
