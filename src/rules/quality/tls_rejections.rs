//! Connections are refused because of TLS.

use crate::evidence::{Missing, Subject, SubjectKind, Table, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "tls-rejections",
    summary: "connections are refused because of TLS",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "tls-rejections",
    check,
};

/// It is a certificate that is refused, not a connection that broke off.
pub const CERTIFICATE: &str = "certificate";

const KINDS: &[&str] = &["rejected-connection"];

/// A client of etcd that was told why it was refused, or refused etcd's own certificate.
const CLIENTS: &[&str] = &["grpc-connect-failed"];

/// A program that ended.
const ENDED: &[&str] = &["command-failed", "fatal-exit", "panic"];

const PEERS: &[&str] = &["peer-unhealthy", "stream-lost", "peer-inactive"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("tls-rejections");
    let links = cx.profile.get("peer-link-unstable");
    let broken: Vec<_> = events::seen(cx, PEERS)?
        .into_iter()
        .filter(|seen| seen.hourly >= links)
        .collect();
    let mut drafts = apiservers(cx)?;
    let cut_off = drafts.len();
    let mut refusing = 0;
    for seen in events::seen(cx, KINDS)? {
        let why = Why::of(cx, &seen, KINDS);
        // When each reason was told is not known: as the whole.
        let in_an_hour = |count: f64| count * seen.hourly / seen.count;
        if in_an_hour(why.certificates()) >= limit.value {
            events::cite(cx, &seen, "refused connections");
            refusing += usize::from(seen.subject.kind == SubjectKind::Member);
            let peers = in_an_hour(why.peers) >= limit.value;
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    if peers {
                        Severity::Critical
                    } else {
                        Severity::Warn
                    },
                    why.words(),
                )
                .confidence(Confidence::High)
                .aspect(CERTIFICATE)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
        // That etcd may open no more files is another finding's matter.
        let others = seen.count - why.certificates() - why.open_files;
        if in_an_hour(others) < limit.value {
            continue;
        }
        events::cite(cx, &seen, "refused connections");
        // Scans and balancers are refused every day; with peers that cannot reach each other it is
        // a member's certificate.
        let severity = match broken.first() {
            Some(link) if seen.subject.kind == SubjectKind::Member => {
                events::cite(cx, link, "lost or unhealthy peer links");
                Severity::Warn
            }
            _ => Severity::Info,
        };
        let meanwhile = if severity == Severity::Warn {
            "; meanwhile peers do not reach each other"
        } else {
            ""
        };
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                severity,
                format!(
                    "{others:.0} connections ended before TLS was agreed on (closed at once, plain text, no \
                     certificate){meanwhile}"
                ),
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    // Both ends tell it, and no member is left that would take the connection: nothing is served.
    if refusing > 0 && refusing == members(cx) {
        for draft in drafts.iter_mut().take(cut_off) {
            draft.severity = Severity::Critical;
        }
    }
    // A client that goes round the members is refused by each of them.
    if drafts.iter().all(|draft| draft.severity < Severity::Warn) {
        drafts.extend(together(cx)?);
    }
    Ok(Verdict::Fail(drafts))
}

/// How many members' logs were read.
fn members(cx: &Context<'_>) -> usize {
    let logs = cx.evidence.all(&keys::LOGS_EVENTS);
    let is_member = |(about, _): &&(Subject, Table)| about.kind == SubjectKind::Member;
    logs.iter().filter(is_member).count()
}

/// Connections that several members refuse for a certificate, none of them often.
fn together(cx: &Context<'_>) -> Result<Option<Draft>, Missing> {
    let limit = cx.profile.limit("tls-rejections");
    let mut all = Why::default();
    let (mut hourly, mut hourly_peers) = (0.0, 0.0);
    let mut seen = events::seen(cx, KINDS)?;
    seen.retain(|seen| seen.subject.kind == SubjectKind::Member);
    for own in &seen {
        let why = Why::of(cx, own, KINDS);
        all.expired += why.expired;
        all.unknown += why.unknown;
        all.bad += why.bad;
        all.peers += why.peers;
        let part = own.hourly / own.count;
        hourly += why.certificates() * part;
        hourly_peers += why.peers * part;
    }
    if seen.len() < 2 || hourly < limit.value {
        return Ok(None);
    }
    for own in &seen {
        events::cite(cx, own, "refused connections");
    }
    let severity = match hourly_peers >= limit.value {
        true => Severity::Critical,
        false => Severity::Warn,
    };
    let words = format!("{}, by {} members together", all.words(), seen.len());
    Ok(Some(
        Draft::new(
            Subject::new(SubjectKind::Component, "etcd"),
            severity,
            words,
        )
        .confidence(Confidence::High)
        .aspect(CERTIFICATE)
        .threshold(limit.words())
        .cites(cx.evidence.take_citations()),
    ))
}

/// Each kube-apiserver that etcd's certificate or its own keeps from etcd. Without etcd it ends.
fn apiservers(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
    let limit = cx.profile.limit("tls-rejections");
    let ends = cx.profile.limit("ends-with-error");
    let ended = events::seen(cx, ENDED)?;
    let mut drafts = Vec::new();
    for seen in events::seen(cx, CLIENTS)? {
        let refused = Why::of(cx, &seen, CLIENTS).certificates();
        if seen.subject.name != "kube-apiserver" || refused == 0.0 {
            continue;
        }
        let ended = ended.iter().find(|ended| ended.subject == seen.subject);
        let ended = ended.filter(|ended| ended.hourly >= ends.value);
        let in_an_hour = refused * seen.hourly / seen.count;
        if ended.is_none() && in_an_hour < limit.value {
            continue;
        }
        events::cite(cx, &seen, "connections that failed");
        let times = events::counted(refused, "connections");
        let mut words =
            format!("kube-apiserver could not connect to etcd for a certificate: {times}");
        let (severity, threshold) = match ended {
            Some(ended) => {
                events::cite(cx, ended, "crashes");
                words = format!(
                    "{words}, and it ended {}",
                    events::counted(ended.count, "times")
                );
                (Severity::Critical, ends.words())
            }
            None => (Severity::Warn, limit.words()),
        };
        drafts.push(
            Draft::new(seen.subject.clone(), severity, words)
                .confidence(Confidence::High)
                .aspect(CERTIFICATE)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(drafts)
}

/// What the errors say why.
#[derive(Default)]
struct Why {
    expired: f64,
    unknown: f64,
    bad: f64,
    /// Of these, between members.
    peers: f64,
    open_files: f64,
}

impl Why {
    fn of(cx: &Context<'_>, seen: &events::Seen, kinds: &[&str]) -> Self {
        let of = |column| events::column(cx, &seen.subject, kinds, column);
        Why {
            expired: of("expired"),
            unknown: of("unknown_authority"),
            bad: of("bad_certificate"),
            peers: of("peer_certificates"),
            open_files: of("open_files"),
        }
    }

    fn certificates(&self) -> f64 {
        self.expired + self.unknown + self.bad
    }

    fn words(&self) -> String {
        let why: Vec<String> = [
            (self.expired, "expired or not valid yet"),
            (self.unknown, "of an unknown authority"),
            (self.bad, "not accepted"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0.0)
        .map(|(count, what)| format!("{count:.0} {what}"))
        .collect();
        let all = self.certificates();
        let whose = if self.peers >= all {
            "between members "
        } else {
            ""
        };
        let of_peers = if self.peers > 0.0 && self.peers < all {
            format!("; {:.0} of them are between members", self.peers)
        } else {
            String::new()
        };
        format!(
            "{all:.0} connections {whose}refused for a certificate: {}{of_peers}",
            why.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("tls-rejections");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_is_refused_now_and_then_is_no_state() {
        let limit = crate::profile::Profile::default().get("tls-rejections");
        let with = |hours: i64| {
            let events = table(&[(KINDS[0], &[("count", limit), ("expired", limit)])]);
            Set::new().put_over(&keys::LOGS_EVENTS, member(), events, hours * 3600)
        };
        assert_eq!(with(1).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(24).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn what_several_members_refuse_is_added_up() {
        let limit = crate::profile::Profile::default().get("tls-rejections");
        let spread = |count: f64| {
            ["a", "b", "c"].iter().fold(Set::new(), |set, node| {
                set.put(
                    &keys::LOGS_EVENTS,
                    Subject::new(SubjectKind::Member, *node),
                    table(&[(
                        KINDS[0],
                        &[("count", count / 3.0), ("expired", count / 3.0)],
                    )]),
                )
            })
        };
        let found = spread(limit).check(&RULE);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.ends_with("by 3 members together"));
        assert_eq!(spread(limit - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn with_broken_peer_links_it_is_a_members_certificate() {
        let both = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[
                ("peer-unhealthy", &[("count", 12.0)]),
                (KINDS[0], &[("count", 50.0)]),
            ]),
        );
        assert_eq!(both.status(&RULE), (Status::Fail, Severity::Warn));
    }

    #[test]
    fn an_apiserver_that_ends_for_its_certificate_is_critical() {
        let profile = crate::profile::Profile::default();
        let (limit, ends) = (
            profile.get("tls-rejections"),
            profile.get("ends-with-error"),
        );
        let with = |name: &str, refused: f64, ended: f64| {
            let of = [("count", refused.max(1.0)), ("expired", refused)];
            let events = table(&[(CLIENTS[0], &of), ("panic", &[("count", ended)])]);
            Set::new()
                .put(
                    &keys::LOGS_EVENTS,
                    crate::rules::testing::component(name),
                    events,
                )
                .status(&RULE)
        };
        let apiserver = |refused, ended| with("kube-apiserver", refused, ended);
        assert_eq!(apiserver(1.0, ends), (Status::Fail, Severity::Critical));
        assert_eq!(apiserver(1.0, ends - 1.0).0, Status::Pass);
        assert_eq!(apiserver(limit, 0.0), (Status::Fail, Severity::Warn));
        // It ends for something else.
        assert_eq!(apiserver(0.0, ends).0, Status::Pass);
        assert_eq!(with("kube-scheduler", limit, ends).0, Status::Pass);
    }

    #[test]
    fn an_apiserver_that_no_member_takes_is_cut_off() {
        let of = |kind: &str| table(&[(kind, &[("count", 133.0), ("expired", 133.0)])]);
        let of_apiserver = |set: Set| {
            let apiserver = crate::rules::testing::component("kube-apiserver");
            let set = set.put(&keys::LOGS_EVENTS, apiserver, of(CLIENTS[0]));
            let found = set.check(&RULE);
            let found = found.iter().find(|f| f.subject.name == "kube-apiserver");
            found.unwrap().severity
        };
        let refused = || Set::new().put(&keys::LOGS_EVENTS, member(), of(KINDS[0]));
        assert_eq!(of_apiserver(refused()), Severity::Critical);
        // Another member takes its connections, or nobody says.
        let other = Subject::new(SubjectKind::Member, "b");
        let one_of_two = refused().put(&keys::LOGS_EVENTS, other, table(&[]));
        assert_eq!(of_apiserver(one_of_two), Severity::Warn);
        assert_eq!(of_apiserver(Set::new()), Severity::Warn);
    }

    #[test]
    fn certificates_that_are_refused_in_number_are_a_fault() {
        let of = |columns: &[(&str, f64)]| {
            Set::new()
                .put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(KINDS[0], &[&[("count", 380.0)], columns].concat())]),
                )
                .check(&RULE)
        };
        let of = |columns| {
            of(columns)
                .iter()
                .map(|f| (f.severity, f.message.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[("expired", 379.0)]),
            [(
                Severity::Warn,
                "379 connections refused for a certificate: 379 expired or not valid yet"
                    .to_owned()
            )]
        );
        assert_eq!(
            of(&[("unknown_authority", 380.0), ("peer_certificates", 380.0)]),
            [(
                Severity::Critical,
                "380 connections between members refused for a certificate: \
                 380 of an unknown authority"
                    .to_owned()
            )]
        );
        let few = of(&[("bad_certificate", 3.0)]);
        assert_eq!(few[0].0, Severity::Info);
        assert_eq!(
            few[0].1,
            "377 connections ended before TLS was agreed on (closed at once, plain text, no certificate)"
        );
        // File descriptors are no matter of TLS.
        assert_eq!(
            Set::new()
                .put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(KINDS[0], &[("count", 380.0), ("open_files", 380.0)])])
                )
                .status(&RULE)
                .0,
            Status::Pass
        );
    }
}
