//! Damaged or differing data: copies first, then the member that differs.

use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::Facts;

const RULE: &str = "data-corruption";

/// What to do before anything else.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let Some(finding) = facts.failed(RULE).next() else {
        return Vec::new();
    };
    let mut advice = Advice::new(
        "copy-before-repair",
        Remedy::Safety,
        finding.subject.to_string(),
        "data directory",
    );
    advice.proposed = "copy every member's data directory to a safe place, compare the members' \
                       hashes (`etcdctl endpoint hashkv --cluster`), and replace the member that \
                       differs by an empty one; once all agree, take back the alarm where one is \
                       raised (`etcdctl alarm disarm`): etcd does not do it by itself"
        .to_owned();
    advice.why = finding.message.clone();
    advice.effect =
        "the members agree again, and no repair can destroy the last good copy".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "replacing a member is a membership change: keep a majority healthy. No other \
                   advice is given meanwhile: a defragmentation, a restart or a move of data makes \
                   it worse"
        .to_owned();
    advice.undo = "the copies".to_owned();
    advice.verify = "`etcdctl endpoint hashkv --cluster` shows one hash at one revision, and \
                     `etcdctl alarm list` nothing"
        .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.finding_ids = vec![RULE.to_owned()];
    advice.source = "etcd operations guide: data corruption".to_owned();
    vec![advice]
}

/// Whether everything else has to wait.
pub(in super::super) fn goes_first(facts: &Facts<'_>) -> bool {
    facts.failed(RULE).next().is_some()
}

#[cfg(test)]
mod tests {
    use crate::advise::testing::Plane;
    use crate::diagnosis::Cause;
    use crate::evidence::Subject;
    use crate::rules::Severity;

    #[test]
    fn nothing_else_is_advised_while_data_differ() {
        let sick = || {
            Plane::with(Cause::Disk).fails("wal-fsync-slow", Subject::cluster(), Severity::Critical)
        };
        assert!(sick().find("etcd-own-device").is_some());
        let corrupt = sick().fails("data-corruption", Subject::cluster(), Severity::Critical);
        let ids: Vec<String> = corrupt.advice().into_iter().map(|a| a.id).collect();
        assert_eq!(ids, ["copy-before-repair"]);
        // What is to be verified is reached by what is proposed.
        let advice = &corrupt.advice()[0];
        assert!(advice.verify.contains("`etcdctl alarm list` nothing"));
        assert!(advice.proposed.contains("`etcdctl alarm disarm`"));
    }
}
