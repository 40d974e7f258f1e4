//! What several rules ask of the audit log: requests grouped by client.

use std::collections::BTreeMap;

use crate::catalog::core_clients;
use crate::evidence::{Missing, Row, Subject, keys};

use super::Context;

/// All requests of one client (user agent and user).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Client {
    pub(super) user_agent: String,
    pub(super) user: String,
    pub(super) requests: f64,
    pub(super) not_found: f64,
    /// Answered 429, evictions left out.
    pub(super) throttled: f64,
    pub(super) rows: Vec<Row>,
}

impl Client {
    /// How reports name it: `inventory-scraper/1.0 (system:serviceaccount:inventory:scraper)`.
    pub(super) fn name(&self) -> String {
        let product = core_clients::product(&self.user_agent);
        match (product.is_empty(), self.user.is_empty()) {
            (false, false) => format!("{product} ({})", self.user),
            (false, true) => product.to_owned(),
            (true, false) => self.user.clone(),
            (true, true) => "(no name)".to_owned(),
        }
    }

    /// Whether it is part of Kubernetes itself, whose load is not a fault of its own.
    pub(super) fn is_core(&self) -> bool {
        core_clients::is_core(&self.user_agent, &self.user)
    }
}

/// Every client of the audit log with the seconds the log covers, by falling number of requests.
pub(super) fn clients(cx: &Context<'_>) -> Result<(Subject, f64, Vec<Client>), Missing> {
    let records = cx.evidence.records(&keys::LOGS_AUDIT_CLIENTS);
    let (subject, table) = cx.evidence.any(&keys::LOGS_AUDIT_CLIENTS)?;
    // The citation of the whole table says nothing; rules cite rows in words.
    cx.evidence.take_citations();
    let secs = records
        .iter()
        .find(|record| record.subject == subject)
        .and_then(|record| record.secs())
        .filter(|secs| *secs > 0.0)
        .ok_or_else(|| Missing::NotEnough {
            why: "the audit log covers no time".to_owned(),
        })?;
    let mut clients: BTreeMap<(String, String), Client> = BTreeMap::new();
    for row in table.rows {
        let agent = row.get_text("user_agent").unwrap_or_default().to_owned();
        let user = row.get_text("user").unwrap_or_default().to_owned();
        let client = clients
            .entry((agent.clone(), user.clone()))
            .or_insert_with(|| Client {
                user_agent: agent,
                user,
                ..Client::default()
            });
        client.requests += row.get("requests").unwrap_or(0.0);
        client.not_found += row.get("not_found").unwrap_or(0.0);
        client.throttled += row.get("throttled").unwrap_or(0.0);
        client.rows.push(row);
    }
    let mut clients: Vec<Client> = clients.into_values().collect();
    clients.sort_by(|a, b| {
        b.requests
            .total_cmp(&a.requests)
            .then_with(|| a.name().cmp(&b.name()))
    });
    Ok((subject, secs, clients))
}
