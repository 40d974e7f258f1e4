#!/bin/sh
# Holds that text generated from the program and checked in is up to date. Writes nothing into the
# repository: it generates into a copy and compares.
set -eu
cd "$(dirname "$0")/.."
generator=${1:-target/debug/examples/generate-docs}
if [ ! -x "$generator" ]; then
    echo "generated.sh: no $generator; run \`make generated\`" >&2
    exit 2
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp README.md "$copy/"
"$generator" "$copy"
stale=0
for file in README.md docs/command-line.md docs/disk-weights.md docs/evidence-keys.md docs/log-kinds.md \
    docs/rules.md; do
    if ! diff -u "$file" "$copy/$file" >"$copy/diff" 2>&1; then
        echo "generated.sh: $file is out of date:" >&2
        head -n 40 "$copy/diff" >&2
        stale=1
    fi
done
if [ "$stale" = 1 ]; then
    echo "generated.sh: run \`make regenerate\` and commit what changes" >&2
    exit 1
fi
