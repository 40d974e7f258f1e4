//! What kubeadm's clusters get beside changed flags: a second etcd for events, and priority levels.

use std::collections::BTreeSet;

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, overrides};

use super::super::events_etcd::{self, Member, members, servers};
use super::super::members::not_given;
use super::super::pod::Pod;
use super::super::{apf, probes};
use super::Work;
use crate::patch::diff::safe_name;

/// From here on an override etcd is part of `/livez` (k8s.io/apiserver 1.34).
const OVERRIDE_HEALTH: Version = Version::minor(1, 34);

/// Where kubeadm puts etcd's certificates.
const KUBEADM_ACCESS: &str = " --cacert=/etc/kubernetes/pki/etcd/ca.crt \
    --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key";

/// The flag of the second etcd.
const OVERRIDES: &str = "etcd-servers-overrides";

/// Which of the distinct sets of servers holds the events, counted from 0 as kube-apiserver does.
fn place_of(overrides: &str) -> usize {
    let numbered = overrides::numbered(overrides);
    let events = numbered.iter().find(|(resource, _)| *resource == "/events");
    events.or(numbered.last()).map_or(0, |(_, at)| *at)
}

/// A liveness path of `/livez` that leaves one override out too; `None` for another path.
fn without(path: &str, at: usize) -> Option<String> {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let mine = format!("exclude=etcd-override-{at}");
    if bare != "/livez" {
        return None;
    }
    // `etcd` is the group of main etcd and all overrides.
    let so = query
        .split('&')
        .any(|part| part == mine || part == "exclude=etcd");
    Some(match (so, query) {
        (true, _) => path.to_owned(),
        (false, "") => format!("{bare}?{mine}"),
        (false, _) => format!("{path}&{mine}"),
    })
}

impl Work<'_> {
    /// Why an override with places to fill in is no file.
    pub(super) fn unaddressed(&self, advice: &Advice) -> Option<String> {
        let members = self.shard_members(&advice.proposed);
        let names: Vec<String> = members.into_iter().map(|member| member.name).collect();
        events_etcd::unaddressed(&names, &advice.proposed)
    }

    fn etcd_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods
            .iter()
            .filter(|pod| pod.component == Component::Etcd)
            .map(|pod| &pod.pod)
    }

    /// The override's value: the advice's, with the addresses from the manifests where it has none. The
    /// first node of a cluster names only itself, so that manifests of fewer members than the advice
    /// reckons with tell nothing.
    pub(super) fn events_value(&self, advice: &Advice) -> String {
        if !advice.proposed.contains('<') {
            return advice.proposed.clone();
        }
        let members = self.shard_members(&advice.proposed);
        if members.is_empty() || members.len() < events_etcd::places_in(&advice.proposed) {
            return advice.proposed.clone();
        }
        let one = format!("/events#{}", servers(&members));
        match advice.proposed.rsplit_once("/events#") {
            Some((before, _)) => format!("{before}{one}"),
            None => one,
        }
    }

    /// The members that the shard is to have, by main etcd's manifests and the override.
    fn shard_members(&self, proposed: &str) -> Vec<Member> {
        let urls = ["advertise-client-urls", "listen-client-urls"];
        let urls = urls
            .iter()
            .find_map(|flag| self.etcd_pods().find_map(|pod| pod.flag(flag)));
        events_etcd::reached(members(self.etcd_pods()), urls.as_deref(), proposed)
    }

    /// Why the override would keep kube-apiserver from starting, where it would.
    pub(super) fn shard_can_run(&self, proposed: &str) -> Result<(), String> {
        if !self.events_pods.is_empty() {
            return Ok(());
        }
        let members = self.shard_members(proposed);
        let Some(first) = members.first() else {
            return Err(format!(
                "no manifest of main etcd with its members was given, so its image and certificates \
                 are not known and no second etcd is written; an override to an etcd that does not \
                 answer keeps kube-apiserver from starting. Where etcd is external, build the second one \
                 beside it first (`patch --target systemd` on its machines writes its units), see that \
                 each server answers to kube-apiserver's client certificate, and only then give every \
                 kube-apiserver --{OVERRIDES}={proposed}"
            ));
        };
        for pod in &self.pods {
            if ![Component::Etcd, Component::ApiServer].contains(&pod.component) {
                continue;
            }
            // The override that is written is no conflict with itself.
            let flags = pod.pod.effective();
            let flags = flags.iter().filter(|(name, _)| name.as_str() != OVERRIDES);
            if let Some(why) = events_etcd::conflict(flags, &first.ports()) {
                return Err(format!("{}: {why}", pod.words()));
            }
        }
        let entry = proposed
            .split(',')
            .find(|entry| entry.starts_with("/events#"));
        let other = entry
            .into_iter()
            .flat_map(|entry| entry.trim_start_matches("/events#").split(';'))
            .find(|url| !url.starts_with(&format!("{}://", first.client)));
        match other {
            Some(url) => Err(format!(
                "the override names {url}, and the second etcd, made from main etcd, is asked by {}: \
                 kube-apiserver would not start",
                first.client
            )),
            None => Ok(()),
        }
    }

    pub(super) fn events_etcd(&mut self, advice: &Advice, proposed: &str) {
        let members = self.shard_members(proposed);
        let main = self
            .pods
            .iter()
            .find(|pod| pod.component == Component::Etcd)
            .map(|pod| (pod.pod.clone(), pod.version(self.input)));
        let Some((main, version)) = main.filter(|_| !members.is_empty()) else {
            // Where its pods are there, nothing is needed from main etcd.
            self.set
                .already
                .push("etcd-events: the second etcd is there".to_owned());
            return;
        };
        let mut written = Vec::new();
        for member in &members {
            match self.has_shard(member) {
                Some(true) => {
                    let one = format!("etcd-events of {}: it is there", member.name);
                    self.set.already.push(one);
                    continue;
                }
                None if !self.events_pods.is_empty() => {
                    // Whether it has one is not known: its node was not given.
                    let one = "etcd-events: the second etcd is there".to_owned();
                    if !self.set.already.contains(&one) {
                        self.set.already.push(one);
                    }
                    continue;
                }
                _ => {}
            }
            match events_etcd::manifest(&main, member, &members, version) {
                Ok(content) => {
                    let path = format!("events-etcd/{}/etcd-events.yaml", safe_name(&member.name));
                    self.file(path, content, "static pod of the second etcd", advice);
                    written.push(member.clone());
                }
                Err(why) => self.show(advice, "etcd-events", why),
            }
        }
        self.events_members = written;
    }

    /// Whether a member's node has its pod of the second etcd; `None` where the node was not given.
    fn has_shard(&self, member: &Member) -> Option<bool> {
        let own = self.pods.iter().find(|pod| {
            pod.component == Component::Etcd
                && pod.pod.flag("name").as_deref() == Some(member.name.as_str())
        })?;
        Some(self.events_pods.iter().any(|(node, _)| own.node == *node))
    }

    /// From 1.34 on an outage of the shard would restart every kube-apiserver.
    pub(super) fn exclude_override(&mut self, advice: &Advice, proposed: &str) {
        let path = ["livenessProbe", "httpGet", "path"];
        let mut wanted: Option<String> = None;
        let mut shown = Vec::new();
        let mut edited = Vec::new();
        let mut modern = false;
        for (at, one) in self.pods.iter().enumerate() {
            // Its own version: the other components may be a release behind.
            let version = one.version(self.input);
            if one.component != Component::ApiServer || version.is_none_or(|v| v < OVERRIDE_HEALTH)
            {
                continue;
            }
            modern = true;
            let own = one.pod.joined(OVERRIDES);
            let place = place_of(own.as_deref().unwrap_or(proposed));
            let now = one.pod.get(&path).and_then(yaml_serde::Value::as_str);
            let asks = without(now.unwrap_or("/livez"), place);
            match (now, &asks) {
                (Some(now), Some(asks)) if now != asks => {
                    let value = yaml_serde::Value::from(asks.as_str());
                    let mut pod = one.pod.clone();
                    match pod.set_value(&path, &value) {
                        Ok(()) => edited.push((at, pod)),
                        Err(refusal) => shown.push((one.words(), refusal.to_string())),
                    }
                }
                (Some(now), None) => shown.push((
                    one.words(),
                    format!(
                        "its liveness probe asks for {now}: exclude etcd-override-{place} by hand, or \
                         an outage of the second etcd restarts kube-apiserver"
                    ),
                )),
                _ => {}
            }
            let Some(asks) = asks else { continue };
            if wanted.get_or_insert_with(|| asks.clone()) != &asks {
                shown.push((
                    one.words(),
                    format!(
                        "its overrides or its probe are not those of the other nodes, so its patch of \
                         the probe needs {asks}"
                    ),
                ));
            }
        }
        for (at, pod) in edited {
            self.commit(at, pod, advice);
            self.done.insert(advice.id.clone());
        }
        for (on, why) in shown {
            self.show(advice, &on, why);
        }
        let no_pods = !self
            .pods
            .iter()
            .any(|pod| pod.component == Component::ApiServer);
        if no_pods
            && self
                .kubernetes()
                .is_some_and(|version| version >= OVERRIDE_HEALTH)
        {
            modern = true;
            wanted = without("/livez", place_of(proposed));
        }
        if !modern || !self.done.contains(&advice.id) {
            return;
        }
        if let Some(Ok((path, content))) = wanted.as_deref().map(probes::apiserver_liveness) {
            self.file(path, content, "patch for `kubeadm --patches`", advice);
        }
    }

    /// The certificates by which kube-apiserver asks etcd: they open the shard too.
    pub(super) fn access(&self) -> Vec<(&'static str, String)> {
        let apiserver = self
            .pods
            .iter()
            .find(|pod| pod.component == Component::ApiServer);
        let of = |flag: &str, usual: &str| {
            apiserver
                .and_then(|pod| pod.pod.flag(flag))
                .unwrap_or_else(|| usual.to_owned())
        };
        if self
            .events_members
            .iter()
            .all(|member| member.client == "http")
        {
            return Vec::new();
        }
        vec![
            (
                "ETCDCTL_CACERT",
                of("etcd-cafile", "/etc/kubernetes/pki/etcd/ca.crt"),
            ),
            (
                "ETCDCTL_CERT",
                of(
                    "etcd-certfile",
                    "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                ),
            ),
            (
                "ETCDCTL_KEY",
                of(
                    "etcd-keyfile",
                    "/etc/kubernetes/pki/apiserver-etcd-client.key",
                ),
            ),
        ]
    }

    /// The options by which etcdctl in main etcd's own pod asks it.
    pub(super) fn own_access(&self) -> String {
        let Some(pod) = self.etcd_pods().next() else {
            return KUBEADM_ACCESS.to_owned();
        };
        let plain = pod
            .flag("advertise-client-urls")
            .is_some_and(|urls| urls.starts_with("http://"));
        if plain {
            return String::new();
        }
        let options = [
            ("cacert", "trusted-ca-file"),
            ("cert", "cert-file"),
            ("key", "key-file"),
        ];
        let given: Option<Vec<String>> = options
            .iter()
            .map(|(option, flag)| Some(format!(" --{option}={}", pod.flag(flag)?)))
            .collect();
        given.map_or_else(|| KUBEADM_ACCESS.to_owned(), |all| all.concat())
    }

    /// Members whose nodes' manifests were not given.
    pub(super) fn not_given(&self) -> Vec<String> {
        let given: BTreeSet<String> = self
            .pods
            .iter()
            .flat_map(|pod| {
                let member = (pod.component == Component::Etcd).then(|| pod.pod.flag("name"));
                [Some(pod.node.clone()), member.flatten()]
            })
            .flatten()
            .filter(|name| !name.is_empty())
            .collect();
        let listed = members(self.etcd_pods()).into_iter();
        not_given(
            &self.input.members,
            listed.map(|member| member.name),
            &given,
        )
    }

    pub(super) fn priority_level(&mut self, advice: &Advice) {
        let Some(version) = self.kubernetes() else {
            self.show(
                advice,
                "FlowSchema",
                "the Kubernetes version, and with it the API version, is not known",
            );
            return;
        };
        let detail = |name: &str| advice.details.get(name).cloned().unwrap_or_default();
        let shares = detail("shares").parse().unwrap_or(10);
        let level = detail("level");
        let precedence = detail("precedence").parse().unwrap_or(1000);
        match apf::objects(&level, &detail("user"), shares, precedence, version) {
            Ok(content) if apf::present(&content, self.input) => {
                self.set
                    .already
                    .push(format!("FlowSchema and PriorityLevelConfiguration {level}"));
            }
            Ok(content) => self.file(
                format!("apf/{}.yaml", safe_name(&level)),
                content,
                "objects for `kubectl apply`",
                advice,
            ),
            Err(why) => self.show(advice, "FlowSchema", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_is_added_to_what_the_probe_asks_already() {
        for (path, at, after) in [
            ("/livez", 0, Some("/livez?exclude=etcd-override-0")),
            (
                "/livez?verbose&exclude=ping",
                0,
                Some("/livez?verbose&exclude=ping&exclude=etcd-override-0"),
            ),
            (
                "/livez?exclude=etcd-override-0",
                1,
                Some("/livez?exclude=etcd-override-0&exclude=etcd-override-1"),
            ),
            (
                "/livez?exclude=etcd-override-1",
                1,
                Some("/livez?exclude=etcd-override-1"),
            ),
            ("/livez?exclude=etcd", 3, Some("/livez?exclude=etcd")),
            ("/healthz", 0, None),
        ] {
            assert_eq!(without(path, at).as_deref(), after, "{path}");
        }
        assert_eq!(
            place_of("coordination.k8s.io/leases#https://a:1,/events#https://b:1"),
            1
        );
        assert_eq!(place_of("/pods#https://a:1,/events#https://a:1"), 0);
    }
}
