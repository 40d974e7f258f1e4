//! Slow calls that kube-apiserver itself made, as the report has them.

use crate::cli::redact::Redactor;
use crate::logs::view::DelayView;
use crate::report::logs::CallReport;

use super::build::{ms, node, when};

/// The rows of the table.
pub(super) fn calls(views: &[DelayView], redactor: &Redactor) -> Vec<CallReport> {
    let row = |view: &DelayView| {
        let part = |at: usize| view.parts.get(at).map_or("", String::as_str);
        CallReport {
            node: node(view.place.node.as_ref(), redactor),
            target: match part(0) {
                "webhook" => "webhook",
                "cache" => "cache",
                _ => "etcd",
            },
            name: Some(part(1))
                .filter(|name| !name.is_empty())
                .map(|name| redactor.text(name)),
            verb: part(2).to_owned(),
            resource: part(3).to_owned(),
            lines: view.row.lines,
            max_ms: ms(view.row.max_ns),
            total_ms: ms(view.row.sum_ns),
            first: when(view.row.first),
            last: when(view.row.last),
        }
    };
    views.iter().map(row).collect()
}
