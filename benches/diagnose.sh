#!/bin/sh
# Two promises of `etcd-doctor diagnose` on a node, measured in one run each:
#  1. time: 1 GiB of logs are diagnosed in the slower of reading them and the metrics' window, plus
#     less than 2 s, beside a live etcd that rests and whose metrics are read (one thread for both);
#  2. manners: the p99 of puts of an etcd on the same machine rises by less than 5 % meanwhile.
# Prints the numbers, and fails when a promise is broken.
# Usage: benches/diagnose.sh time|manners|all [MIB]; needs etcd on PATH (or ETCD).
# DOCTOR and GEN name other programs; ROUNDS (5) pairs of put loads with and without a diagnosis;
# DATA is where logs and etcd's data go (a disk, not a RAM file system, for the second promise).
set -eu
what=${1:-all}
mib=${2:-1024}
here=$(cd "$(dirname "$0")/.." && pwd)
data=${DATA:-$here/benches/data}
doctor=${DOCTOR:-$here/target/release/etcd-doctor}
etcd=${ETCD:-etcd}
rounds=${ROUNDS:-5}
node=$data/node-$mib
pod=$node/var/log/pods/kube-system_etcd-cp0_0123456789abcdef0123456789abcdef/etcd
mkdir -p "$pod" "$node/etc/kubernetes/manifests"
if [ ! -s "$pod/0.log" ]; then
    if [ -n "${GEN:-}" ]; then "$GEN" cri "$mib" > "$pod/0.log"
    else (cd "$here" && cargo bench --quiet --bench gen_logs -- cri "$mib") > "$pod/0.log"; fi
fi
cat > "$node/etc/kubernetes/manifests/etcd.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    command: [etcd, --name=cp0, --data-dir=/var/lib/etcd, --listen-metrics-urls=http://127.0.0.1:1]
YAML
now() { date +%s.%N; }
took() { begin=$(now); "$@" > /dev/null 2>&1 || true; end=$(now); awk "BEGIN {printf \"%.2f\", $end - $begin}"; }

start_etcd() {
    port=$((20000 + $$ % 20000))
    "$etcd" --data-dir "$data/etcd-$$" --name bench --listen-client-urls "http://127.0.0.1:$port" \
        --advertise-client-urls "http://127.0.0.1:$port" --listen-peer-urls "http://127.0.0.1:$((port + 1))" \
        --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
        --initial-cluster "bench=http://127.0.0.1:$((port + 1))" > /dev/null 2>&1 &
    server=$!
    trap stop_etcd EXIT
    trap 'exit 130' INT TERM
    sleep 3
}
stop_etcd() { kill $server 2> /dev/null || true; wait $server 2> /dev/null || true; rm -rf "$data/etcd-$$"; }

time_promise() {
    cat "$pod/0.log" > /dev/null # warm
    window=${WINDOW:-5}
    start_etcd
    reading=$(took nice -n 19 "$doctor" logs --threads 1 "$pod/0.log")
    whole=$(took "$doctor" diagnose --root "$node" --since 2000-01-01T00:00:00Z --window ${window}s \
        --metrics-url "http://127.0.0.1:$port/metrics")
    stop_etcd
    echo "time: $mib MiB of logs: read in $reading s, window $window s, diagnosed in $whole s"
    awk "BEGIN {most = ($reading > $window ? $reading : $window) + 2; exit !($whole < most)}" ||
        { echo "time: over the slower of both plus 2 s" >&2; exit 1; }
}

# The p99 of puts in ms: 1000 puts a second, begun whether or not etcd keeps up.
put_p99() {
    "$doctor" bench etcd --endpoints "http://127.0.0.1:$port" --workload put --rate 1000 \
        --duration 12s --format json |
        sed -n 's/.*"p99_ms": *\([0-9.]*\).*/\1/p' | head -1
}

manners_promise() {
    start_etcd
    put_p99 > /dev/null # warm
    : > "$data/quiet.txt"; : > "$data/busy.txt"
    for round in $(seq "$rounds"); do
        put_p99 >> "$data/quiet.txt"
        # One diagnosis after the other for as long as the load lasts.
        (while :; do "$doctor" diagnose --root "$node" --since 2000-01-01T00:00:00Z --window 2s; done) \
            > /dev/null 2>&1 &
        loop=$!
        put_p99 >> "$data/busy.txt"
        kill $loop 2> /dev/null || true
        pkill -P $loop 2> /dev/null || true
        wait $loop 2> /dev/null || true
    done
    median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
    quiet=$(median "$data/quiet.txt"); busy=$(median "$data/busy.txt")
    echo "manners: p99 of puts, median of $rounds rounds: $quiet ms alone, $busy ms beside diagnose" \
        "(alone: $(sort -n "$data/quiet.txt" | tr '\n' ' '); beside: $(sort -n "$data/busy.txt" | tr '\n' ' '))"
    awk "BEGIN {exit !($busy < $quiet * 1.05)}" || { echo "manners: it rises by 5 % or more" >&2; exit 1; }
}

case $what in
    time) time_promise ;;
    manners) manners_promise ;;
    all) time_promise; manners_promise ;;
    *) sed -n '2,9p' "$0"; exit 64 ;;
esac
