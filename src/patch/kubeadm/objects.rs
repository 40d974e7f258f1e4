//! What kubeadm's clusters get beside changed flags: a second etcd for events, and priority levels.

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::catalog::settings::Component;

use super::super::events_etcd::{self, members, servers};
use super::super::pod::Pod;
use super::super::{apf, probes};
use super::Work;
use crate::patch::diff::safe_name;

/// From here on an override etcd is part of `/livez` (k8s.io/apiserver 1.34).
const OVERRIDE_HEALTH: Version = Version::minor(1, 34);

/// The flag of the second etcd.
const OVERRIDES: &str = "etcd-servers-overrides";

/// Which of the distinct sets of servers holds the events, counted from 0 as kube-apiserver does.
fn place_of(overrides: &str) -> usize {
    let mut sets: Vec<&str> = Vec::new();
    let mut place = None;
    for (resource, set) in overrides.split(',').filter_map(|one| one.split_once('#')) {
        let at = sets
            .iter()
            .position(|have| *have == set)
            .unwrap_or_else(|| {
                sets.push(set);
                sets.len() - 1
            });
        if resource == "/events" {
            place = Some(at);
        }
    }
    place.unwrap_or_else(|| sets.len().saturating_sub(1))
}

impl Work<'_> {
    fn etcd_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods
            .iter()
            .filter(|pod| pod.component == Component::Etcd)
            .map(|pod| &pod.pod)
    }

    /// The override's value: the advice's, with the addresses from the manifests where it has none.
    pub(super) fn events_value(&self, advice: &Advice) -> String {
        if !advice.proposed.contains('<') {
            return advice.proposed.clone();
        }
        let members = members(self.etcd_pods());
        if members.is_empty() {
            return advice.proposed.clone();
        }
        let one = format!("/events#{}", servers(&members));
        match advice.proposed.rsplit_once("/events#") {
            Some((before, _)) => format!("{before}{one}"),
            None => one,
        }
    }

    pub(super) fn events_etcd(&mut self, advice: &Advice) {
        if self.has_events_etcd {
            self.set
                .already
                .push("etcd-events: the second etcd is there".to_owned());
            return;
        }
        let members = members(self.etcd_pods());
        let main = self
            .pods
            .iter()
            .find(|pod| pod.component == Component::Etcd)
            .map(|pod| (pod.pod.clone(), pod.version(self.input)));
        let Some((main, version)) = main.filter(|_| !members.is_empty()) else {
            self.show(
                advice,
                "etcd-events",
                "no manifest of main etcd was given, so its image and certificates are not known: \
                 build the second etcd beside the external one by the steps",
            );
            return;
        };
        for member in &members {
            match events_etcd::manifest(&main, member, &members, version) {
                Ok(content) => {
                    let path = format!("events-etcd/{}/etcd-events.yaml", safe_name(&member.name));
                    self.file(path, content, "static pod of the second etcd", advice);
                }
                Err(why) => self.show(advice, "etcd-events", why),
            }
        }
        self.events_members = members;
    }

    /// From 1.34 on an outage of the shard would restart every kube-apiserver.
    pub(super) fn exclude_override(&mut self, advice: &Advice, proposed: &str) {
        if self
            .kubernetes()
            .is_none_or(|version| version < OVERRIDE_HEALTH)
        {
            return;
        }
        let path = ["livenessProbe", "httpGet", "path"];
        let asks =
            |overrides: &str| format!("/livez?exclude=etcd-override-{}", place_of(overrides));
        let mut wanted = None;
        let mut shown = Vec::new();
        let mut edited = Vec::new();
        for (at, one) in self.pods.iter().enumerate() {
            if one.component != Component::ApiServer {
                continue;
            }
            let own = one.pod.joined(OVERRIDES);
            let asks = asks(own.as_deref().unwrap_or(proposed));
            let now = one.pod.get(&path).and_then(yaml_serde::Value::as_str);
            match now {
                Some("/livez") => {
                    let value = yaml_serde::Value::from(asks.as_str());
                    let mut pod = one.pod.clone();
                    match pod.set_value(&path, &value) {
                        Ok(()) => edited.push((at, pod)),
                        Err(refusal) => shown.push((one.words(), refusal.to_string())),
                    }
                }
                Some(now) if now == asks => {}
                Some(now) => shown.push((
                    one.words(),
                    format!("its liveness probe asks for {now}: exclude the override by hand"),
                )),
                None => {}
            }
            if wanted.get_or_insert_with(|| asks.clone()) != &asks {
                shown.push((
                    one.words(),
                    format!(
                        "its overrides are not those of the other nodes, so its patch of the probe \
                         needs {asks}"
                    ),
                ));
            }
        }
        for (at, pod) in edited {
            self.commit(at, pod, advice);
        }
        let wanted = wanted.unwrap_or_else(|| asks(proposed));
        for (on, why) in shown {
            self.show(advice, &on, why);
        }
        if let Ok((path, content)) = probes::apiserver_liveness(&wanted) {
            self.file(path, content, "patch for `kubeadm --patches`", advice);
        }
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
