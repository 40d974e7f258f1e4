//! A priority level of its own for one client that takes everybody's seats.
//!
//! The formulas are those of k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`: a level
//! gets `SCL × shares / Σ shares`, so a new level shrinks every other one a little.

use std::collections::BTreeMap;

use crate::catalog::apf::{Schema, is_level, is_schema, levels, schema_of};
use crate::catalog::releases::Version;
use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::client::{at_once, culprits, slug};
use super::relief::percent;

/// Shares of the built-in levels together: 205 before node-high came with 1.22, 245 since.
const NODE_HIGH: Version = Version::minor(1, 22);
/// Most seats that one list takes: 10, and 100 since lists are weighed by their size (k8s.io/apiserver
/// pkg/util/flowcontrol/request: `MaximumListSeatsLimit`).
const WIDEST: (f64, f64) = (10.0, 100.0);
const BY_SIZE: Version = Version::minor(1, 34);
/// Shares of the new level: half of global-default's.
const SHARES: f64 = 10.0;

struct Noisy {
    name: String,
    user: String,
    why: String,
    rules: Vec<String>,
}

/// The advice, where one client fills kube-apiserver or overloads etcd.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    if facts.first_cause().is_some() {
        return Vec::new();
    }
    if facts.without_levels() {
        return Vec::new();
    }
    let own = own_flow(facts);
    noisy(facts)
        .into_iter()
        .map(|noisy| match &own {
            Some(own) if noisy.rules.iter().any(|rule| rule == "apf-rejections") => {
                own_level(&noisy, own)
            }
            _ => level(facts, &noisy),
        })
        .collect()
}

/// The client has a level of its own already, by a schema whose precedence no metric tells.
fn own_level(noisy: &Noisy, (level, schema, seats): &(String, String, Option<f64>)) -> Advice {
    let mut advice = Advice::new(
        format!("apf-{}", slug(&noisy.name)),
        Remedy::Apf,
        "kube-apiserver",
        format!("PriorityLevelConfiguration {level}"),
    )
    .detail("user", noisy.user.clone());
    advice.strength = Strength::Candidate;
    let of = seats.map_or_else(String::new, |seats| format!(" with {seats:.0} seats"));
    advice.now = Some(format!("{schema} → {level}{of}"));
    advice.proposed = format!(
        "leave it where it is to hold back what it takes in; else raise `nominalConcurrencyShares` of \
         `{level}`"
    );
    advice.why = format!(
        "`{}` (user {}): {}; most of those were counted under the flow schema `{schema}` and the \
         priority level `{level}`{of}, which are this cluster's own: a new FlowSchema acts only at a \
         precedence below that of `{schema}`",
        noisy.name, noisy.user, noisy.why
    );
    advice.effect = format!("more shares let more of the requests in `{level}` in at once");
    advice.confidence = Confidence::Medium;
    advice.risk = "every share that it gets is taken from the other levels".to_owned();
    advice.undo = "set the former shares again".to_owned();
    advice.verify = format!(
        "`apiserver_flowcontrol_rejected_requests_total{{priority_level=\"{level}\"}}` stops growing"
    );
    advice.finding_ids.clone_from(&noisy.rules);
    advice.source =
        "k8s.io/apiserver flowcontrol: the lowest matchingPrecedence that matches wins; \
                     a level gets its shares of all seats"
            .to_owned();
    advice
}

fn noisy(facts: &Facts<'_>) -> Vec<Noisy> {
    let mut all: Vec<Noisy> = Vec::new();
    if facts.has_cause(Cause::QueryLoad) {
        for culprit in culprits(facts) {
            let Some(user) = culprit
                .user
                .filter(|_| culprit.rule == "client-heavy-lists")
            else {
                continue;
            };
            all.push(Noisy {
                why: culprit.message,
                name: culprit.name,
                user,
                rules: vec![culprit.rule.to_owned()],
            });
        }
    }
    let saturated = facts.has_cause(Cause::ApiserverSaturation)
        && facts.ails("apf-rejections").is_some()
        // Whoever waits for a webhook is held up by it and holds nobody up.
        && !super::webhook::fills(facts)
        && facts
            .etcd_slow()
            .is_none_or(|_| super::inflight::fast(facts));
    if saturated
        && let Some(noisy) = loudest(facts)
        && !all.iter().any(|have| have.user == noisy.user)
    {
        all.push(noisy);
    }
    all
}

/// The client with most of the requests, where one has.
fn loudest(facts: &Facts<'_>) -> Option<Noisy> {
    let (name, user, share) = super::client::loudest(facts)?;
    (!user.is_empty()).then(|| Noisy {
        why: format!(
            "it sends {} of all requests in the audit log while kube-apiserver turns requests away",
            percent(share)
        ),
        name,
        user,
        rules: vec!["apf-rejections".to_owned()],
    })
}

/// Seats of each level as the kube-apiserver with most of them reported them, where it has levels
/// that are not built in; and the shares of all levels, if the built-in ones have their defaults.
fn own_levels(facts: &Facts<'_>, built_in: f64) -> Option<(Vec<(String, f64)>, f64)> {
    let sum = |seats: &[(String, f64)]| seats.iter().map(|(_, n)| n).sum::<f64>();
    let all = facts.all(&keys::APF_LEVELS);
    let tables = all.iter().map(|(_, table)| {
        let rows = table.rows.iter();
        rows.filter_map(|row| Some((row.key.clone(), row.get("limit_seats")?)))
            .filter(|(_, seats)| *seats > 0.0)
            .collect::<Vec<_>>()
    });
    let levels = tables.max_by(|a, b| sum(a).total_cmp(&sum(b)))?;
    let (ours, others): (Vec<_>, Vec<_>) =
        levels.iter().cloned().partition(|(name, _)| is_level(name));
    if others.is_empty() || ours.is_empty() {
        return None;
    }
    let shares = built_in * sum(&levels) / sum(&ours);
    Some((levels, shares))
}

/// What each level loses to the new one.
fn dilution(
    own: Option<&(Vec<(String, f64)>, f64)>,
    version: Option<Version>,
    shares: f64,
    sum: f64,
) -> Vec<String> {
    let line = |name: &str, now: f64, after: f64| {
        format!("{name} {:.0} → {:.0}", now.ceil(), after.ceil())
    };
    if let Some((levels, _)) = own {
        let part = shares / (shares + SHARES);
        return levels
            .iter()
            .map(|(name, seats)| line(name, *seats, seats * part))
            .collect();
    }
    levels(version.unwrap_or(NODE_HIGH))
        .into_iter()
        .filter(|level| level.shares > 0)
        .map(|level| {
            let own = f64::from(level.shares);
            line(
                level.name,
                sum * own / shares,
                sum * own / (shares + SHARES),
            )
        })
        .collect()
}

/// The priority level and the flow schema of most requests that were turned away.
fn turned_away(facts: &Facts<'_>) -> Option<(String, String)> {
    let mut by_flow: BTreeMap<(String, String), f64> = BTreeMap::new();
    for (_, table) in facts.all(&keys::APF_FLOWS) {
        for row in &table.rows {
            let Some((level, schema)) = row.key.split_once('/') else {
                continue;
            };
            let rejected = row.get("rejected").unwrap_or_default();
            let flow = (level.to_owned(), schema.to_owned());
            *by_flow.entry(flow).or_default() += rejected;
        }
    }
    let all: f64 = by_flow.values().sum();
    let most = by_flow.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (all > 0.0 && most.1 > all / 2.0).then_some(most.0)
}

/// A level and schema of the cluster's own in which most requests were turned away, and the level's
/// seats: no new level and no more seats for everybody are the remedy there.
pub(super) fn own_flow(facts: &Facts<'_>) -> Option<(String, String, Option<f64>)> {
    let (level, schema) = turned_away(facts).filter(|(_, schema)| !is_schema(schema))?;
    let all = facts.all(&keys::APF_LEVELS);
    let seats = all
        .iter()
        .filter_map(|(_, table)| table.row(&level)?.get("limit_seats"))
        .max_by(f64::total_cmp);
    Some((level, schema, seats))
}

/// The schema under which kube-apiserver takes the client's requests now, and whom it shares it with.
fn schema_now(facts: &Facts<'_>, noisy: &Noisy) -> Option<(Schema, String)> {
    let counted =
        turned_away(facts).filter(|_| noisy.rules.iter().any(|rule| rule == "apf-rejections"));
    let counted = counted.as_ref().map(|(_, schema)| schema.as_str());
    let schema = schema_of(&noisy.user, counted)?;
    let others = match schema.name {
        "workload-leader-election" => ", with the leases of every service account",
        "system-leader-election" => ", with the leases of the control plane",
        "kube-system-service-accounts" => ", with every other service account of kube-system",
        "service-accounts" => ", with every other service account",
        "system-nodes" => ", with every other node",
        "catch-all" => ", with everybody whom no other schema takes",
        "global-default" => {
            return Some((
                schema,
                "global-default, with everybody else who is in no other level".to_owned(),
            ));
        }
        _ => "",
    };
    let words = format!("{} → {}{others}", schema.name, schema.level);
    Some((schema, words))
}

/// Why a level of so many seats would hold nothing back on average: the client takes fewer, even if
/// each of its requests took as many as a list can.
fn idle(facts: &Facts<'_>, user: &str, seats: Option<f64>) -> Option<String> {
    let at_once = at_once(facts, user)?;
    let by_size = facts.kubernetes().is_none_or(|span| span.newest >= BY_SIZE);
    let widest = if by_size { WIDEST.1 } else { WIDEST.0 };
    (at_once * widest < seats?).then(|| {
        format!(
            "; on average it has {} requests under way at once, so that the level would hold back no \
             more than what it sends in bursts",
            super::pace::number((at_once * 100.0).round() / 100.0)
        )
    })
}

fn level(facts: &Facts<'_>, noisy: &Noisy) -> Advice {
    let seats = |setting: &str, default: &str| {
        facts
            .setting("kube-apiserver", setting, Some(default))
            .and_then(|current| current.least())
    };
    let sum = seats("max-requests-inflight", "400")
        .zip(seats("max-mutating-requests-inflight", "200"))
        .map(|(read, mutating)| read + mutating);
    let version = facts.kubernetes();
    let built_in = if version.is_some_and(|span| span.newest < NODE_HIGH) {
        205.0
    } else {
        245.0
    };
    let own = own_levels(facts, built_in);
    let shares = own.as_ref().map_or(built_in, |(_, shares)| *shares);
    let part = |own: f64, total: f64, sum: f64| (sum * own / total).ceil();
    let name = format!("limit-{}", slug(&noisy.name));
    let mut advice = Advice::new(
        format!("apf-{}", slug(&noisy.name)),
        Remedy::Apf,
        "kube-apiserver",
        format!("FlowSchema {name}"),
    )
    .detail("level", name.clone())
    .detail("user", noisy.user.clone())
    .detail("shares", format!("{SHARES:.0}"));
    let starved = sum.is_some_and(|sum| sum < 600.0);
    let rejected = noisy.rules.iter().any(|rule| rule == "apf-rejections");
    // Requests that were turned away for want of seats that are there by now.
    let older = rejected
        && (super::inflight::restored(facts)
            || sum
                .zip(super::inflight::seats_in_force(facts))
                .is_some_and(|(sum, seats)| seats < sum * super::inflight::IN_FORCE));
    // Requests that were turned away came in a crowd, whatever the average says.
    let idle = match rejected {
        true => None,
        false => {
            let seats = sum.map(|sum| part(SHARES, shares + SHARES, sum));
            idle(facts, &noisy.user, seats)
        }
    };
    advice.strength = if version.is_none() || starved || older || idle.is_some() {
        Strength::Candidate
    } else {
        Strength::Recommended
    };
    let now = schema_now(facts, noisy);
    // One that a schema of a smaller number is asked before would never be asked.
    let precedence = now.as_ref().map_or(1000, |(schema, _)| schema.before());
    advice = advice.detail("precedence", precedence.to_string());
    advice.now = now.map(|(_, words)| words);
    advice.proposed = format!(
        "a priority level `{name}` with {SHARES:.0} shares, and a FlowSchema at precedence {precedence} \
         that puts user {} into it",
        noisy.user
    );
    advice.why = format!(
        "`{}` (user {}): {}{}{}",
        noisy.name,
        noisy.user,
        noisy.why,
        idle.unwrap_or_default(),
        if starved {
            "; the seats are fewer than the default 600, so restore those first: a share of so \
             few is next to nothing"
        } else if older {
            "; kube-apiserver had, or may have had, fewer seats than are set now when it turned them \
             away: look again with what is set"
        } else {
            ""
        }
    );
    advice.effect = match sum {
        Some(sum) => format!(
            "it waits in its own queue with {:.0} of {sum:.0} seats; the others pay little: {}",
            part(SHARES, shares + SHARES, sum),
            dilution(own.as_ref(), version.map(|span| span.oldest), shares, sum).join(", ")
        ),
        None => "it waits in its own queue and no longer takes the seats of others".to_owned(),
    };
    advice.confidence = Confidence::Medium;
    advice.risk = "a user in group system:masters is exempt and stays so. The client becomes \
                   slower: that is the point, and it must cope with 429 and Retry-After."
        .to_owned();
    advice.undo = format!(
        "`kubectl delete flowschema {name}` and then `kubectl delete prioritylevelconfiguration {name}`"
    );
    advice.verify = format!(
        "`kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels` lists `{name}`, \
         and other levels reject nothing any more"
    );
    advice.disposition = if version.is_some() {
        Disposition::Safe
    } else {
        Disposition::ShowOnly
    };
    advice.finding_ids.clone_from(&noisy.rules);
    advice.source =
        "k8s.io/apiserver flowcontrol: shares and seats; half of global-default's shares \
                     for one client"
            .to_owned();
    advice
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use super::*;
    use crate::evidence::{Row, Subject, SubjectKind, Table};
    use crate::rules::Severity::Critical;

    fn of(user: &str, flow: &str) -> Advice {
        let table = |row: Row| Table {
            rows: vec![row],
            ..Table::default()
        };
        let requests = Row::new("a")
            .text("user_agent", "chatty/0.1")
            .text("user", user)
            .text("verb", "update")
            .text("resource", "leases")
            .num("requests", 750.0);
        let rejected = Row::new(flow).num("rejected", 13_500.0);
        let apiserver = || component("kube-apiserver");
        Plane::with(Cause::ApiserverSaturation)
            .fails("apf-rejections", apiserver(), Critical)
            .version("kube-apiserver", "v1.30.2")
            .settings("kube-apiserver", &[])
            .put(&keys::LOGS_AUDIT_CLIENTS, apiserver(), table(requests))
            .put(&keys::APF_FLOWS, apiserver(), table(rejected))
            .find("apf-chatty-0-1")
            .unwrap()
    }

    #[test]
    fn the_flow_schema_comes_before_the_one_that_catches_the_client_now() {
        let account = "system:serviceaccount:op:chatty";
        let leases = of(account, "leader-election/workload-leader-election");
        assert_eq!(leases.details["precedence"], "190");
        let now = leases.now.unwrap();
        assert!(now.starts_with("workload-leader-election"), "{now}");
        let others = of(account, "workload-low/service-accounts");
        assert_eq!(others.details["precedence"], "1000");
    }

    #[test]
    fn a_schema_of_the_clusters_own_is_told_and_not_undercut() {
        let account = "system:serviceaccount:op:chatty";
        let own = of(account, "fleet/fleet");
        assert_eq!(own.setting, "PriorityLevelConfiguration fleet");
        assert_eq!(own.strength, Strength::Candidate);
        assert!(!own.details.contains_key("level"), "{own:?}");
        assert_eq!(own.now.as_deref(), Some("fleet → fleet"));
        let caught = of("legacy-bot", "catch-all/catch-all");
        let now = caught.now.unwrap();
        assert!(now.starts_with("catch-all → catch-all"), "{now}");
        assert_eq!(caught.details["precedence"], "1000");
    }

    #[test]
    fn levels_of_the_clusters_own_count_among_the_seats() {
        let levels = |names: &[(&str, f64)]| {
            let rows = names
                .iter()
                .map(|(name, seats)| Row::new(*name).num("limit_seats", *seats));
            Table {
                rows: rows.collect(),
                ..Table::default()
            }
        };
        let plane = Plane::with(Cause::ApiserverSaturation).put(
            &keys::APF_LEVELS,
            component("kube-apiserver"),
            levels(&[("fleet", 300.0), ("workload-low", 300.0)]),
        );
        let own = plane.with_facts(|facts| own_levels(facts, 245.0)).unwrap();
        assert_eq!(own.1, 490.0);
        let lost = dilution(Some(&own), None, own.1, 600.0);
        assert_eq!(lost, ["fleet 300 → 294", "workload-low 300 → 294"]);
    }

    #[test]
    fn a_level_that_holds_nobody_back_is_no_more_than_a_candidate() {
        let with = |total_secs: f64| {
            let row = Row::new("a")
                .text("user_agent", "lister/1.0")
                .text("user", "system:serviceaccount:a:b")
                .text("verb", "list")
                .text("resource", "pods")
                .num("requests", 100.0)
                .num("unlimited", 100.0)
                .num("total_secs", total_secs);
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let apiserver = || component("kube-apiserver");
            let client = Subject::new(SubjectKind::Client, "lister/1.0");
            Plane::with(Cause::QueryLoad)
                .fails("client-heavy-lists", client, crate::rules::Severity::Warn)
                .version("kube-apiserver", "v1.30.2")
                .settings("kube-apiserver", &[])
                .put_timed(&keys::LOGS_AUDIT_CLIENTS, apiserver(), table)
                .find("apf-lister-1-0")
                .unwrap()
        };
        // 24 seats, at most 10 for a list.
        let few = with(200.0);
        assert_eq!(few.strength, Strength::Candidate);
        assert!(few.why.contains("2 requests under way"), "{}", few.why);
        assert_eq!(with(250.0).strength, Strength::Recommended);
    }
}
