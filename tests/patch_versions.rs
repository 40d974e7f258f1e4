//! Never a flag that the version lacks: every setting of the catalogue, asked for in every release,
//! through every target that writes flags.
#![expect(clippy::unwrap_used, reason = "a test over files it made itself")]

#[path = "support/patching.rs"]
mod patching;
mod support;

use std::collections::BTreeMap;
use std::fs;

use etcd_doctor::catalog::releases::Version;
use etcd_doctor::catalog::settings::{Component, Existence, Kind, setting, settings};
use patching::{tree, write_tree};
use serde_json::{Value, json};
use support::doctor;

const COMPONENTS: [Component; 4] = [
    Component::Etcd,
    Component::ApiServer,
    Component::ControllerManager,
    Component::Scheduler,
];

/// A value that the kind takes and that is nobody's default.
fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Int | Kind::Bytes | Kind::Millis | Kind::Secs => "4321",
        Kind::Float => "0.0123",
        Kind::Duration => "4321s",
        Kind::Gates => "XyzGate=true",
        Kind::Text | Kind::List => "xyz",
    }
}

/// Advice for every setting of the components that is a number, a duration, a switch or a gate.
fn everything() -> Vec<Value> {
    let mut all = Vec::new();
    for component in COMPONENTS {
        let measure = |kind: Kind| !matches!(kind, Kind::Text | Kind::List);
        for one in settings(component).iter().filter(|one| measure(one.kind)) {
            all.push(json!({
                "id": format!("{}-{}", component.program(), one.name), "remedy": "etcd",
                "strength": "recommended", "target": component.program(), "setting": one.name,
                "now": null, "proposed": sample(one.kind), "why": "w", "effect": "e",
                "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
                "disposition": "disruptive", "finding_ids": [], "source": "s",
            }));
        }
    }
    all
}

fn pod(component: Component, image: &str) -> String {
    let program = component.program();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {program}, namespace: kube-system}}\nspec:\n  containers:\n  - command:\n    - {program}\n    image: {image}\n    name: {program}\n"
    )
}

/// The flags that a target wrote for each component.
fn written(target: &str, files: &BTreeMap<String, String>) -> Vec<(Component, String)> {
    let mut all = Vec::new();
    let mut add = |component: Component, text: &str| {
        let bare = text.trim_start_matches('-');
        all.push((component, bare.split('=').next().unwrap().to_owned()));
    };
    let read = |text: &str| yaml_serde::from_str::<Value>(text).unwrap();
    match target {
        "kubeadm" => {
            for component in COMPONENTS {
                let name = format!("manifests/{}.yaml", component.program());
                let Some(text) = files.get(&name) else {
                    continue;
                };
                let command = read(text)["spec"]["containers"][0]["command"].clone();
                for arg in command.as_array().unwrap().iter().skip(1) {
                    add(component, arg.as_str().unwrap());
                }
            }
        }
        "rke2" => {
            let drop_in = read(&files["config.yaml.d/90-etcd-doctor.yaml"]);
            for (key, list) in drop_in.as_object().unwrap() {
                let name = key.trim_end_matches("-arg+");
                let component = Component::of_program(name).unwrap();
                for arg in list.as_array().unwrap() {
                    add(component, arg.as_str().unwrap());
                }
            }
        }
        "talos" => {
            let patch = read(&files["talos-patch.yaml"]);
            for (section, component) in [
                ("etcd", Component::Etcd),
                ("apiServer", Component::ApiServer),
                ("controllerManager", Component::ControllerManager),
                ("scheduler", Component::Scheduler),
            ] {
                let args = &patch["cluster"][section]["extraArgs"];
                for key in args.as_object().unwrap().keys() {
                    add(component, key);
                }
            }
        }
        "systemd" => {
            for component in COMPONENTS {
                let name = format!("{}.service.d/90-etcd-doctor.conf", component.program());
                for line in files.get(&name).map_or("", String::as_str).lines() {
                    if let Some(env) = line.strip_prefix("Environment=\"ETCD_") {
                        let name = env.split('=').next().unwrap().to_lowercase();
                        add(component, &name.replace('_', "-"));
                    }
                    for word in line
                        .strip_prefix("ExecStart=")
                        .unwrap_or("")
                        .split(' ')
                        .skip(1)
                    {
                        add(component, word);
                    }
                }
            }
        }
        other => panic!("{other}"),
    }
    all
}

#[test]
fn kubeadm_writes_no_flag_that_the_release_lacks() {
    writes_no_flag_that_the_release_lacks("kubeadm");
}

#[test]
fn rke2_writes_no_flag_that_the_release_lacks() {
    writes_no_flag_that_the_release_lacks("rke2");
}

#[test]
fn talos_writes_no_flag_that_the_release_lacks() {
    writes_no_flag_that_the_release_lacks("talos");
}

#[test]
fn systemd_writes_no_flag_that_the_release_lacks() {
    writes_no_flag_that_the_release_lacks("systemd");
}

fn writes_no_flag_that_the_release_lacks(target: &str) {
    let dir = tempfile::tempdir().unwrap();
    let report = json!({ "advice": everything() }).to_string();
    write_tree(dir.path(), [("report.json", report.as_str())]);
    // Each minor of Kubernetes with an etcd of its time, and the edges of etcd's patch releases.
    let pairs: Vec<(String, &str)> = [
        "3.3.25", "3.4.3", "3.4.13", "3.4.31", "3.5.0", "3.5.1", "3.5.6", "3.5.12", "3.5.21",
        "3.6.0", "3.6.14", "3.7.1",
    ]
    .iter()
    .zip([20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 35])
    .map(|(etcd, minor)| (format!("1.{minor}.3"), *etcd))
    .collect();
    for (kubernetes, etcd) in pairs {
        let place = dir.path().join(format!("{target}-{kubernetes}"));
        fs::create_dir_all(place.join("in")).unwrap();
        for component in COMPONENTS {
            let program = component.program();
            let tag = match component {
                Component::Etcd => format!("{etcd}-0"),
                _ => format!("v{kubernetes}"),
            };
            match target {
                "kubeadm" => write_tree(
                    &place.join("in"),
                    [(
                        format!("{program}.yaml").as_str(),
                        pod(component, &format!("registry.k8s.io/{program}:{tag}")).as_str(),
                    )],
                ),
                "systemd" => write_tree(
                    &place.join("in"),
                    [(
                        format!("{program}.service").as_str(),
                        format!("[Service]\nExecStart=/usr/bin/{program}\n").as_str(),
                    )],
                ),
                _ => {}
            }
        }
        doctor(&["patch", "--target", target, "--format", "json", "--report"])
            .path(dir.path().join("report.json"))
            .arg("--manifests")
            .path(place.join("in"))
            .arg("--out")
            .path(place.join("out"))
            .args(&["--kubernetes-version", &kubernetes, "--etcd-version", etcd])
            .json();
        let flags = written(target, &tree(&place.join("out")));
        assert!(
            flags.len() > 60,
            "{target} {kubernetes}: only {}",
            flags.len()
        );
        for (component, flag) in flags {
            let version = match component {
                Component::Etcd => Version::parse(etcd).unwrap(),
                _ => Version::parse(&kubernetes).unwrap(),
            };
            let found = setting(component, &flag)
                .unwrap_or_else(|| panic!("{target}: {component:?} has no --{flag}"));
            assert_eq!(
                found.accepted_by(version),
                Existence::Yes,
                "{target}: --{flag} of {} in {version}",
                component.program()
            );
            for (name, first, gone) in KNOWN {
                if flag == *name && first.0 == version.major {
                    let at = (version.major, version.minor);
                    assert!(
                        at >= *first && at < *gone,
                        "{target}: --{flag} in {version}"
                    );
                }
            }
        }
    }
}

/// Major and minor version.
type Minor = (u16, u16);

const NEVER: Minor = (u16::MAX, 0);

/// First minor with a flag and first minor without it, from the programs' own sources, so that the
/// catalogue is not its own judge.
const KNOWN: &[(&str, Minor, Minor)] = &[
    // kubernetes CHANGELOG-1.28, -1.24, -1.26, -1.27, -1.35.
    ("concurrent-job-syncs", (1, 28), NEVER),
    ("concurrent-cron-job-syncs", (1, 28), NEVER),
    ("concurrent-device-taint-eviction-syncs", (1, 35), NEVER),
    ("target-ram-mb", (1, 0), (1, 24)),
    ("insecure-port", (1, 0), (1, 24)),
    ("logtostderr", (1, 0), (1, 26)),
    ("pod-eviction-timeout", (1, 0), (1, 27)),
    // etcd server/embed/config.go v3.4, v3.5, v3.6.0, v3.7.0.
    ("experimental-initial-corrupt-check", (3, 3), (3, 7)),
    ("experimental-compaction-batch-limit", (3, 4), (3, 7)),
    ("compaction-batch-limit", (3, 6), NEVER),
    ("watch-progress-notify-interval", (3, 6), NEVER),
    ("feature-gates", (3, 6), NEVER),
    ("unsafe-no-fsync", (3, 4), NEVER),
    ("enable-v2", (3, 0), (3, 6)),
    ("backend-batch-interval", (3, 4), NEVER),
];
