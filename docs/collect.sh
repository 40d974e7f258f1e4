#!/bin/sh
# Copies what `etcd-doctor diagnose --bundle` reads from a kubeadm control-plane node into a tar on
# standard output. Changes nothing on the node but a temporary folder, which it removes. Takes
# about half a minute: counters are read twice.
#
#   ssh cp0 'sudo sh -s' < docs/collect.sh > cp0.tar
#   etcd-doctor diagnose --bundle cp0.tar
#
# The tar holds logs and manifests as they are: treat it like the node's own files.
set -u
umask 077
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
node=$dir/$(uname -n)
mkdir -p "$node/logs/var/log/pods" "$node/metrics" "$node/manifests" "$node/host/proc/self" "$node/host/sys/block"
cp /etc/kubernetes/manifests/*.yaml "$node/manifests/" 2>/dev/null
for pod in /var/log/pods/kube-system_etcd-* /var/log/pods/kube-system_kube-apiserver-* \
    /var/log/pods/kube-system_kube-controller-manager-* /var/log/pods/kube-system_kube-scheduler-*; do
    [ -d "$pod" ] && cp -rL "$pod" "$node/logs/var/log/pods/" 2>/dev/null
done

# /proc and /sys files have no size: `cat` reads them, `cp` may not.
take() {
    mkdir -p "$(dirname "$node/host$2")"
    cat "$1" >"$node/host$2" 2>/dev/null || rm -f "$node/host$2"
}
sample() {
    now=$(date -u +%Y%m%dT%H%M%SZ)
    suffix=${1:+-$now}
    for file in diskstats stat loadavg meminfo; do take "/proc/$file" "/proc/$file$suffix"; done
    for file in cpu io memory; do take "/proc/pressure/$file" "/proc/pressure/$file$suffix"; done
    curl -sS -m 20 http://127.0.0.1:2381/metrics >"$node/metrics/etcd-$now.prom" || rm -f "$node/metrics/etcd-$now.prom"
    if [ -r /etc/kubernetes/admin.conf ]; then
        kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /metrics >"$node/metrics/kube-apiserver-$now.prom" ||
            rm -f "$node/metrics/kube-apiserver-$now.prom"
    fi
}
take /proc/self/mountinfo /proc/self/mountinfo
take /proc/cpuinfo /proc/cpuinfo
take /proc/uptime /proc/uptime
for pid in $(pgrep -x etcd) $(pgrep -x kube-apiserver) $(pgrep -x kube-controller) $(pgrep -x kube-scheduler); do
    for file in cmdline cgroup io limits schedstat stat status; do take "/proc/$pid/$file" "/proc/$pid/$file"; done
done
for queue in /sys/block/*/queue; do
    for file in write_cache scheduler rotational read_ahead_kb fua; do take "$queue/$file" "$queue/$file"; done
    take "${queue%/queue}/size" "${queue%/queue}/size"
done
# What ZFS and NVMe controllers say of themselves, where their tools are installed.
if command -v zfs >/dev/null; then
    zfs get -H sync >"$node/host/zfs-get-sync" 2>/dev/null || rm -f "$node/host/zfs-get-sync"
fi
if command -v nvme >/dev/null; then
    for disk in /dev/nvme[0-9] /dev/nvme[0-9][0-9]; do
        [ -e "$disk" ] || continue
        name=${disk#/dev/}
        nvme id-ctrl --raw-binary "$disk" >"$node/host/nvme-id-ctrl-$name" 2>/dev/null || rm -f "$node/host/nvme-id-ctrl-$name"
        nvme get-feature -f 6 "$disk" >"$node/host/nvme-vwc-$name" 2>/dev/null || rm -f "$node/host/nvme-vwc-$name"
    done
fi
sample ''
sleep 30
sample again
tar -C "$dir" -cf - .
