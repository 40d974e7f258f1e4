#!/bin/sh
# Compares `etcd-doctor logs` with ripgrep and grep on the same warm files, in one run: the best of
# five of each, and the ratios. Usage: benches/logs.sh [MIB]; needs `rg` (ripgrep 15) in PATH.
set -eu
mib=${1:-1024}
here=$(cd "$(dirname "$0")/.." && pwd)
data=$here/benches/data
doctor=${DOCTOR:-$here/target/release/etcd-doctor}
rg=${RG:-rg}
mkdir -p "$data"
cd "$here"
gen() {
    [ -s "$data/$1-$mib.log" ] || cargo bench --quiet --bench gen_logs -- "$1" "$mib" > "$data/$1-$mib.log"
}
for kind in zap cri other klog; do gen "$kind"; done
[ -s "$data/zap-$mib.log.gz" ] || gzip -kc "$data/zap-$mib.log" > "$data/zap-$mib.log.gz"

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

# Best wall time of five, in milliseconds.
best() {
    least=
    for _ in 1 2 3 4 5; do
        begin=$(date +%s%N)
        "$@" > /dev/null 2>&1 || true
        took=$((($(date +%s%N) - begin) / 1000000))
        if [ -z "$least" ] || [ "$took" -lt "$least" ]; then least=$took; fi
    done
    echo "$least"
}
ratio() {
    awk -v a="$2" -v b="$3" -v bar="$4" -v what="$1" \
        'BEGIN { printf "%-52s %6d ms / %6d ms = %.2f (bar %s)\n", what, a, b, a / b, bar }'
}
six() {
    for word in events pods configmap deployments leases nodes; do
        grep -ic "$word" "$1" || true
    done
}
inflate() { gzip -dc "$1"; }

zap=$data/zap-$mib.log
cat "$zap" > /dev/null
own=$(best "$doctor" logs "$zap")
ratio "zap, against rg -cF -f of 20 signatures" "$own" "$(best "$rg" -cF -f "$data/etcd.txt" "$zap")" "0.8"
ratio "zap, against rg -c of one word" "$own" "$(best "$rg" -c "pods" "$zap")" "aim 1.3"
ratio "zap, against six grep -ic" "$own" "$(best six "$zap")" "0.125"
ratio "cri, against zap" "$(best "$doctor" logs "$data/cri-$mib.log")" "$own" "1.3"
other=$data/other-$mib.log
ratio "99 % other lines, against rg -c of one word" "$(best "$doctor" logs "$other")" "$(best "$rg" -c "pods" "$other")" "1.2"
klog=$data/klog-$mib.log
ratio "klog, against rg -cF -f of 20 signatures" "$(best "$doctor" logs "$klog")" "$(best "$rg" -cF -f "$data/klog.txt" "$klog")" "2"
ratio "gz, against gzip -dc" "$(best "$doctor" logs "$zap.gz")" "$(best inflate "$zap.gz")" "1.2 of zlib-rs alone"
