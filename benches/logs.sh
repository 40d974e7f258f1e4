#!/bin/sh
# Compares `etcd-doctor logs` with ripgrep, grep and the bare inflate library on the same warm files,
# in one run: each pair takes turns, the best of five of each counts. Prints the ratios, the rate of
# one thread on audit logs, and peak memory.
# Usage: benches/logs.sh [MIB]; needs `rg` (ripgrep 15) in PATH, and GNU time for the memory.
# RG, DOCTOR and GEN name other programs; BIG=10240 adds the memory of a file of so many MiB.
set -eu
mib=${1:-1024}
here=$(cd "$(dirname "$0")/.." && pwd)
data=$here/benches/data
doctor=${DOCTOR:-$here/target/release/etcd-doctor}
rg=${RG:-rg}
mkdir -p "$data"
cd "$here"
gen_logs() {
    if [ -n "${GEN:-}" ]; then "$GEN" "$@"; else cargo bench --quiet --bench gen_logs -- "$@"; fi
}
gen() { [ -s "$data/$1-$2.log" ] || gen_logs "$1" "$2" > "$data/$1-$2.log"; }
for kind in zap cri other klog wide audit audit-bodies; do gen "$kind" "$mib"; done
[ -s "$data/zap-$mib.log.gz" ] || gzip -kc "$data/zap-$mib.log" > "$data/zap-$mib.log.gz"
# A rotated set: four files of a quarter each.
if [ ! -s "$data/rotated-$mib/etcd.log.4.gz" ]; then
    mkdir -p "$data/rotated-$mib"
    split -n l/4 --numeric-suffixes=1 -a 1 "$data/zap-$mib.log" "$data/rotated-$mib/etcd.log."
    gzip -f "$data/rotated-$mib"/etcd.log.?
fi

cat > "$data/etcd.txt" <<'EOF'
apply request took too long
request stats
slow fdatasync
leader failed to send out heartbeat on time
waiting for ReadIndex response took too long
timed out waiting for read index response
dropped internal Raft message
rejected connection
finished scheduled compaction
elected leader
lost leader
changed leader
alarm raised
prober detected unhealthy status
prober found high clock drift
lost TCP streaming connection
serving /health false
starting an etcd server
received signal; shutting down
found data inconsistency
EOF
cat > "$data/klog.txt" <<'EOF'
Waited before sending request
client-side throttling
Throttling request took
"HTTP" verb=
"List" accept
Post-timeout activity
Timeout or abort while handling
http: Handler timeout
leaderelection lost
error retrieving resource lock
failed to renew lease
etcdserver: request timed out
etcdserver: leader changed
mvcc: database space exceeded
too many requests
context deadline exceeded
retrying of unary invoker failed
Failed to update lock
received an error that is not an metav1.Status
unable to return a response in the time allotted
EOF

# Best wall time of five of two commands that take turns, in milliseconds, as `$first` and
# `$second`. Each is one word that the shell evaluates.
now() { echo $(($(date +%s%N) / 1000)); }
pair() {
    first=
    second=
    for _ in 1 2 3 4 5; do
        begin=$(now)
        eval "$1" > /dev/null 2>&1 || true
        took=$(($(now) - begin))
        if [ -z "$first" ] || [ "$took" -lt "$first" ]; then first=$took; fi
        begin=$(now)
        eval "$2" > /dev/null 2>&1 || true
        took=$(($(now) - begin))
        if [ -z "$second" ] || [ "$took" -lt "$second" ]; then second=$took; fi
    done
}
ratio() {
    pair "$2" "$3"
    awk -v a="$first" -v b="$second" -v bar="$4" -v what="$1" \
        'BEGIN { printf "%-48s %7.0f ms / %7.0f ms = %5.2f (bar %s)\n", what, a / 1000, b / 1000, a / b, bar }'
}
six='for word in events pods configmap deployments leases nodes; do grep -ic "$word" "$zap" | cat; done'

zap=$data/zap-$mib.log
cri=$data/cri-$mib.log
other=$data/other-$mib.log
klog=$data/klog-$mib.log
audit=$data/audit-$mib.log
bodies=$data/audit-bodies-$mib.log
rotated=$data/rotated-$mib
# Compiled before anything is timed.
gen_logs inflate "$zap.gz" > /dev/null
inflate="gen_logs inflate"
[ -n "${GEN:-}" ] || inflate=$(cargo bench --quiet --no-run --bench gen_logs --message-format short 2>&1 | sed -n 's/.*(\(.*\)).*/\1/p' | tail -1)" inflate"
cat "$zap" "$cri" "$other" "$klog" "$audit" "$bodies" > /dev/null

ratio "zap, against rg -cF -f of 20 signatures" '"$doctor" logs "$zap"' '"$rg" -cF -f "$data/etcd.txt" "$zap"' 0.8
ratio "zap, against rg -c of one word" '"$doctor" logs "$zap"' '"$rg" -c pods "$zap"' "aim 1.3"
ratio "zap, against six grep -ic" '"$doctor" logs "$zap"' "$six" 0.125
ratio "cri, against zap" '"$doctor" logs "$cri"' '"$doctor" logs "$zap"' 1.3
ratio "99 % other lines, against rg -c of one word" '"$doctor" logs "$other"' '"$rg" -c pods "$other"' 1.2
ratio "klog, against rg -cF -f of 20 signatures" '"$doctor" logs "$klog"' '"$rg" -cF -f "$data/klog.txt" "$klog"' 2
ratio "one .gz, against inflating it" '"$doctor" logs "$zap.gz"' '$inflate "$zap.gz"' 1.2
ratio "four rotated .gz, against inflating them" '"$doctor" logs "$rotated"' '$inflate "$rotated"/*.gz' 1.2
# The rate of one thread.
rate() {
    pair "$2" true
    awk -v us="$first" -v mib="$mib" -v what="$1" \
        'BEGIN { printf "%-48s %7.2f GB/s (bar 1)\n", what, mib * 1048576 / us / 1000 }'
}
rate "audit log, one thread" '"$doctor" logs --threads 1 "$audit"'
rate "audit log with large bodies, one thread" '"$doctor" logs --threads 1 "$bodies"'
pair '"$doctor" --version' true
awk -v us="$first" 'BEGIN { printf "%-48s %7.1f ms (bar 10)\n", "--version", us / 1000 }'

# Peak memory: of the largest file, and of one with a new name on every line.
if [ -x /usr/bin/time ]; then
    [ -z "${BIG:-}" ] || gen zap "$BIG"
    for file in "$zap" "$data/wide-$mib.log" "$zap.gz" ${BIG:+"$data/zap-$BIG.log"}; do
        /usr/bin/time -f %M -o "$data/peak" "$doctor" logs "$file" > /dev/null 2>&1 || true
        awk -v what="peak memory, ${file##*/}" \
            '/^[0-9]+$/ { printf "%-48s %7.1f MiB (bar 64)\n", what, $1 / 1024 }' "$data/peak"
    done
fi
