//! Runs rules over evidence.

use crate::evidence::{EvidenceSet, Missing, Reader, Subject};
use crate::profile::Profile;

use super::finding::{Confidence, Draft, Finding, Severity, Status};

/// What a rule sees: evidence through a reader that notes what is read, and the profile.
#[derive(Debug)]
pub struct Context<'a> {
    /// The evidence.
    pub evidence: Reader<'a>,
    /// The thresholds.
    pub profile: &'a Profile,
}

/// What came of a rule.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The fault was looked for and is not there.
    Pass,
    /// It is there, once per draft. An empty list means [`Verdict::Pass`].
    Fail(Vec<Draft>),
    /// The question makes no sense here; why.
    NotApplicable(String),
}

impl Verdict {
    /// One failure.
    pub fn fail(draft: Draft) -> Self {
        Verdict::Fail(vec![draft])
    }

    /// What was found in two sources, either of which is enough.
    pub fn of_either<A, B>(
        found: Vec<Draft>,
        one: Result<A, Missing>,
        other: Result<B, Missing>,
    ) -> Result<Self, Missing> {
        match (one, other) {
            (Err(why), Err(_)) => Err(why),
            _ => Ok(Verdict::Fail(found)),
        }
    }

    /// What metrics show; where they show nothing, what a log tells of the same.
    pub fn of_metrics_first<A>(
        mut found: Vec<Draft>,
        metrics: Result<A, Missing>,
        logged: Result<Vec<Draft>, Missing>,
    ) -> Result<Self, Missing> {
        if let (true, Ok(drafts)) = (found.is_empty(), &logged) {
            found.extend(drafts.iter().cloned());
        }
        Verdict::of_either(found, metrics, logged)
    }
}

/// One rule: a named fault and the function that looks for it.
#[derive(Debug)]
pub struct Rule {
    /// Kebab-case, names the fault, never renamed or reused.
    pub id: &'static str,
    /// One line: what is wrong when it fails.
    pub summary: &'static str,
    /// The worst severity it can give.
    pub severity: Severity,
    /// The release that brought it.
    pub since: &'static str,
    /// The page in `playbooks/`, without `.md`.
    pub playbook: &'static str,
    /// Looks for the fault. `Err` makes the finding Unknown.
    pub check: fn(&Context<'_>) -> Result<Verdict, Missing>,
}

/// Runs every rule. Findings come in the order of rules; those of one rule by weight,
/// where it gives one, then by subject.
pub fn run(rules: &[&Rule], evidence: &EvidenceSet, profile: &Profile) -> Vec<Finding> {
    rules
        .iter()
        .flat_map(|rule| run_one(rule, evidence, profile))
        .collect()
}

fn run_one(rule: &Rule, evidence: &EvidenceSet, profile: &Profile) -> Vec<Finding> {
    let context = Context {
        evidence: Reader::new(evidence),
        profile,
    };
    let spared = super::backend::spares(rule, &context);
    #[cfg(test)]
    let asked_of_all = context.evidence.asked();
    let verdict = match spared {
        Some(why) => Ok(Verdict::NotApplicable(why)),
        None => (rule.check)(&context),
    };
    #[cfg(test)]
    super::reads::tests::holds(rule.id, &(&context.evidence.asked() - &asked_of_all));
    let cited = context.evidence.take_citations();
    let one = |status, message: String| Finding {
        rule: rule.id.to_owned(),
        subject: cited
            .first()
            .map_or_else(Subject::cluster, |c| c.subject.clone()),
        status,
        severity: Severity::Info,
        confidence: Confidence::High,
        message,
        aspect: String::new(),
        threshold: String::new(),
        evidence: cited.clone(),
        accepted: None,
    };
    match verdict {
        Err(why) => vec![one(Status::Unknown, why.to_string())],
        Ok(Verdict::NotApplicable(why)) => vec![one(Status::NotApplicable, why)],
        Ok(Verdict::Pass) => vec![one(Status::Pass, rule.summary.to_owned())],
        Ok(Verdict::Fail(drafts)) if drafts.is_empty() => {
            vec![one(Status::Pass, rule.summary.to_owned())]
        }
        Ok(Verdict::Fail(mut drafts)) => {
            drafts.sort_by(|a, b| {
                b.weight
                    .total_cmp(&a.weight)
                    .then_with(|| a.subject.cmp(&b.subject))
            });
            drafts
                .into_iter()
                .map(|draft| Finding {
                    rule: rule.id.to_owned(),
                    subject: draft.subject,
                    status: Status::Fail,
                    severity: draft.severity,
                    confidence: draft.confidence,
                    message: draft.message,
                    aspect: draft.aspect,
                    threshold: draft.threshold,
                    evidence: if draft.evidence.is_empty() {
                        cited.clone()
                    } else {
                        draft.evidence
                    },
                    accepted: None,
                })
                .collect()
        }
    }
}
