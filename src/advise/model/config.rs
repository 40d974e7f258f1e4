//! Settings that are wrong by themselves: one row a rule, with the value to go back to.

use crate::catalog::probes;
use crate::diagnosis::Cause;
use crate::evidence::{Subject, SubjectKind, keys};
use crate::rules::config::liveness_probe_kills as probe_rule;
use crate::rules::quality::tls_rejections;
use crate::rules::{Confidence, Severity};

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::overrides::Overrides;
use super::watch_cache;

/// What to do about a setting that a rule found wrong.
struct Fix {
    rule: &'static str,
    target: &'static str,
    setting: &'static str,
    proposed: &'static str,
    /// Flags that go away, parted by commas, where no value is set.
    remove: &'static str,
    remedy: Remedy,
    /// A cause with which a mere note is worth an advice.
    with: Option<Cause>,
    disposition: Disposition,
    effect: &'static str,
    risk: &'static str,
    verify: &'static str,
    source: &'static str,
}

pub(super) const ONE_BY_ONE: &str =
    "restarts the component: one node at a time, and look before the next";

const FIXES: &[Fix] = &[
    Fix {
        rule: "compaction-doubled",
        target: "etcd",
        setting: "auto-compaction-retention",
        proposed: "remove auto-compaction-mode and auto-compaction-retention",
        remove: "auto-compaction-mode,auto-compaction-retention",
        remedy: Remedy::Etcd,
        with: Some(Cause::QueryLoad),
        disposition: Disposition::Disruptive,
        effect: "history is compacted once, by kube-apiserver every five minutes",
        risk: ONE_BY_ONE,
        verify: "compactions in etcd's log come each five minutes and no more often",
        source: "etcd and kube-apiserver references: kube-apiserver compacts every 5 min",
    },
    Fix {
        rule: "event-ttl-long",
        target: "kube-apiserver",
        setting: "event-ttl",
        proposed: "1h0m0s",
        remove: "",
        remedy: Remedy::Hygiene,
        with: None,
        disposition: Disposition::Disruptive,
        effect: "fewer events are kept: their number is their rate times this time",
        risk: "older events are gone from `kubectl get events`; export them if they are needed",
        verify: "the number of event objects falls within the hour",
        source: "kube-apiserver reference: default 1h",
    },
    Fix {
        rule: "flag-and-environment",
        target: "etcd",
        setting: "ETCD_* environment",
        proposed: "keep either the flag or the variable, not both",
        remove: "",
        remedy: Remedy::Safety,
        with: None,
        disposition: Disposition::ShowOnly,
        effect: "etcd starts again: it exits when a flag and its variable are both set",
        risk: "none while the member runs; it does not survive its next restart as it is",
        verify: "the member starts without `conflicting environment variable`",
        source: "etcd pkg/flags/flag.go 3.4 to 3.7",
    },
    Fix {
        rule: "flag-removed",
        target: "",
        setting: "flag of another version",
        proposed: "remove the flag, or use the name that this version has, before the component is \
                   restarted or upgraded",
        remove: "",
        remedy: Remedy::Safety,
        with: None,
        disposition: Disposition::ShowOnly,
        effect: "the component starts in the version that does not know the flag",
        risk: "none",
        verify: "the component starts and does not complain of an unknown flag",
        source: "etcd 3.6 and 3.7 changelogs and kube-apiserver release notes",
    },
    Fix {
        rule: "known-bad-release",
        target: "",
        setting: "release",
        proposed: "upgrade to the latest patch release of the same minor version",
        remove: "",
        remedy: Remedy::Hygiene,
        with: None,
        disposition: Disposition::ShowOnly,
        effect: "the known fault is gone",
        risk: "an upgrade restarts every member: one at a time, with a snapshot at hand",
        verify: "the version that each member reports",
        source: "the projects' own advisories and changelogs",
    },
    Fix {
        rule: "lists-bypass-cache",
        target: "kube-apiserver",
        setting: "feature-gates ConsistentListFromCache",
        proposed: "do not turn it off; every etcd endpoint at 3.4.31, 3.5.13 or later",
        remove: "",
        remedy: Remedy::Client,
        with: Some(Cause::QueryLoad),
        disposition: Disposition::ShowOnly,
        effect: "lists without a resourceVersion come from kube-apiserver's cache, not from etcd",
        risk: ONE_BY_ONE,
        verify: "`apiserver_watch_cache_consistent_read_total` counts, and list requests in \
                 `etcd_requests_total` fall",
        source: "k8s.io/apiserver features: on by default from 1.31, final in 1.34",
    },
    Fix {
        rule: "max-request-bytes-raised",
        target: "etcd",
        setting: "max-request-bytes",
        proposed: "1572864",
        remove: "",
        remedy: Remedy::Hygiene,
        with: None,
        disposition: Disposition::Disruptive,
        effect: "single huge requests are refused instead of stalling the others",
        risk: "objects that are larger than 1.5 MiB today can no longer be written: find them first",
        verify: "no `request is too large` in kube-apiserver's log",
        source: "etcd --help: default 1.5 MiB",
    },
    Fix {
        rule: "node-status-frequency-trap",
        target: "kubelet",
        setting: "nodeStatusReportFrequency",
        proposed: "5m0s",
        remove: "",
        remedy: Remedy::Client,
        with: Some(Cause::QueryLoad),
        disposition: Disposition::Disruptive,
        effect: "unchanged node statuses are written every five minutes instead of every ten \
                 seconds: a thirtieth of the writes",
        risk: "none: leases carry the heartbeat. Each kubelet restarts, so go in groups; where \
               nodeStatusUpdateFrequency has its default, taking it out does the same",
        verify: "PATCH of nodes/status falls to nodes / 300 a second",
        source: "kubelet config v1beta1: the report frequency follows an explicit update frequency",
    },
    Fix {
        rule: "overrides-invalid",
        target: "kube-apiserver",
        setting: "etcd-servers-overrides",
        proposed: "mend the value: group/resource#server;server, core group empty, servers \
                   parted by semicolons, `/events` and not `events.k8s.io/events`",
        remove: "",
        remedy: Remedy::Etcd,
        with: None,
        disposition: Disposition::ShowOnly,
        effect: "the resource lives where it was meant to",
        risk: "what was written to main etcd meanwhile stays there",
        verify: "new keys of the resource appear in its own etcd only",
        source: "k8s.io/apiserver pkg/server/options/etcd.go",
    },
    Fix {
        rule: "setting-refused",
        target: "",
        setting: "refused value",
        proposed: "give the setting a value that the component takes, or take it out",
        remove: "",
        remedy: Remedy::Safety,
        with: None,
        disposition: Disposition::ShowOnly,
        effect: "the component starts",
        risk: "none while it does not start; a process that still runs does so until its next restart",
        verify: "the component starts and does not complain of its flags",
        source: "Go's flag and spf13/pflag packages; etcd server/embed/config.go",
    },
    Fix {
        rule: "snapshot-count-high",
        target: "etcd",
        setting: "snapshot-count",
        proposed: "10000",
        remove: "",
        remedy: Remedy::Etcd,
        with: None,
        disposition: Disposition::Disruptive,
        effect: "less memory for the raft log and shorter catching up",
        risk: ONE_BY_ONE,
        verify: "etcd's resident memory after an hour",
        source: "kubeadm sets 10000, and etcd 3.6 has it as default",
    },
];

/// Advice for every setting that a rule found wrong and that is more than a note.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all: Vec<Advice> = FIXES.iter().filter_map(|fix| one(facts, fix)).collect();
    all.extend(liveness(facts));
    all.extend(certificates(facts));
    all
}

/// Certificates that keep members or kube-apiserver from etcd.
fn certificates(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts
        .failed("tls-rejections")
        .filter(|finding| finding.severity >= Severity::Warn)
        .filter(|finding| finding.aspect == tls_rejections::CERTIFICATE)
        .max_by_key(|finding| finding.severity)?;
    let mut advice = Advice::new("certificates", Remedy::Safety, "etcd", "certificates");
    advice.proposed = "see which one: `kubeadm certs check-expiration`, or `openssl x509 -noout -enddate -issuer -in` \
                       each file of etcd and apiserver-etcd-client; renew what has expired (`kubeadm certs renew \
                       NAME`), or have what is of another authority signed anew; then restart who uses it"
        .to_owned();
    advice.why = finding.message.clone();
    advice.effect = "members and kube-apiserver connect to etcd again".to_owned();
    advice.confidence = finding.confidence;
    advice.risk =
        "a clock that is wrong looks the same: check it first. One node at a time, etcd before \
                   kube-apiserver; a process keeps the old certificate until it restarts"
            .to_owned();
    advice.undo = "put the copy of /etc/kubernetes/pki back that was made before".to_owned();
    advice.verify =
        "etcd logs no `rejected connection` for a certificate, and kube-apiserver's /readyz \
                     answers ok"
            .to_owned();
    advice.finding_ids = vec!["tls-rejections".to_owned()];
    advice.source =
        "Kubernetes docs: certificate management with kubeadm (a year's life, renewed at upgrades)"
            .to_owned();
    Some(advice)
}

fn one(facts: &Facts<'_>, fix: &Fix) -> Option<Advice> {
    let noted = fix.with.filter(|cause| facts.has_cause(*cause));
    let finding = facts
        .ails(fix.rule)
        .or_else(|| noted.and_then(|_| facts.failed(fix.rule).next()))?;
    let target = if fix.target.is_empty() {
        finding.subject.name.clone()
    } else {
        fix.target.to_owned()
    };
    let target = if target.is_empty() {
        "control plane".to_owned()
    } else {
        target
    };
    // A gate is one word of a flag, and evidence has each gate by itself.
    let gate = fix.setting.strip_prefix("feature-gates ");
    let name = gate.map_or_else(
        || fix.setting.to_owned(),
        |gate| format!("feature-gates.{gate}"),
    );
    let now = facts.setting(&target, &name, None);
    if fix.rule == "compaction-doubled" && finding.confidence < Confidence::High {
        // Without a kube-apiserver it may be the only compaction there is.
        return None;
    }
    if fix.rule == "event-ttl-long" && facts.ails("events-dominate").is_some() {
        // The client model has the same setting with more to say.
        return None;
    }
    let mut advice = Advice::new(fix.rule, fix.remedy, target, fix.setting);
    if !fix.remove.is_empty() {
        advice = advice.detail("remove", fix.remove);
    }
    advice.now = now.as_ref().map(super::super::facts::Current::words);
    advice.proposed = fix.proposed.to_owned();
    if fix.rule == "overrides-invalid" {
        let overrides = Overrides::of(facts);
        if let Some(one) = overrides.alike() {
            advice.now = overrides.differing();
            advice.proposed = one;
            "from the moment they differ, each kube-apiserver wrote to its own place: what is in the \
             other is not seen any more. Of leases, two holders of one lock may be at work until all agree"
                .clone_into(&mut advice.risk);
        } else if finding.severity < Severity::Critical {
            advice.proposed = overrides.mend().unwrap_or(advice.proposed);
        }
    }
    advice.why = finding.message.clone();
    advice.effect = fix.effect.to_owned();
    advice.confidence = finding.confidence;
    advice.risk = fix.risk.to_owned();
    advice.undo = match &now {
        Some(now) if now.is_set() => format!("set {} back to {}", fix.setting, now.words()),
        _ => "undo the edit".to_owned(),
    };
    advice.verify = fix.verify.to_owned();
    advice.disposition = fix.disposition;
    advice.finding_ids = vec![fix.rule.to_owned()];
    advice.source = fix.source.to_owned();
    if gate.is_some()
        && now
            .as_ref()
            .is_some_and(|now| now.texts().any(|v| v == "false"))
    {
        advice.proposed =
            "true, or take it out; every etcd endpoint at 3.4.31, 3.5.13 or later".to_owned();
    }
    if fix.rule == "lists-bypass-cache" && watch_cache::is_off(facts) {
        advice = watch_cache::turn_on(facts, advice);
    }
    Some(advice)
}

/// Seconds that kubeadm's probes of etcd wait for an answer.
const PATIENT_SECS: u32 = 15;

/// A probe as the manifest has it.
struct Probe {
    path: Option<String>,
    failures: f64,
    secs: f64,
}

impl Probe {
    fn of(facts: &Facts<'_>, subject: &Subject) -> Option<Self> {
        let tables = facts.all(&keys::PROBES);
        let (_, table) = tables.iter().find(|(of, _)| of == subject)?;
        let row = table.row("liveness")?;
        Some(Probe {
            path: row.get_text("path").map(str::to_owned),
            failures: row.get("failure_threshold").unwrap_or(3.0),
            secs: row.get("timeout_secs").unwrap_or(1.0),
        })
    }

    /// Whether it is as patient already.
    fn waits(&self, failures: u32) -> bool {
        self.failures >= f64::from(failures) && self.secs >= f64::from(PATIENT_SECS)
    }

    fn words(&self) -> String {
        let path = self
            .path
            .as_ref()
            .map_or_else(String::new, |path| format!("path {path}, "));
        format!(
            "{path}failureThreshold {:.0}, timeoutSeconds {:.0}",
            self.failures, self.secs
        )
    }
}

/// The liveness probe of etcd, by what etcd and kubeadm of the version understand.
fn liveness(facts: &Facts<'_>) -> Option<Advice> {
    // A patient probe for a quorum is a note, until etcd is seen to be started again.
    let restarted = facts
        .failed("component-restarting")
        .chain(facts.failed("leader-unstable"))
        .find(|finding| {
            finding.severity >= Severity::Warn
                && (finding.subject.kind == SubjectKind::Member
                    || finding.subject.name.starts_with("etcd"))
        });
    let finding = facts.ails("liveness-probe-kills").or_else(|| {
        facts
            .failed("liveness-probe-kills")
            .next()
            .filter(|_| restarted.is_some())
    })?;
    let patient = finding.severity < Severity::Warn;
    let etcd = facts.version("etcd").map(|span| span.oldest);
    let now = Probe::of(facts, &finding.subject);
    let asks_wrong = finding.aspect != probe_rule::IMPATIENT && !finding.aspect.is_empty();
    let better = etcd
        .filter(|_| asks_wrong)
        .map(|version| (version, probes::liveness(version)));
    let (path, failures, source) = match better {
        Some((version, right)) if !right.quorum => {
            let source = if probes::knows_livez(version) {
                "etcd 3.4.29 and 3.5.11: /livez; kubeadm from 1.31 on"
            } else {
                "etcd 3.5.3: serializable=; kubeadm from 1.25 on"
            };
            (Some(right.path), None, source)
        }
        // A path that is not there goes whatever else is wrong.
        Some((_, right)) if finding.aspect == probe_rule::UNKNOWN_PATH => (
            Some(right.path),
            Some(8),
            "kubeadm's own values; every path of this etcd asks the quorum",
        ),
        // Restarts that were seen ask for it at once, or the same restarts would ask again.
        _ if patient || restarted.is_some() => (
            None,
            Some(24),
            "kubeadm's own threshold of etcd's startup probe: 24; this etcd, or an unknown one, may \
             not know a cheaper probe",
        ),
        _ => (
            None,
            Some(8),
            "kubeadm's own values; this etcd, or an unknown one, may not know a cheaper probe",
        ),
    };
    // Patience that is there already is not asked for.
    let failures = failures.filter(|failures| now.as_ref().is_none_or(|now| !now.waits(*failures)));
    if path.is_none() && failures.is_none() {
        return None;
    }
    let proposed: Vec<String> = path
        .map(|path| format!("path {path}"))
        .into_iter()
        .chain(failures.map(|n| format!("failureThreshold {n}, timeoutSeconds {PATIENT_SECS}")))
        .collect();
    let mut advice = Advice::new("etcd-liveness-probe", Remedy::Etcd, "etcd", "livenessProbe");
    advice.strength = if etcd.is_some() {
        Strength::Recommended
    } else {
        Strength::Candidate
    };
    advice.now = now.map(|now| now.words());
    advice.proposed = proposed.join(", ");
    advice.why = match restarted {
        Some(restarted) => format!("{}; {}", finding.message, restarted.message),
        None => finding.message.clone(),
    };
    if let Some(path) = path {
        advice = advice.detail("path", path);
    }
    if let Some(failures) = failures {
        advice = advice.detail("failure-threshold", failures.to_string());
    }
    advice.effect = "the kubelet no longer kills an etcd that is slow but alive".to_owned();
    advice.confidence = finding.confidence;
    advice.risk = "a hung etcd is restarted later. Never remove the probe. Restarts the member: \
                   one at a time"
        .to_owned();
    advice.undo = "set the former probe again".to_owned();
    advice.verify = "`kubectl -n kube-system get pods` shows no new restart of etcd".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = vec!["liveness-probe-kills".to_owned()];
    advice.source = format!("{source}; kubernetes #96886");
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::FIXES;

    #[test]
    fn one_row_a_rule_in_order() {
        assert!(FIXES.is_sorted_by(|a, b| a.rule < b.rule));
        for fix in FIXES {
            for text in [
                fix.setting,
                fix.proposed,
                fix.effect,
                fix.risk,
                fix.verify,
                fix.source,
            ] {
                assert!(!text.is_empty(), "{}", fix.rule);
            }
        }
    }
}
