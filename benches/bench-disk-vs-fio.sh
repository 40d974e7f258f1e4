#!/bin/sh
# `bench disk --profile fio --wal-only --closed` against fio's recipe for etcd, taking turns, each time
# in a fresh directory of a fresh ext4 with a journal on a loop device: the p50 of fdatasync. A round is
# PAIRS turns of each (3), and the medians of those are compared: where the kernel places the loop
# device's worker doubles or halves the p50 of a whole run of either.
# Usage, as root: benches/bench-disk-vs-fio.sh [ROUNDS]; needs fio, losetup, mkfs.ext4.
set -eu
rounds=${1:-5}
pairs=${PAIRS:-3}
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

one_fio() {
    mkdir "$work/mnt/fio"
    fio --name=wal --rw=write --ioengine=sync --fdatasync=1 --size=22m --bs=2300 --directory="$work/mnt/fio" \
        --output-format=json > "$work/fio-$1.json"
    rm -rf "$work/mnt/fio"
}

one_bench() {
    mkdir "$work/mnt/bench"
    "$doctor" bench disk --profile fio --wal-only --closed --dir "$work/mnt/bench" --format json ${ARGS:-} \
        > "$work/bench-$1.json" || true
    rmdir "$work/mnt/bench"
}

echo "round  fio p50  bench p50  ratio   fio p99  bench p99   (µs, medians)   bench: CPU pressure"
round=1
while [ "$round" -le "$rounds" ]; do
    pair=1
    while [ "$pair" -le "$pairs" ]; do
        # Who begins changes too.
        if [ $(((round + pair) % 2)) -eq 0 ]; then
            one_fio "$pair"
            one_bench "$pair"
        else
            one_bench "$pair"
            one_fio "$pair"
        fi
        pair=$((pair + 1))
    done
    python3 - "$work" "$pairs" "$round" <<'PY'
import json, sys
from statistics import median
work, pairs, round_ = sys.argv[1], int(sys.argv[2]), sys.argv[3]
load = lambda who, n: json.load(open(f"{work}/{who}-{n}.json"))
fio = [load("fio", n)["jobs"][0]["sync"]["lat_ns"]["percentile"] for n in range(1, pairs + 1)]
bench = [load("bench", n)["total"] for n in range(1, pairs + 1)]
f50, f99 = (median(run[p] / 1e3 for run in fio) for p in ("50.000000", "99.000000"))
b50, b99 = (median(run["sync"][p]["us"] for run in bench) for p in ("p50", "p99"))
psi = median(run["around"]["psi_cpu_some"] or 0 for run in bench)
print(f"{round_:>5}  {f50:7.0f}  {b50:9.0f}  {b50 / f50:5.2f}  {f99:8.0f}  {b99:9.0f}  {'':16} {psi * 100:.0f} %", flush=True)
PY
    round=$((round + 1))
done
