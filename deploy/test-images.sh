#!/usr/bin/env bash
# The images that the tests boot, in target/images: built once, and again when the recipe changes or after a month, so
# that they do not rot.
. "$(dirname "$0")/lib.sh"
cd "$root"

images=$root/target/images
recipe=$(sha256sum server/src/images/debian.rs | cut -d' ' -f1)
build=${CARGO_TARGET_DIR:-$root/target}/debug/examples/debian_image
mkdir -p "$images"
for image in bookworm:debian-12 trixie:debian-13; do
    file=$images/${image#*:}.tar.zst
    if [ -f "$file" ] && [ "$(cat "$file.recipe" 2>/dev/null)" = "$recipe" ] && [ -z "$(find "$file" -mtime +30)" ]; then
        continue
    fi
    step "building ${image#*:} from Debian's packages"
    rm -f "$file.recipe"
    "$build" "${image%:*}" "$file" </dev/null
    printf '%s\n' "$recipe" >"$file.recipe"
done
