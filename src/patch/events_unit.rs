//! A second etcd for events as a systemd unit, made from the main one's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, Kind, setting};
use crate::manifest::{Means, Provenance, effective_of_files};

use super::diff::safe_name;
use super::events_etcd::{self, DATA_DIR, Member};
use super::members::joined;
use super::model::{NodeManifests, PatchFile, PatchInput, PatchSet, Shown};

/// What to do with the units, before what holds everywhere.
pub(super) const STEPS: &str = "A second etcd for events:\n\n\
    1. `etcdctl snapshot save` of main etcd.\n\
    2. On each member: a disk of its own, mounted at /var/lib/etcd-events (`mountpoint -q \
    /var/lib/etcd-events`; 0700, owned by etcd's user). On main etcd's disk it gains little: both wait \
    for the same flushes. The ports in its unit (2382, 2383 and 2384 unless it says others) must be free (`ss -ltn`).\n\
    3. Copy etcd-events.service of that node to /etc/systemd/system, `systemctl daemon-reload`, \
    `systemctl enable --now etcd-events` on all members; then `etcdctl --endpoints=https://HOST:2382,… \
    endpoint status -w table`: all there, of one version (3.4.31, 3.5.13 or later where kube-apiserver \
    is 1.31 or later).\n\
    4. kube-apiserver, one after the other: the --etcd-servers-overrides below; wait for \
    `/readyz?verbose` of each.\n\n";

/// Adds the units for advice that asks for an events etcd; gives the advice that was carried out.
pub(super) fn add(input: &PatchInput<'_>, set: &mut PatchSet) -> BTreeSet<String> {
    let mut done = BTreeSet::new();
    let asked: Vec<_> = input
        .advices
        .iter()
        .filter(|advice| {
            input.wants(advice)
                && advice.details.get("resource").map(String::as_str) == Some("events")
        })
        .collect();
    for advice in asked {
        let mut built = Vec::new();
        let flags: Vec<_> = input.nodes.iter().filter_map(given).collect();
        let urls = flags
            .iter()
            .find_map(|given| given.get("advertise-client-urls"));
        let members =
            events_etcd::reached(members(input), urls.map(String::as_str), &advice.proposed);
        let ports = members.first().map(Member::ports).unwrap_or_default();
        let mut failed = events_etcd::conflict(flags.iter().flatten(), &ports);
        if advice.proposed.contains('<') && members.len() < events_etcd::places_in(&advice.proposed)
        {
            let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
            failed = failed.or_else(|| events_etcd::unaddressed(&names, &advice.proposed));
        }
        let nodes = if failed.is_none() {
            input.nodes.as_slice()
        } else {
            &[]
        };
        for node in nodes {
            match unit(node, &members, input.etcd) {
                Ok(Some(text)) => built.push((node.node.clone(), text)),
                Ok(None) => {}
                Err(why) => failed = Some(why),
            }
        }
        if let Some(why) = failed.or_else(|| {
            built
                .is_empty()
                .then(|| "no unit that runs etcd with an initial-cluster was given".to_owned())
        }) {
            set.shown.push(Shown {
                advice: advice.id.clone(),
                on: "etcd-events".to_owned(),
                why,
            });
            continue;
        }
        for (node, text) in built {
            let path = if node.is_empty() {
                "etcd-events.service".to_owned()
            } else {
                format!("{}/etcd-events.service", safe_name(&node))
            };
            set.files.push(PatchFile {
                path,
                content: text,
                what: "unit of the second etcd, for events".to_owned(),
                advice: vec![advice.id.clone()],
            });
        }
        set.shown.retain(|shown| shown.advice != advice.id);
        set.shown.push(Shown {
            advice: advice.id.clone(),
            on: "kube-apiserver".to_owned(),
            why: format!(
                "set --etcd-servers-overrides=/events#{} once the second etcd is well",
                events_etcd::servers(&members)
            ),
        });
        done.insert(advice.id.clone());
    }
    done
}

/// Main etcd's given flags on a node, by name.
pub(super) fn given(node: &NodeManifests) -> Option<BTreeMap<String, String>> {
    let files = super::systemd::places(node);
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let settled = effective_of_files(Component::Etcd, &files)?;
    Some(
        settled
            .settings
            .into_values()
            .filter(|one| matches!(one.from, Provenance::Given(_)))
            .filter(|one| one.name != "config-file")
            // Each gate is told by itself too; the flag holds all of them.
            .filter(|one| {
                !(one.name.starts_with("feature-gates.") && is_gates(one.spelled.as_deref()))
            })
            .filter_map(|one| {
                let value = one.value?;
                let in_file = one.from == Provenance::Given(Means::File);
                let spelled = one.spelled.unwrap_or_else(|| one.name.clone());
                let flag = match spelled.strip_prefix("ETCD_") {
                    Some(rest) => rest.to_lowercase().replace('_', "-"),
                    // A section of the file is no part of the flag's name.
                    None if spelled.contains('.') => one.name,
                    None => spelled,
                };
                let duration = setting(Component::Etcd, &flag)
                    .is_some_and(|found| found.setting.kind == Kind::Duration);
                let nanoseconds = in_file && duration && value.bytes().all(|b| b.is_ascii_digit());
                Some((
                    flag,
                    if nanoseconds {
                        format!("{value}ns")
                    } else {
                        value
                    },
                ))
            })
            .collect(),
    )
}

/// Whether a setting was spelled as the flag that holds all gates.
fn is_gates(spelled: Option<&str>) -> bool {
    matches!(spelled, Some("feature-gates" | "ETCD_FEATURE_GATES"))
}

pub(super) fn members(input: &PatchInput<'_>) -> Vec<Member> {
    let lists = input
        .nodes
        .iter()
        .filter_map(|node| given(node)?.remove("initial-cluster"));
    events_etcd::members_of(lists)
}

/// What the steps say of members that got no unit: their nodes' files were not given.
pub(super) fn missing(members: &[String]) -> String {
    if members.is_empty() {
        return String::new();
    }
    format!(
        "\n\nOf {} no files were given, so no etcd-events.service was written there, and the second etcd \
         is no cluster without: give its files too, a folder a node, and run this again. A unit of \
         another node holds that node's name and addresses: never copy it over. Do not set the override \
         before every member is there and well.\n\n",
        joined(members)
    )
}

/// The unit of one node, read back; `None` where it runs no etcd.
fn unit(
    node: &NodeManifests,
    members: &[Member],
    version: Option<Version>,
) -> Result<Option<String>, String> {
    let Some(main) = given(node) else {
        return Ok(None);
    };
    let name = main
        .get("name")
        .ok_or("main etcd's unit gives no --name, so its member is not known")?;
    let member = members
        .iter()
        .find(|m| m.name == *name)
        .ok_or("main etcd's --initial-cluster does not name this member")?;
    let flags = events_etcd::own_flags(&main, member, members, version);
    let mut text = format!(
        "# A second etcd, for events only. The disk of {DATA_DIR} must be its own: see STEPS.md.\n\
         [Unit]\nDescription=etcd for events, client port {}\nAfter=network-online.target\n\
         Wants=network-online.target\nRequiresMountsFor={DATA_DIR}\n\n[Service]\nType=notify\n",
        member.port
    );
    for (_, file) in &node.files {
        for line in file
            .lines()
            .filter(|l| l.starts_with("User=") || l.starts_with("Group="))
        {
            if !text.contains(line) {
                writeln!(text, "{line}").ok();
            }
        }
    }
    let program = node
        .files
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim_start().strip_prefix("ExecStart="))
        .filter_map(|exec| exec.split_whitespace().next())
        .map(|word| word.trim_start_matches(['@', '-', ':', '+', '!']))
        .find(|word| word.ends_with("/etcd"))
        .unwrap_or("/usr/bin/etcd");
    write!(text, "ExecStart={program}").ok();
    for (flag, value) in &flags {
        write!(text, " \\\n  --{flag}={}", value.replace('%', "%%")).ok();
    }
    text.push_str(
        "\nRestart=always\nRestartSec=5\nLimitNOFILE=65536\nIOSchedulingClass=best-effort\n\
         IOSchedulingPriority=0\n\n[Install]\nWantedBy=multi-user.target\n",
    );
    let read = effective_of_files(
        Component::Etcd,
        &[("etc/systemd/system/etcd-events.service", text.as_str())],
    )
    .ok_or("the unit does not read back")?;
    for (flag, value) in &flags {
        let key = crate::catalog::settings::setting(Component::Etcd, flag)
            .map_or(flag.as_str(), |found| found.setting.name);
        let have = read.settings.get(key).and_then(|one| one.value.as_deref());
        if have != Some(value.as_str()) {
            return Err(format!("the unit does not read back as meant: {flag}"));
        }
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::Advice;

    #[test]
    fn a_unit_with_its_own_ports_and_the_same_certificates() {
        let advice: Advice = serde_json::from_value(serde_json::json!({
            "id": "shard-events", "remedy": "shard", "strength": "recommended",
            "target": "kube-apiserver", "setting": "etcd-servers-overrides", "now": null,
            "proposed": "/events#x", "why": "w", "effect": "e", "confidence": "high", "risk": "r",
            "undo": "u", "verify": "v", "disposition": "disruptive", "finding_ids": [],
            "source": "s", "details": {"resource": "events"},
        }))
        .unwrap();
        let main = "[Service]\nUser=etcd\nExecStart=/usr/local/bin/etcd --name=a --data-dir=/var/lib/etcd \
                    --listen-client-urls=https://10.0.0.1:2379 --initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380 \
                    --feature-gates=InitialCorruptCheck=true,CompactHashCheck=true \
                    --cert-file=/etc/etcd/s.crt --trusted-ca-file=/etc/etcd/ca.crt --client-cert-auth=true\n";
        let advices = [advice];
        let input = PatchInput {
            advices: &advices,
            nodes: vec![NodeManifests {
                node: "cp0".to_owned(),
                files: vec![("etcd.service".to_owned(), main.to_owned())],
            }],
            ..PatchInput::default()
        };
        let mut set = PatchSet::default();
        assert_eq!(add(&input, &mut set).len(), 1);
        let text = &set.file("cp0/etcd-events.service").unwrap().content;
        for part in [
            "User=etcd\n",
            "ExecStart=/usr/local/bin/etcd \\\n",
            "--advertise-client-urls=https://10.0.0.1:2382",
            "--cert-file=/etc/etcd/s.crt",
            "--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true",
            "--data-dir=/var/lib/etcd-events",
            "--initial-cluster=a-events=https://10.0.0.1:2383,b-events=https://10.0.0.2:2383",
            "RequiresMountsFor=/var/lib/etcd-events",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(
            set.shown[0]
                .why
                .contains("/events#https://10.0.0.1:2382;https://10.0.0.2:2382")
        );
    }
}
