//! Damaged, lost or differing data, and members that are down: copies first, and nothing that could
//! destroy the last one.

use crate::diagnosis::{Cause, Members};
use crate::evidence::{Subject, SubjectKind};
use crate::rules::quality::data_corruption::OF_FILES;
use crate::rules::{Confidence, Finding};

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::Facts;

const RULE: &str = "data-corruption";

/// What to do before anything else.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all: Vec<Advice> = differing(facts).into_iter().collect();
    all.extend(damaged(facts));
    all.extend(emptied(facts));
    if all.is_empty() {
        all.extend(down(facts));
    }
    all
}

/// Members hold different data.
fn differing(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed(RULE).find(|found| found.aspect != OF_FILES)?;
    let mut advice = Advice::new(
        "copy-before-repair",
        Remedy::Safety,
        target(&finding.subject),
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
    if Members::of(facts.input.evidence).is_single() {
        alone(&mut advice);
    }
    Some(advice)
}

/// The only member has the only copy: nobody could give it its data back.
fn alone(advice: &mut Advice) {
    advice.proposed = format!(
        "copy its data directory to a safe place and never replace it by an empty one: it is the only \
         member, and what it holds is in no other place. Where what is read from it is wrong, {RESTORE}; \
         where the copy proves sound, take back the alarm (`etcdctl alarm disarm`)"
    );
    advice.effect = "no repair can destroy the only copy".to_owned();
    advice.risk =
        "a snapshot that is restored lacks what was written after it. No other advice is given \
                   meanwhile: a defragmentation, a restart or a move of data makes it worse"
            .to_owned();
    advice.undo = "the copy".to_owned();
    advice.verify =
        "`etcdctl alarm list` shows nothing, and the API serves what was written".to_owned();
}

const RESTORE: &str =
    "restore the latest snapshot into a new directory (`etcdutl snapshot restore`)";

const REJOIN: &str = "`etcdctl member remove ID`, `etcdctl member add`, and start it with an empty data \
                      directory and `initial-cluster-state: existing`";
const RISK: &str = "replacing a member is a membership change: keep a majority healthy, and restart no \
                    other member meanwhile";

/// Files of one member are damaged. Alone it has the only copy of the data.
fn damaged(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed(RULE).find(|found| found.aspect == OF_FILES)?;
    let members = Members::of(facts.input.evidence);
    let restore = RESTORE;
    let then = match members.least {
        _ if members.is_single() => format!(
            "{restore}: it is the only member, and what is in its files is in no other place"
        ),
        n if n > 1 => {
            format!("while a majority of the others is healthy, {REJOIN}; if it is not, {restore}")
        }
        _ => format!(
            "if it is the only member, {restore}; with a healthy majority of others, {REJOIN}"
        ),
    };
    let proposed = format!(
        "copy its data directory to a safe place first, look at the disk below it (kernel log, SMART), then {then}"
    );
    let mut advice = first("copy-damaged-files", finding, "data directory", proposed);
    advice.effect = "the member serves again, and the damaged files can still be read".to_owned();
    advice.undo = "the copy of the data directory".to_owned();
    advice.finding_ids = vec![RULE.to_owned()];
    Some(advice)
}

/// A member whose data directory is gone.
fn emptied(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("faults-logged").find(|found| {
        let mut cited = found.evidence.iter();
        cited.any(|cited| cited.value.contains("member-bootstrapped"))
    })?;
    let proposed = format!(
        "if its former data directory is still somewhere (a mount that is missing, another path), put it back; \
         else, while the others are a majority, {REJOIN}"
    );
    let mut advice = first("rejoin-member", finding, "membership", proposed);
    advice.effect = "it gets the data from the leader and serves again".to_owned();
    advice.undo = "none: a removed member is added anew".to_owned();
    advice.finding_ids = vec!["faults-logged".to_owned()];
    Some(advice)
}

/// A member that is down for another reason, or for none that is known.
fn down(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.ails("member-down")?;
    let mut all: Vec<&Finding> = facts.failed("member-down").collect();
    // Those that its log tells the reason of: what is known to be mended comes back first.
    all.sort_by_key(|one| mend(&one.message).is_none());
    const LOOK: &str = "read the last lines of its log and of its supervisor (`crictl ps -a`, `journalctl -u kubelet`, \
                        kernel log), mend what ended it";
    let proposed = match all.as_slice() {
        [] | [_] => format!(
            "{} and start it again with the data it has; restart no other member meanwhile",
            mend(&finding.message).unwrap_or(LOOK)
        ),
        several => {
            let step = |one: &&Finding| {
                let name = one.subject.node_name();
                format!(
                    "{name}: {} and start it again with the data it has",
                    mend(&one.message).unwrap_or(LOOK)
                )
            };
            let same = several.iter().all(|one| mend(&one.message).is_none());
            let names: Vec<&str> = several.iter().map(|one| one.subject.node_name()).collect();
            let steps = match same {
                true => format!(
                    "of each of {}, one after the other: {LOOK} and start it again with the data it has",
                    names.join(", ")
                ),
                false => several.iter().map(step).collect::<Vec<_>>().join("; then "),
            };
            format!("{steps}; restart no member that runs meanwhile")
        }
    };
    let mut advice = first("start-member", finding, "process", proposed);
    if all.len() > 1 {
        let subjects: Vec<String> = all.iter().map(|one| one.subject.to_string()).collect();
        advice.target = subjects.join(", ");
    }
    advice.effect = match all.len() {
        0 | 1 => "it catches up by itself, and the majority is safe again".to_owned(),
        _ => "they catch up by themselves; once a majority runs, writes are taken again".to_owned(),
    };
    advice.undo = "none is needed".to_owned();
    advice.finding_ids = vec!["member-down".to_owned()];
    Some(advice)
}

/// What to do first, by the reason that its log gave (etcd: membership/cluster.go, embed/etcd.go; Linux: ENOSPC).
fn mend(message: &str) -> Option<&'static str> {
    const REASONS: &[(&str, &str)] = &[
        (
            "invalid downgrade",
            "put back the release that ran here before: the cluster is of that version, and an older one \
             does not start in it",
        ),
        (
            "cluster cannot be downgraded",
            "put back the release that ran here before: the cluster is of that version, and an older one \
             does not start in it",
        ),
        // etcd #19557, #20793: 3.5 keeps the members right, 3.6 reads the list that it did not.
        (
            "too many learner members in cluster",
            "put back the release of 3.5 that ran here before; bring every member to 3.5.26 or later, and \
             only when all are healthy to 3.6,",
        ),
        (
            "defragment: context deadline exceeded",
            "let its database be defragmented while it is stopped (`etcdutl defrag --data-dir`): what runs \
             around it gives that up at each start before it is done,",
        ),
        (
            "address already in use",
            "see what listens at its address (`ss -ltnp`), often a second etcd or one that did not end; free \
             the address",
        ),
        (
            "no space left on device",
            "make room on its file system, or grow it (delete no file under the data directory),",
        ),
        (
            "file descriptor limit",
            "raise its limit of open files (`LimitNOFILE=` of its unit or of the container runtime)",
        ),
    ];
    let told = REASONS.iter().find(|(reason, _)| message.contains(reason));
    told.map(|(_, mend)| *mend)
}

fn first(id: &str, finding: &Finding, setting: &str, proposed: String) -> Advice {
    let mut advice = Advice::new(id, Remedy::Safety, target(&finding.subject), setting);
    advice.proposed = proposed;
    advice.why.clone_from(&finding.message);
    advice.confidence = Confidence::High;
    advice.risk = RISK.to_owned();
    advice.verify =
        "`etcdctl endpoint health --cluster` and `etcdctl member list` name every member"
            .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.source = "etcd operations guide: failures, recovery, runtime reconfiguration".to_owned();
    advice
}

/// Whether everything else has to wait.
pub(in super::super) fn goes_first(facts: &Facts<'_>) -> bool {
    // Where it is known what ended the member, the remedy of that is told beside it.
    let verdict = &facts.input.diagnosis.verdict;
    let (cause, sure) = (verdict.cause, verdict.confidence >= 0.6);
    // With a member down each restart of another one is a risk to the majority.
    facts.failed(RULE).next().is_some()
        || (sure && cause == Cause::MemberDown && facts.ails("member-down").is_some())
}

/// A member whose name its log does not tell is an etcd.
fn target(subject: &Subject) -> String {
    match (subject.kind, subject.name.as_str()) {
        (SubjectKind::Member, "") => "etcd".to_owned(),
        _ => subject.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::advise::testing::{Plane, table};
    use crate::diagnosis::Cause;
    use crate::evidence::{Row, Subject, SubjectKind, keys};
    use crate::rules::Severity;

    #[test]
    fn the_only_copy_of_the_data_is_never_thrown_away() {
        let files = |plane: Plane| {
            plane
                .fails_as("data-corruption", Subject::cluster(), super::OF_FILES)
                .find("copy-damaged-files")
                .unwrap()
        };
        let lists = |n: f64| {
            let row = Row::new("a").num("members", n);
            Plane::with(Cause::MemberDown).put(
                &keys::ETCD_LISTS,
                Subject::cluster(),
                table(vec![row]),
            )
        };
        let alone = files(lists(1.0)).proposed;
        assert!(alone.starts_with("copy its data directory"), "{alone}");
        assert!(
            alone.contains("snapshot restore") && !alone.contains("empty"),
            "{alone}"
        );
        assert!(!alone.contains("hashkv"), "{alone}");
        let others = files(lists(3.0)).proposed;
        assert!(others.contains("while a majority") && others.contains("member remove"));
        let unknown = files(Plane::with(Cause::MemberDown)).proposed;
        assert!(unknown.contains("if it is the only member"), "{unknown}");
    }

    #[test]
    fn no_other_member_is_restarted_while_one_is_down() {
        let plane = Plane::with(Cause::MemberDown)
            .fails("wal-fsync-slow", Subject::cluster(), Severity::Critical)
            .fails("member-down", Subject::cluster(), Severity::Critical);
        let ids: Vec<String> = plane.advice().into_iter().map(|a| a.id).collect();
        assert_eq!(ids, ["start-member"]);
    }

    #[test]
    fn of_several_members_that_are_down_each_has_its_step() {
        let down = |name: &str| Subject::new(SubjectKind::Member, name);
        let plane = Plane::with(Cause::MemberDown)
            .fails("member-down", down("cp1"), Severity::Critical)
            .fails("member-down", down("cp2"), Severity::Critical);
        let advice = plane.advice().remove(0);
        assert_eq!(advice.target, "member:cp1, member:cp2");
        let words = advice.proposed;
        assert!(
            words.starts_with("of each of cp1, cp2, one after the other"),
            "{words}"
        );
        assert!(
            words.ends_with("restart no member that runs meanwhile"),
            "{words}"
        );
    }

    #[test]
    fn the_reason_leads_the_remedy() {
        let of = |why: &str| super::mend(&format!("a does not start: \"{why}\"; no other member"));
        let older =
            of("invalid downgrade; server version is lower than determined cluster version");
        assert!(older.unwrap().starts_with("put back the release"));
        let taken = of("discovery failed: listen tcp 127.0.0.1:2380: bind: address already in use");
        assert!(taken.unwrap().contains("ss -ltnp"));
        let files = of("file descriptor limit of etcd process is too low; please set higher");
        assert!(files.unwrap().contains("LimitNOFILE"));
        let full = of("write /var/lib/etcd/member/snap/db: no space left on device");
        assert!(full.unwrap().contains("delete no file"));
        assert_eq!(of("something else"), None);
    }

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
        // Of a single member there is no other copy.
        assert!(advice.proposed.contains("replace the member"));
        let row = Row::new("list").num("members", 1.0);
        let alone = corrupt.put(&keys::ETCD_LISTS, Subject::cluster(), table(vec![row]));
        let advice = &alone.advice()[0];
        assert!(!advice.proposed.contains("replace the member"));
        assert!(advice.proposed.contains("etcdutl snapshot restore"));
    }
}
