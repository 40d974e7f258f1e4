//! The JSON Schemas (draft 2020-12) of what programs read and write, embedded.

/// One schema.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What `etcd-doctor schema NAME` calls it; its file in `schemas/` without `.json`.
    pub name: &'static str,
    /// Which output it describes.
    pub of: &'static str,
    /// The document.
    pub text: &'static str,
}

/// All schemas, sorted by name.
pub const SCHEMAS: &[Schema] = &[
    Schema {
        name: "advice",
        of: "`advise --format json`",
        text: include_str!("../../schemas/advice.json"),
    },
    Schema {
        name: "barrier-peer",
        of: "`bench disk barrier-peer --format json`",
        text: include_str!("../../schemas/barrier-peer.json"),
    },
    Schema {
        name: "barrier-record",
        of: "`bench disk barrier-record --format json`",
        text: include_str!("../../schemas/barrier-record.json"),
    },
    Schema {
        name: "barrier-verify",
        of: "`bench disk barrier-verify --format json`",
        text: include_str!("../../schemas/barrier-verify.json"),
    },
    Schema {
        name: "bench-disk",
        of: "`bench disk --format json`",
        text: include_str!("../../schemas/bench-disk.json"),
    },
    Schema {
        name: "bench-disk-observe",
        of: "`bench disk --format json` beside a live etcd",
        text: include_str!("../../schemas/bench-disk-observe.json"),
    },
    Schema {
        name: "bench-disk-replay",
        of: "`bench disk --replay FILE.wal --format json`",
        text: include_str!("../../schemas/bench-disk-replay.json"),
    },
    Schema {
        name: "bench-etcd",
        of: "`bench etcd --format json`",
        text: include_str!("../../schemas/bench-etcd.json"),
    },
    Schema {
        name: "bundle",
        of: "the file that `diagnose --save FILE` writes and `--bundle FILE` reads (decompressed)",
        text: include_str!("../../schemas/bundle.json"),
    },
    Schema {
        name: "check",
        of: "`check config --format json` and `check host --format json`",
        text: include_str!("../../schemas/check.json"),
    },
    Schema {
        name: "check-etcd",
        of: "`check etcd --format json`",
        text: include_str!("../../schemas/check-etcd.json"),
    },
    Schema {
        name: "compare",
        of: "`compare A B --format json`",
        text: include_str!("../../schemas/compare.json"),
    },
    Schema {
        name: "events",
        of: "one line of `logs --emit events`",
        text: include_str!("../../schemas/events.json"),
    },
    Schema {
        name: "logs",
        of: "`logs --format json`",
        text: include_str!("../../schemas/logs.json"),
    },
    Schema {
        name: "metrics",
        of: "`metrics --format json`",
        text: include_str!("../../schemas/metrics.json"),
    },
    Schema {
        name: "page",
        of: "`explain ID --format json`",
        text: include_str!("../../schemas/page.json"),
    },
    Schema {
        name: "pages",
        of: "`explain --format json`",
        text: include_str!("../../schemas/pages.json"),
    },
    Schema {
        name: "patch",
        of: "`patch --out DIR --format json`",
        text: include_str!("../../schemas/patch.json"),
    },
    Schema {
        name: "patch-check",
        of: "`patch --check --format json`",
        text: include_str!("../../schemas/patch-check.json"),
    },
    Schema {
        name: "report",
        of: "`diagnose --format json`",
        text: include_str!("../../schemas/report.json"),
    },
    Schema {
        name: "rules",
        of: "`rules --format json`",
        text: include_str!("../../schemas/rules.json"),
    },
];

/// A schema by name.
pub fn schema(name: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|schema| schema.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_json_with_its_name_and_an_address_of_its_own() {
        assert!(SCHEMAS.is_sorted_by(|a, b| a.name < b.name));
        for schema in SCHEMAS {
            let value: serde_json::Value = serde_json::from_str(schema.text).unwrap();
            assert_eq!(
                value["$schema"],
                "https://json-schema.org/draft/2020-12/schema"
            );
            assert_eq!(
                value["$id"],
                format!("urn:etcd-doctor:schema:{}:1", schema.name)
            );
            assert!(value["title"].is_string() && value["description"].is_string());
        }
    }
}
