#!/usr/bin/env bash
# Builds the dashboard's assets (web/dist, embedded into the server). Does nothing when nothing changed.
. "$(dirname "$0")/lib.sh"
cd "$root/web"

digest=$(find assets package.json package-lock.json build.mjs -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
[ -d dist ] && [ "$(cat dist/.built-from 2>/dev/null)" = "$digest" ] && exit 0

step "building the dashboard's assets"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null
npm run --silent build </dev/null
printf '%s\n' "$digest" >dist/.built-from
