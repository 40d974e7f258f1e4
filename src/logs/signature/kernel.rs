//! The kernel: what it says about disks, memory and stalls; and systemd of those that it killed.

use crate::logs::event::Component::{Kernel, Unknown};
use crate::logs::record::Level::{Error as Err, Warn};

use super::types::How::Find;
use super::types::Nature::{Fault, Noise, Symptom};
use super::types::Role::Text as Txt;
use super::types::{Extractor, Signature, field, form, row};

pub(super) static TABLE: &[Signature] = &[
    row(
        "kernel-hung-task",
        Kernel,
        Err,
        Fault,
        "all",
        "A task could not go on for two minutes, mostly in I/O.",
        &[form(
            Find("INFO: task {task} blocked for more than {_} seconds"),
            "INFO: task etcd:1234 blocked for more than 120 seconds.",
        )],
        &[field("task", Txt("task"), "")],
    ),
    row(
        "kernel-removable-error",
        Kernel,
        Err,
        Noise,
        "all",
        "A floppy or CD drive, mostly an empty one, failed to read: no data of etcd lie there.",
        &[
            form(
                Find("I/O error, dev fd{drive}, sector"),
                "blk_update_request: I/O error, dev fd0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
            ),
            form(
                Find("I/O error, dev sr{drive}, sector"),
                "blk_update_request: I/O error, dev sr0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
            ),
            form(
                Find("Buffer I/O error on dev fd{drive}, "),
                "Buffer I/O error on dev fd0, logical block 0, async page read",
            ),
            form(
                Find("Buffer I/O error on dev sr{drive}, "),
                "Buffer I/O error on dev sr0, logical block 0, async page read",
            ),
            form(
                Find("critical medium error, dev sr{drive}, sector"),
                "critical medium error, dev sr0, sector 55 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            ),
        ],
        &[field("drive", Txt("drive"), "")],
    ),
    row(
        "kernel-io-error",
        Kernel,
        Err,
        Fault,
        "all",
        "A device failed to read or write.",
        &[
            form(
                Find("I/O error, dev {device}, sector"),
                "blk_update_request: I/O error, dev sda, sector 123456 op 0x1:(WRITE) flags 0x800",
            ),
            form(
                Find("Buffer I/O error on dev {device}, "),
                "Buffer I/O error on dev dm-0, logical block 1, lost async page write",
            ),
            form(
                Find("critical medium error, dev {device}, sector"),
                "critical medium error, dev sdb, sector 55 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            ),
        ],
        &[field("device", Txt("device"), "")],
    ),
    row(
        "kernel-fs-error",
        Kernel,
        Err,
        Fault,
        "all",
        "A file system is damaged or went read-only.",
        &[
            form(
                Find("EXT4-fs error (device {device})"),
                "EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm etcd: reading directory lblock 0",
            ),
            form(
                Find("Remounting filesystem read-only"),
                "EXT4-fs (sda1): Remounting filesystem read-only",
            ),
            form(
                Find("): Corruption of in-memory data"),
                "XFS (sda1): Corruption of in-memory data detected.  Shutting down filesystem",
            ),
            // XFS shuts down after it.
            form(
                Find("log I/O error -"),
                "[12345.678901] XFS (sda1): log I/O error -5",
            ),
        ],
        &[field("device", Txt("device"), "")],
    )
    .by(Extractor::Before),
    row(
        "kernel-device-timeout",
        Kernel,
        Warn,
        Fault,
        "all",
        "A device did not answer in time, or failed a command that is then repeated.",
        &[
            form(
                Find("I/O {_} timeout, "),
                "nvme nvme0: I/O 12 QID 3 timeout, aborting",
            ),
            form(
                Find("rejecting I/O to offline device"),
                "sd 0:0:0:0: rejecting I/O to offline device",
            ),
            form(
                Find("failed command: {command}"),
                "[12345.678901] ata1.00: failed command: FLUSH CACHE EXT",
            ),
            // Other results stand beside an `I/O error, dev` line, which counts, or are harmless.
            form(
                Find("FAILED Result: hostbyte={_} driverbyte=DRIVER_TIMEOUT"),
                "sd 0:0:0:0: [sda] tag#12 FAILED Result: hostbyte=DID_OK driverbyte=DRIVER_TIMEOUT cmd_age=30s",
            ),
            form(
                Find("FAILED Result: hostbyte=DID_TIME_OUT"),
                "sd 0:0:0:0: [sda] tag#12 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK cmd_age=30s",
            ),
        ],
        &[field("device", Txt("device"), ""), field("command", Txt("command"), "")],
    )
    .by(Extractor::Before),
    row(
        "kernel-oom-kill",
        Kernel,
        Err,
        Fault,
        "all",
        "The kernel killed a process for lack of memory.",
        &[
            form(
                Find("Out of memory: Kill{_} process {_} ({process})"),
                "Out of memory: Killed process 1234 (etcd) total-vm:10000kB, anon-rss:5000kB",
            ),
            form(
                Find("Memory cgroup out of memory: Kill{_} process {_} ({process})"),
                "Memory cgroup out of memory: Killed process 1234 (kube-apiserver) total-vm:10000kB",
            ),
        ],
        &[field("process", Txt("process"), "")],
    ),
    row(
        "kernel-oom-choice",
        Kernel,
        Err,
        Noise,
        "4.19+",
        "Which process the kernel will kill for lack of memory, and whose limit it was, in a line of its own before its `kernel-oom-kill`, which is the one that counts.",
        &[form(
            Find("oom-kill:constraint={constraint},{_},task={process},pid="),
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/kubepods,task_memcg=/kubepods/x,task=kube-apiserver,pid=1234,uid=0",
        )],
        &[
            field("process", Txt("process"), ""),
            field("constraint", Txt("constraint"), "CONSTRAINT_MEMCG: a limit of its cgroup; CONSTRAINT_NONE: the host's memory"),
        ],
    ),
    row(
        "unit-oom-killed",
        Unknown,
        Err,
        Fault,
        "systemd 243+",
        "A process of a service was killed for lack of memory; the service mostly ends with it.",
        &[form(
            Find("A process of this unit has been killed by the OOM killer"),
            "etcd.service: A process of this unit has been killed by the OOM killer.",
        )],
        &[field("unit", Txt("unit"), "")],
    )
    .by(Extractor::Before),
    row(
        "unit-oom-result",
        Unknown,
        Err,
        Noise,
        "systemd 243+",
        "A service ended because of its `unit-oom-killed`, which is the one that counts.",
        &[form(
            Find("Failed with result 'oom-kill'"),
            "etcd.service: Failed with result 'oom-kill'.",
        )],
        &[field("unit", Txt("unit"), "")],
    )
    .by(Extractor::Before),
    row(
        "kernel-soft-lockup",
        Kernel,
        Err,
        Symptom,
        "all",
        "A CPU was not given back for many seconds, as under a starved hypervisor.",
        &[form(
            Find("soft lockup - CPU#{cpu} stuck for"),
            "watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [etcd:1234]",
        )],
        &[field("cpu", Txt("cpu"), "")],
    ),
];
