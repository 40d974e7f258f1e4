//! The kernel: what it says about disks, memory and stalls.

use crate::logs::event::Component::Kernel;
use crate::logs::record::Level::{Error as Err, Warn};

use super::types::How::Find;
use super::types::Nature::{Fault, Symptom};
use super::types::Role::Text as Txt;
use super::types::{Signature, field, form, row};

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
        ],
        &[field("device", Txt("device"), "")],
    ),
    row(
        "kernel-device-timeout",
        Kernel,
        Warn,
        Fault,
        "all",
        "A device did not answer in time.",
        &[
            form(
                Find("I/O {_} timeout, "),
                "nvme nvme0: I/O 12 QID 3 timeout, aborting",
            ),
            form(
                Find("rejecting I/O to offline device"),
                "sd 0:0:0:0: rejecting I/O to offline device",
            ),
        ],
        &[],
    ),
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
