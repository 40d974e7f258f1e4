//! `--redact`: names that stand inside container images and user agents: a registry of one's own, its
//! projects, and programs that nobody else has.

use std::collections::BTreeSet;

use crate::evidence::{Row, keys};

use super::redact::Redactor;

/// Registries that everybody takes images from.
const REGISTRIES: &[&str] = &[
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "k8s.gcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "quay.io",
    "registry.access.redhat.com",
    "registry.k8s.io",
    "registry.redhat.io",
];
/// Projects there that everybody takes images from.
const PROJECTS: &[&str] = &[
    "bitnami",
    "bitnamilegacy",
    "coreos",
    "eks-distro",
    "etcd-development",
    "etcd-io",
    "google_containers",
    "k0sproject",
    "k3s-io",
    "k8s",
    "kubernetes",
    "library",
    "openshift-release-dev",
    "rancher",
    "siderolabs",
];
/// The column of a user agent.
const AGENT: &str = "user_agent";

/// Names in the images and the user agent of a row of the evidence key `key`.
pub(super) fn gather(key: &str, row: &Row, redactor: &Redactor, names: &mut BTreeSet<String>) {
    for image in images(key, row) {
        of_image(image, redactor, names);
    }
    let agent = row.get_text(AGENT).unwrap_or_default();
    let program = agent.split(['/', ' ']).next().unwrap_or_default();
    if !program.contains(':') && redactor.agent(program) != program {
        names.insert(program.to_owned());
    }
}

/// The texts of a row that are images.
fn images<'r>(key: &str, row: &'r Row) -> impl Iterator<Item = &'r str> {
    let version = key == keys::VERSIONS.info.name && row.key == "image";
    let setting = key == keys::SETTINGS.info.name && row.key.to_ascii_lowercase().contains("image");
    let columns = [
        ("image", true),
        ("text", version),
        ("value", setting),
        ("defined", setting),
    ];
    columns
        .into_iter()
        .filter(|(_, is)| *is)
        .filter_map(|(column, _)| row.get_text(column))
}

/// The registry and the projects of `HOST:PORT/PROJECT/NAME:TAG`. The image's own name stays: it says
/// what runs.
fn of_image(image: &str, redactor: &Redactor, names: &mut BTreeSet<String>) {
    let image = image.split_once("://").map_or(image, |(_, image)| image);
    let Some((path, _)) = image.rsplit_once('/') else {
        return;
    };
    for part in path.split('/') {
        let part = part.split(':').next().unwrap_or_default();
        // Addresses have their own turn.
        let public = REGISTRIES.contains(&part)
            || PROJECTS.contains(&part)
            || part.parse::<std::net::IpAddr>().is_ok()
            || redactor.text(part) == part;
        if !public {
            names.insert(part.to_owned());
        }
    }
}

/// The key of a row with the user agent in it hidden, and the rest as `rest` hides it; `None` where no
/// user agent stands in it.
pub(super) fn key(row: &Row, redactor: &Redactor, rest: impl Fn(&str) -> String) -> Option<String> {
    let agent = row.get_text(AGENT).filter(|agent| !agent.is_empty())?;
    let (before, after) = row.key.split_once(agent)?;
    Some(format!(
        "{}{}{}",
        rest(before),
        // A program that is known may say whose account it uses.
        rest(&redactor.agent(agent)),
        rest(after)
    ))
}

/// Whether a column holds a user agent.
pub(super) fn is_agent(column: &str) -> bool {
    column == AGENT
}

#[cfg(test)]
mod tests {
    use super::super::redact_evidence::redacted;
    use super::*;
    use crate::evidence::{Collector, EvidenceSet, Origin, Subject, Table, Window};

    #[test]
    fn registries_and_programs_of_ones_own_are_hidden() {
        let mut set = EvidenceSet::new();
        let mut put = |key, row: Row| {
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let origin = Origin::new(Collector::Logs, "a.log");
            set.put(key, Subject::cluster(), Window::default(), origin, table);
        };
        put(
            &keys::VERSIONS,
            Row::new("image").text(
                "text",
                "registry.acme.internal:5000/zebra/kube-apiserver:v1.33.1",
            ),
        );
        put(
            &keys::WORKLOADS,
            Row::new("workload").text("image", "quay.io/coreos/etcd:v3.5.9"),
        );
        put(
            &keys::SETTINGS,
            Row::new("imageRepository").text("value", "mirror.acme.internal/k8s/x"),
        );
        put(
            &keys::LOGS_AUDIT_CLIENTS,
            Row::new("acme-scraper/1.0 (linux) <b onmouseover> | me | get pods")
                .text("user_agent", "acme-scraper/1.0 (linux) <b onmouseover>")
                .text("user", "system:apiserver"),
        );
        let redactor = Redactor::new(true);
        let mut notes = vec!["acme-scraper asks too much".to_owned()];
        let hidden = redacted(&set, &mut notes, &redactor);
        let text = serde_json::to_string(&hidden.records().collect::<Vec<_>>()).unwrap();
        for raw in ["acme", "zebra", "onmouseover"] {
            assert!(!text.contains(raw), "{raw}: {text}");
        }
        for kept in [
            "/kube-apiserver:v1.33.1",
            "quay.io/coreos/etcd:v3.5.9",
            "/1.0 (linux) <b ",
            "get pods",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let program = redactor.name("acme-scraper");
        assert!(text.contains(&program), "{text}");
        assert_eq!(notes, [format!("{program} asks too much")]);
    }
}
