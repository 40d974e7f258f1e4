//! The drop-in that is written beside a unit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

const WRITTEN: &str = "# Written by etcd-doctor; see STEPS.md.";

/// The drop-in while it grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::patch) struct DropIn {
    pub(in crate::patch) exec: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    /// Lines of `[Service]` that somebody added by hand.
    more: Vec<String>,
}

impl DropIn {
    /// What an earlier run left, and what was added to it since.
    pub(in crate::patch) fn parse(text: &str) -> Self {
        let mut own = DropIn::default();
        for line in text.lines() {
            if let Some(exec) = line.strip_prefix("ExecStart=") {
                if !exec.is_empty() {
                    own.exec = Some(exec.to_owned());
                }
            } else if let Some((name, value)) = line
                .strip_prefix("Environment=\"")
                .and_then(|rest| rest.strip_suffix('"'))
                .and_then(|rest| rest.split_once('='))
                .filter(|(_, value)| !value.contains('"'))
            {
                own.env.insert(name.to_owned(), value.replace("%%", "%"));
            } else if !line.trim().is_empty() && line != "[Service]" && line != WRITTEN {
                own.more.push(line.to_owned());
            }
        }
        own
    }

    pub(in crate::patch) fn text(&self) -> String {
        let mut text = format!("{WRITTEN}\n[Service]\n");
        for (name, value) in &self.env {
            // Writing to a String cannot fail. `%` starts a specifier.
            writeln!(text, "Environment=\"{name}={}\"", value.replace('%', "%%")).ok();
        }
        if let Some(exec) = &self.exec {
            write!(text, "ExecStart=\nExecStart={exec}\n").ok();
        }
        for line in &self.more {
            writeln!(text, "{line}").ok();
        }
        text
    }
}
