//! What to do about an admission webhook that holds requests up.

use crate::diagnosis::Cause;
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;

const RULE: &str = "webhook-slow";

/// The webhook itself: recommended where the diagnosis says that it is what fills the seats.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let Some(finding) = facts.ails(RULE) else {
        return Vec::new();
    };
    let mut advice = Advice::new(RULE, Remedy::Client, "admission webhook", "webhook");
    advice.strength = match fills(facts) {
        true => Strength::Recommended,
        false => Strength::Candidate,
    };
    advice.proposed =
        "mend it first (its pods, their CPU, the way to them); ask it less (`rules`, \
                       `namespaceSelector`, `matchConditions`); give it a shorter `timeoutSeconds`"
            .to_owned();
    advice.why = format!(
        "{}: a request keeps its seat in kube-apiserver until the webhook has answered",
        finding.message
    );
    advice.effect =
        "requests hold their seats for as long as etcd takes, and not the webhook".to_owned();
    advice.confidence = Confidence::High;
    advice.risk =
        "what it is not asked about any more it does not check. Leave `failurePolicy` as it is \
                   where something relies on its answer: a policy engine that is skipped admits \
                   everything"
            .to_owned();
    advice.undo = "apply the saved webhook configuration again".to_owned();
    advice.verify =
        "`apiserver_admission_webhook_admission_duration_seconds` falls, and the seats of \
                     `apiserver_flowcontrol_current_executing_seats` with it"
            .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.finding_ids = vec![RULE.to_owned()];
    advice.source = "Kubernetes: admission webhook good practices".to_owned();
    vec![advice]
}

/// Whether webhooks are what fills kube-apiserver, as far as the diagnosis shows.
pub(super) fn fills(facts: &Facts<'_>) -> bool {
    facts.has_cause(Cause::ApiserverSaturation)
        && facts
            .grounds(&[], Cause::ApiserverSaturation)
            .iter()
            .any(|rule| rule == RULE)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component, table};
    use super::*;
    use crate::evidence::{Row, keys};
    use crate::rules::Severity;

    fn plane(rests_on: &[&str]) -> Plane {
        Plane::with(Cause::ApiserverSaturation)
            .resting_on(rests_on)
            .fails(
                "apf-rejections",
                component("kube-apiserver"),
                Severity::Critical,
            )
            .fails(RULE, component("kube-apiserver"), Severity::Warn)
            .settings("kube-apiserver", &[("profiling", "false")])
            .put(
                &keys::LOGS_AUDIT_CLIENTS,
                component("kube-apiserver"),
                table(vec![
                    Row::new("a")
                        .text("user_agent", "deployer/1")
                        .text("user", "system:serviceaccount:app:deployer")
                        .num("requests", 100.0),
                ]),
            )
            .nodes(700.0)
    }

    #[test]
    fn seats_that_a_webhook_holds_ask_for_the_webhook_and_for_no_more_seats() {
        let filled = plane(&[RULE, "apf-rejections"]).advice();
        let of = |id: &str| filled.iter().find(|advice| advice.id == id);
        assert_eq!(of(RULE).unwrap().strength, Strength::Recommended);
        assert_eq!(of("inflight").unwrap().strength, Strength::Refused);
        assert!(of("inflight-read").is_none());
        assert!(!filled.iter().any(|advice| advice.id.starts_with("apf-")));
        let client = filled
            .iter()
            .find(|advice| advice.id == "client-back-off-deployer-1");
        assert_eq!(client.unwrap().strength, Strength::Candidate);
        assert_eq!(filled.first().unwrap().id, RULE);
        // A slow one that holds few seats is no reason to keep to them.
        let beside = plane(&["apf-rejections"]).advice();
        let of = |id: &str| beside.iter().find(|advice| advice.id == id);
        assert_eq!(of(RULE).unwrap().strength, Strength::Candidate);
        assert!(of("inflight-read").is_some());
        assert!(beside.iter().any(|advice| advice.id.starts_with("apf-")));
    }
}
