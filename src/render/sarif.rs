//! SARIF 2.1.0: failures as results, pointing at the file and line of the setting where there is one.
//!
//! Source: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::playbook;
use crate::report::{Judged, place};
use crate::rules::{self, Finding, Severity};

/// Writes the document.
pub fn sarif(out: &mut dyn Write, judged: &Judged<'_>) -> io::Result<()> {
    let failed: Vec<&Finding> = judged.findings.iter().filter(|f| f.failed()).collect();
    let mut ids: Vec<&str> = failed.iter().map(|f| f.rule.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let results: Vec<Value> = failed.iter().map(|finding| result(finding, &ids)).collect();
    let mut properties = json!({ "profile": judged.profile });
    if let (Some(verdict), Some(map)) = (judged.verdict, properties.as_object_mut()) {
        map.insert("verdict".to_owned(), json!(verdict.cause.word()));
        map.insert("confidence".to_owned(), json!(verdict.confidence));
        map.insert("summary".to_owned(), json!(verdict.summary));
    }
    let notifications: Vec<Value> = judged
        .problems
        .iter()
        .map(|problem| json!({ "level": "warning", "message": { "text": problem } }))
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "etcd-doctor",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": ids.iter().map(|id| rule(id)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "endTimeUtc": judged.at.to_string(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": properties,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// SARIF's word for a severity.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "error",
        Severity::Warn => "warning",
        Severity::Info => "note",
    }
}

fn rule(id: &str) -> Value {
    let Some(rule) = rules::rule(id) else {
        return json!({ "id": id });
    };
    let page = playbook::page(rule.playbook);
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.summary },
        "defaultConfiguration": { "level": level(rule.severity) },
        "help": {
            "text": format!("etcd-doctor explain {}", rule.id),
            "markdown": page.map_or("", |page| page.text),
        },
    })
}

fn result(finding: &Finding, ids: &[&str]) -> Value {
    let mut text = finding.message.clone();
    if !finding.threshold.is_empty() {
        text.push_str("; limit: ");
        text.push_str(&finding.threshold);
    }
    let mut places: Vec<(&str, Option<u32>)> = finding.evidence.iter().filter_map(place).collect();
    // A place with a line says more than the same file without one.
    places.sort_by_key(|(file, line)| (*file, line.is_none(), *line));
    places.dedup_by(|next, first| next.0 == first.0 && next.1.is_none() && first.1.is_some());
    places.dedup();
    let subject = finding.subject.to_string();
    let logical = json!([{ "fullyQualifiedName": subject, "kind": "resource" }]);
    let locations: Vec<Value> = if places.is_empty() {
        vec![json!({ "logicalLocations": logical })]
    } else {
        places
            .iter()
            .map(|(file, line)| {
                let mut physical = json!({ "artifactLocation": { "uri": uri(file) } });
                if let (Some(line), Some(map)) = (line, physical.as_object_mut()) {
                    map.insert("region".to_owned(), json!({ "startLine": line }));
                }
                json!({ "physicalLocation": physical, "logicalLocations": logical })
            })
            .collect()
    };
    let mut value = json!({
        "ruleId": finding.rule,
        "ruleIndex": ids.binary_search(&finding.rule.as_str()).ok(),
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": locations,
        // The same fault of the same thing is the same result in the next run.
        "partialFingerprints": { "ruleAndSubject/v1": fingerprint(finding, &subject) },
        "properties": {
            "confidence": finding.confidence.word(),
            "evidence": finding.evidence.iter().map(|c| json!({
                "key": c.key,
                "subject": c.subject.to_string(),
                "value": c.value,
                "source": c.origin.source,
            })).collect::<Vec<_>>(),
        },
    });
    if let (Some(accepted), Some(map)) = (
        finding.accepted.as_ref().filter(|a| !a.expired),
        value.as_object_mut(),
    ) {
        map.insert(
            "suppressions".to_owned(),
            json!([{
                "kind": "external",
                "status": "accepted",
                "justification": format!("{} (until {})", accepted.reason, accepted.until),
            }]),
        );
    }
    value
}

/// Rule, subject, and of a setting its name: one rule can speak of several settings of a component.
fn fingerprint(finding: &Finding, subject: &str) -> String {
    let setting = finding
        .evidence
        .iter()
        .find(|c| place(c).is_some())
        .and_then(|c| c.value.split_once('='))
        .map_or("", |(name, _)| name);
    format!("{} {subject} {setting}", finding.rule)
        .trim_end()
        .to_owned()
}

/// A file name as a URI reference: absolute paths with the file scheme, the rest relative.
fn uri(file: &str) -> String {
    let mut text = String::new();
    if file.starts_with('/') {
        text.push_str("file://");
    }
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~+@=,".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(
                    char::from_digit(u32::from(digit), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase(),
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_uri_references() {
        assert_eq!(uri("manifests/a b%.yaml"), "manifests/a%20b%25.yaml");
        assert_eq!(
            uri("/etc/kubernetes/x.yaml"),
            "file:///etc/kubernetes/x.yaml"
        );
    }
}
