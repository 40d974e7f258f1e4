//! Any text as any kind of settings file: nothing may panic.
#![no_main]

use etcd_doctor::catalog::settings::Component;
use etcd_doctor::manifest;
use libfuzzer_sys::fuzz_target;

const NAMES: &[&str] = &[
    "manifests/x.yaml",
    "etc/systemd/system/etcd.service",
    "etc/rancher/k3s/config.yaml",
    "etc/default/etcd",
    "var/lib/kubelet/kubeadm-flags.env",
    "config",
];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let text = String::from_utf8_lossy(rest);
    let _ = manifest::collect(&manifest::model_of_text(name, &text));
    let _ = manifest::effective_of_text(Component::Etcd, name, &text);
});
