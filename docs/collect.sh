#!/bin/sh
# Copies what `etcd-doctor diagnose --bundle` reads from a kubeadm control-plane node into a tar on
# standard output. Changes nothing on the node but two temporary folders, which it removes. Takes
# about half a minute: counters are read twice.
#
#   ssh cp0 'sudo sh -s' < docs/collect.sh > cp0.tar
#   etcd-doctor diagnose --bundle cp0.tar
#
# The tar holds logs and manifests as they are: treat it like the node's own files.
set -u
umask 077
dir= keys=
trap 'rm -rf ${dir:+"$dir"} ${keys:+"$keys"}' EXIT
# Not every shell runs the line above when a signal ends it, as a connection that breaks off does.
trap 'exit 1' HUP INT TERM PIPE
dir=$(mktemp -d) || exit 1
keys=$(mktemp -d) || exit 1
# A guest: the node's own work goes first.
renice -n 19 -p $$ >/dev/null 2>&1
ionice -c 3 -p $$ >/dev/null 2>&1
node=$dir/$(uname -n)
mkdir -p "$node/logs/var/log/pods" "$node/metrics" "$node/manifests" "$node/host/proc/self" "$node/host/sys/block"
cp /etc/kubernetes/manifests/*.yaml "$node/manifests/" 2>/dev/null
for pod in /var/log/pods/kube-system_etcd-* /var/log/pods/kube-system_kube-apiserver-* \
    /var/log/pods/kube-system_kube-controller-manager-* /var/log/pods/kube-system_kube-scheduler-*; do
    [ -d "$pod" ] && ln -s "$pod" "$node/logs/var/log/pods/"
done

# /proc and /sys files have no size: `cat` reads them, `cp` may not.
take() {
    [ -r "$1" ] || return 0
    [ -d "$node/host${2%/*}" ] || mkdir -p "$node/host${2%/*}"
    cat "$1" >"$node/host$2" 2>/dev/null || rm -f "$node/host$2"
}
pids=$(
    pgrep -x etcd
    pgrep -x kube-apiserver
    pgrep -x kube-controller
    pgrep -x kube-scheduler
)
# The cgroup folders of the processes, each with those above it: a limit may be on any of them.
groups=$(
    for pid in $pids; do
        while IFS=: read -r _ controllers path; do
            case $controllers in
            '') top=/sys/fs/cgroup ;;
            name=*) continue ;;
            *) top=/sys/fs/cgroup/$controllers ;;
            esac
            [ -d "$top$path" ] || top=/sys/fs/cgroup/unified
            while [ -n "${path%/}" ] && [ -d "$top$path" ]; do
                echo "$top$path"
                path=${path%/*}
            done
        done 2>/dev/null <"/proc/$pid/cgroup"
    done | sort -u
)
# With the administrator's certificate, where kubeadm left one, the other components answer too.
if [ -r /etc/kubernetes/admin.conf ]; then
    for what in certificate key; do
        kubectl --kubeconfig /etc/kubernetes/admin.conf config view --raw \
            -o "jsonpath={.users[0].user.client-$what-data}" 2>/dev/null | base64 -d >"$keys/$what" 2>/dev/null
    done
fi
scrape() {
    file=$node/metrics/$1-$now.prom
    shift
    "$@" >"$file" || rm -f "$file"
}
sample() {
    now=$(date -u +%Y%m%dT%H%M%SZ)
    suffix=${1:+-$now}
    # Tells when the files without a time in their name were read.
    [ -n "$suffix" ] || take /proc/uptime /proc/uptime
    for file in diskstats stat loadavg meminfo; do take "/proc/$file" "/proc/$file$suffix"; done
    for file in cpu io memory; do take "/proc/pressure/$file" "/proc/pressure/$file$suffix"; done
    for pid in $pids; do take "/proc/$pid/io" "/proc/$pid/io$suffix"; done
    for file in $(pgrep -x etcd | sed 's|.*|/proc/&/task/*/schedstat|'); do take "$file" "$file$suffix"; done
    for group in $groups; do
        for file in cpu.stat cpu.pressure io.pressure memory.pressure; do
            take "$group/$file" "$group/$file$suffix"
        done
    done
    scrape etcd curl -sS -f -m 20 http://127.0.0.1:2381/metrics
    if [ -r /etc/kubernetes/admin.conf ]; then
        scrape kube-apiserver kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /metrics
    fi
    if [ -s "$keys/key" ]; then
        for port in kube-controller-manager:10257 kube-scheduler:10259; do
            # Their certificates are their own work, signed by nobody.
            scrape "${port%:*}" curl -sS -f -k -m 20 --cert "$keys/certificate" --key "$keys/key" \
                "https://127.0.0.1:${port#*:}/metrics"
        done
    fi
}
take /proc/self/mountinfo /proc/self/mountinfo
take /proc/cpuinfo /proc/cpuinfo
for pid in $pids; do
    for file in cmdline cgroup limits oom_score_adj stat status; do take "/proc/$pid/$file" "/proc/$pid/$file"; done
done
for group in $groups; do
    for file in cpu.max cpu.cfs_quota_us cpu.cfs_period_us io.max memory.max memory.current memory.events \
        memory.limit_in_bytes memory.usage_in_bytes memory.oom_control blkio.throttle.read_bps_device \
        blkio.throttle.write_bps_device blkio.throttle.read_iops_device blkio.throttle.write_iops_device; do
        take "$group/$file" "$group/$file"
    done
done
for queue in /sys/block/*/queue; do
    for file in write_cache scheduler rotational read_ahead_kb fua; do take "$queue/$file" "$queue/$file"; done
done
# Volumes and loop devices name what is below them.
for file in /sys/block/*/size /sys/block/*/dm/name /sys/block/*/dm/uuid /sys/block/*/slaves/*/dev \
    /sys/block/*/loop/backing_file; do
    take "$file" "$file"
done
# The kernel's own log: errors of disks, and what it killed for want of memory.
dmesg >"$node/host/dmesg" 2>/dev/null || journalctl -k -b -o short-iso --no-pager >"$node/host/journal-kernel.log" 2>/dev/null
for file in dmesg journal-kernel.log; do [ -s "$node/host/$file" ] || rm -f "$node/host/$file"; done
# Room and inodes of what is mounted here; what others mount may hang.
timeout 20 df -Plk >"$node/host/df" 2>/dev/null
timeout 20 df -Pli >"$node/host/df-i" 2>/dev/null
for file in df df-i; do [ -s "$node/host/$file" ] || rm -f "$node/host/$file"; done
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
sleep "${SECS:-30}"
sample again
# Logs are not copied first: where that would go may be etcd's own disk. The tar takes what the links lead to
# (`-h`). Logs that grow meanwhile are no fault (1).
tar -h -C "$dir" -cf - . || [ $? -eq 1 ]
