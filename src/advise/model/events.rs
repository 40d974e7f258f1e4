//! What lightens the load of Events where their source cannot be mended at once.

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;

/// Holding sources back at kube-apiserver.
pub(super) fn rate_limit(facts: &Facts<'_>) -> Advice {
    let plugins = facts.setting("kube-apiserver", "enable-admission-plugins", None);
    let on = plugins.as_ref().is_some_and(|plugins| {
        let mut all = plugins.texts();
        all.all(|text| text.split(',').any(|one| one.trim() == "EventRateLimit"))
    });
    let mut advice = Advice::new(
        "event-rate-limit",
        Remedy::Client,
        "kube-apiserver",
        "enable-admission-plugins",
    );
    advice.strength = Strength::Candidate;
    advice.now = plugins.map(|plugins| plugins.words());
    advice.proposed = match on {
        true => {
            "EventRateLimit is on: lower its limits per source and object in the file of \
             `--admission-control-config-file`"
        }
        false => "EventRateLimit, with a limit per source and object in its configuration file",
    }
    .to_owned();
    advice.why = "events are the load, and a source that cannot be fixed at once can be held back \
                  at kube-apiserver"
        .to_owned();
    advice.effect =
        "events beyond the limit are refused with 429 before they reach etcd".to_owned();
    advice.risk = "refused events are lost for `kubectl describe` too; the plugin needs \
                   `--admission-control-config-file` on every apiserver, which restarts it"
        .to_owned();
    advice.undo = match on {
        true => "set the former limits again, one apiserver at a time",
        false => "take the plugin out of the list again, one apiserver at a time",
    }
    .to_owned();
    advice.verify = "`apiserver_request_total{resource=\"events\",code=\"429\"}` counts, and \
                     etcd's writes fall"
        .to_owned();
    advice.finding_ids = vec!["events-dominate".to_owned()];
    advice.source = "Kubernetes docs, admission controllers: EventRateLimit".to_owned();
    advice
}

/// Keeping events for a shorter time.
pub(super) fn ttl(facts: &Facts<'_>) -> Option<Advice> {
    let now = facts.setting("kube-apiserver", "event-ttl", Some("1h0m0s"))?;
    // Half of the default. Below it people miss what happened before they looked.
    let half_hour = 30.0 * 60.0;
    let secs = now
        .texts()
        .filter_map(|text| crate::units::parse_go_duration(text.as_bytes()))
        .map(|ns| ns as f64 / 1e9)
        .max_by(f64::total_cmp)?;
    if secs > 0.0 && secs <= half_hour {
        return None;
    }
    let mut advice = Advice::new("event-ttl", Remedy::Client, "kube-apiserver", "event-ttl");
    advice.strength = Strength::Candidate;
    advice.now = Some(now.words());
    advice.proposed = if secs > 3600.0 || secs == 0.0 {
        "1h0m0s"
    } else {
        "30m0s"
    }
    .to_owned();
    advice.why =
        "events are the load; what etcd keeps of them is their rate times this time".to_owned();
    advice.effect = "fewer keys and smaller lists of events; the writes stay the same".to_owned();
    advice.risk = "what happened earlier is gone from `kubectl get events`: export events if they \
                   are needed longer"
        .to_owned();
    advice.undo = "set the former value again, one apiserver at a time".to_owned();
    advice.verify = "the number of event objects falls within the new time".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = facts.failing(&["events-dominate", "event-ttl-long"]);
    advice.source = "arithmetic: stored events = events per second times the TTL".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use crate::diagnosis::Cause;
    use crate::rules::Severity::Warn;

    #[test]
    fn a_limit_that_is_on_is_to_be_tightened() {
        let with = |plugins: &str| {
            Plane::with(Cause::QueryLoad)
                .fails("events-dominate", component("kube-apiserver"), Warn)
                .settings("kube-apiserver", &[("enable-admission-plugins", plugins)])
                .find("event-rate-limit")
                .unwrap()
        };
        let off = with("NodeRestriction");
        assert_eq!(off.now.as_deref(), Some("NodeRestriction"));
        assert!(off.proposed.starts_with("EventRateLimit, with"), "{off:?}");
        let on = with("NodeRestriction,EventRateLimit");
        assert!(on.proposed.contains("is on: lower"), "{on:?}");
    }
}
