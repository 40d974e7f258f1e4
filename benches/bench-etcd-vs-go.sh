#!/usr/bin/env bash
# `bench etcd` beside etcd's own `tools/benchmark` (where one is on the path as `benchmark`, or named by
# GO_BENCHMARK): closed loop, puts and serializable ranges, taking turns, each against a fresh etcd.
# For each run: requests a second, processor time of the client's whole process and of etcd, a request.
#
# Usage: benches/bench-etcd-vs-go.sh [DIRECTORY...]      where etcd's data goes; default /dev/shm and /var/tmp
# Environment: ETCD (etcd), DOCTOR (target/release/etcd-doctor), ROUNDS (3), REQUESTS (150000), CLIENTS (100),
# CONNECTIONS (10), WORKLOADS ("put get"), ARGS (more for `bench etcd`). Needs curl, python3.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
doctor=${DOCTOR:-$here/target/release/etcd-doctor}
etcd=${ETCD:-etcd}
go=${GO_BENCHMARK:-$(command -v benchmark || true)}
rounds=${ROUNDS:-3} requests=${REQUESTS:-150000} clients=${CLIENTS:-100} connections=${CONNECTIONS:-10}
key=64 value=256 keys=1000 client_port=23790 peer_port=23800
places=("$@")
[ "$#" -gt 0 ] || places=(/dev/shm /var/tmp)

work= server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    [ -z "$work" ] || rm -rf "$work"
    work='' server=''
}
trap finish EXIT

fresh() { # directory
    finish
    work=$(mktemp -d "$1/bench-etcd-vs-go.XXXXXX")
    local client=http://127.0.0.1:$client_port peer=http://127.0.0.1:$peer_port
    "$etcd" --data-dir "$work/data" --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" \
        --quota-backend-bytes 8589934592 --log-level error 2> /dev/null &
    server=$!
    local try
    for try in $(seq 100); do
        [ "$try" -lt 100 ] || { echo "etcd did not start" >&2; exit 1; }
        if curl -sf "$client/health" 2> /dev/null | grep -q '"true"'; then break; fi
        sleep 0.1
    done
    # What etcd does in its first seconds is not the load's.
    sleep 2
}

server_ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# Runs the command, its output to $work/out, its own processor time in seconds to $work/cpu.
timed() {
    python3 - "$work" "$@" <<'EOF'
import os, subprocess, sys
work, command = sys.argv[1], sys.argv[2:]
with open(work + "/out", "w") as out:
    child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
print(used.ru_utime + used.ru_stime, file=open(work + "/cpu", "w"))
sys.exit(child.returncode)
EOF
}

row() { # place workload tool rate ticks
    python3 - "$@" "$requests" "$(cat "$work/cpu")" "$(getconf CLK_TCK)" <<'EOF'
import sys
place, workload, tool, rate, ticks, requests, cpu, tick = sys.argv[1:]
per = 1e6 / float(requests)
print(f"{place:<12} {workload:<5} {tool:<12} {float(rate):>10.0f} {float(cpu) * per:>12.1f} {float(ticks) / float(tick) * per:>12.1f}")
EOF
}

one_go() { # place workload
    fresh "$1"
    local base=("$go" --endpoints "127.0.0.1:$client_port" --conns "$connections" --clients "$clients") before
    before=$(server_ticks)
    if [ "$2" = put ]; then
        timed "${base[@]}" put --total "$requests" --key-size "$key" --val-size "$value" --key-space-size "$keys" --sequential-keys
    else
        # One key that is there, and as long as the other program's.
        local name
        name=$(printf "%${key}s" '' | tr ' ' k)
        curl -sf "http://127.0.0.1:$client_port/v3/kv/put" -o /dev/null -d "{
            \"key\": \"$(printf %s "$name" | base64 -w 0)\", \"value\": \"$(head -c "$value" /dev/zero | base64 -w 0)\"}"
        before=$(server_ticks)
        timed "${base[@]}" range "$name" --consistency s --total "$requests"
    fi
    row "$1" "$2" benchmark "$(awk '/Requests\/sec/ { print $2 }' "$work/out")" "$(($(server_ticks) - before))"
}

one_doctor() { # place workload
    fresh "$1"
    local before more=()
    [ "$2" = put ] || more=(--serializable)
    before=$(server_ticks)
    timed "$doctor" bench etcd --endpoints "http://127.0.0.1:$client_port" --workload "$2" "${more[@]}" \
        --connections "$connections" --clients "$clients" --total "$requests" --duration 120s --warm-up 0 --no-lease \
        --keys "$keys" --key-size "$key" --value-size "$value" --format json ${ARGS:-}
    row "$1" "$2" etcd-doctor \
        "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["runs"][0]["summary"]["per_sec"])' "$work/out")" \
        "$(($(server_ticks) - before))"
}

[ -n "$go" ] || echo "no \`benchmark\` on the path: only etcd-doctor is measured" >&2
"$etcd" --version | head -1
echo "$clients clients, $connections connections, $requests requests, keys of $key and values of $value bytes, $(nproc) processors"
printf '%-12s %-5s %-12s %10s %12s %12s\n' "data on" load program requests/s "client µs" "etcd µs"
for place in "${places[@]}"; do
    for workload in ${WORKLOADS:-put get}; do
        for _ in $(seq "$rounds"); do
            [ -z "$go" ] || one_go "$place" "$workload"
            one_doctor "$place" "$workload"
        done
    done
done
