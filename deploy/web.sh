#!/usr/bin/env bash
# Builds the dashboard's assets (web/dist, embedded into the server). Does nothing when nothing changed.
. "$(dirname "$0")/lib.sh"
cd "$root/web"

# Templates and code are among the sources: the icon sprite is made of the icons that they use.
digest=$(find assets templates src package.json package-lock.json build.mjs -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
stamp=node_modules/.berth-built
[ -s dist/manifest.json ] && [ "$(cat $stamp 2>/dev/null)" = "$digest" ] && exit 0

step "building the dashboard's assets"
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null
fi
npm run --silent build </dev/null
printf '%s\n' "$digest" >"$stamp"
