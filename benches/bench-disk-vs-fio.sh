#!/bin/sh
# `bench disk --profile fio --wal-only --closed` against fio's recipe for etcd, taking turns, each time
# in a fresh directory of a fresh ext4 with a journal on a loop device: the p50 of fdatasync.
# Usage, as root: benches/bench-disk-vs-fio.sh [ROUNDS]; needs fio, losetup, mkfs.ext4.
set -eu
rounds=${1:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
doctor=${DOCTOR:-$here/target/release/etcd-doctor}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/versus-fio.XXXXXX")
loop=
finish() {
    umount "$work/mnt" 2>/dev/null || true
    [ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
truncate -s 4G "$work/image"
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
loop=$(losetup -f --show --direct-io=on "$work/image")
mkdir "$work/mnt"
mount "$loop" "$work/mnt"

echo "round  fio p50  bench p50  ratio   fio p99  bench p99   (µs)   bench: CPU pressure"
round=1
while [ "$round" -le "$rounds" ]; do
    dir=$work/mnt/fio-$round
    mkdir "$dir"
    fio --name=wal --rw=write --ioengine=sync --fdatasync=1 --size=22m --bs=2300 --directory="$dir" \
        --output-format=json > "$work/fio.json"
    rm -rf "$dir"
    dir=$work/mnt/bench-$round
    mkdir "$dir"
    "$doctor" bench disk --profile fio --wal-only --closed --dir "$dir" --format json ${ARGS:-} > "$work/bench.json" || true
    rmdir "$dir"
    python3 - "$work/fio.json" "$work/bench.json" "$round" <<'EOF'
import json, sys
fio = json.load(open(sys.argv[1]))["jobs"][0]["sync"]["lat_ns"]["percentile"]
bench = json.load(open(sys.argv[2]))["total"]
f50, f99 = (fio[p] / 1e3 for p in ("50.000000", "99.000000"))
b50, b99 = bench["sync"]["p50"]["us"], bench["sync"]["p99"]["us"]
psi = bench["around"]["psi_cpu_some"]
print(f"{sys.argv[3]:>5}  {f50:7.0f}  {b50:9.0f}  {b50 / f50:5.2f}  {f99:8.0f}  {b99:9.0f}  {'':8} {psi if psi is None else round(psi * 100)} %")
EOF
    round=$((round + 1))
done
