//! The value of a setting that is in force, where it may differ from node to node.

use std::collections::BTreeSet;

/// The value of one setting, node by node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Current {
    /// Node, value and source (`flag`, `env`, `file`, `default`).
    pub(super) values: Vec<(Option<String>, String, String)>,
}

impl Current {
    /// A default in force.
    pub(super) fn default_of(value: &str) -> Self {
        Current {
            values: vec![(None, value.to_owned(), "default".to_owned())],
        }
    }

    /// The value, or the values with their nodes where they differ.
    pub(super) fn words(&self) -> String {
        let distinct: BTreeSet<&str> = self.values.iter().map(|(_, v, _)| v.as_str()).collect();
        let default = self.values.iter().all(|(_, _, source)| source == "default");
        match (distinct.len(), distinct.first()) {
            (1, Some(one)) if default => format!("{one} (default)"),
            (1, Some(one)) => (*one).to_owned(),
            _ => self
                .values
                .iter()
                .map(|(node, value, _)| match node {
                    Some(node) => format!("{value} ({node})"),
                    None => value.clone(),
                })
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    /// All values.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(_, value, _)| value.as_str())
    }

    /// The smallest number: what the slowest node is held to.
    pub(super) fn least(&self) -> Option<f64> {
        self.texts()
            .filter_map(|text| text.trim().parse::<f64>().ok())
            .min_by(f64::total_cmp)
    }

    /// The largest number.
    pub(super) fn most(&self) -> Option<f64> {
        self.texts()
            .filter_map(|text| text.trim().parse::<f64>().ok())
            .max_by(f64::total_cmp)
    }

    /// Whether somebody set it.
    pub(super) fn is_set(&self) -> bool {
        self.values.iter().any(|(_, _, source)| source != "default")
    }
}
