//! What to do: the advice in its order, and what a patch would change.

use std::io::{self, Write};

use crate::advise::{Advice, Strength};
use crate::render::advice;
use crate::render::plain::{Paint, safe};
use crate::report::Report;

use super::page::Page;

impl Page {
    pub(super) fn advice(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        if report.advice.is_empty() {
            return Ok(());
        }
        self.head(out, "ADVICE  in this order")?;
        let (yes, no): (Vec<&Advice>, Vec<&Advice>) = report
            .advice
            .iter()
            .partition(|a| a.strength != Strength::Refused);
        for (number, advice) in yes.iter().enumerate() {
            let before = number.checked_sub(1).and_then(|at| yes.get(at)).copied();
            advice::one(out, self.terminal, number + 1, advice, before)?;
        }
        if !no.is_empty() {
            writeln!(out, "  Looked at and not advised:")?;
            for advice in no {
                self.para(
                    out,
                    "  - ",
                    &format!("{}: {}", advice::headline(advice), advice.why),
                )?;
            }
        }
        Ok(())
    }

    /// The patch in short: what it changes in the manifests that were found.
    pub(super) fn patch(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let Some(patch) = &report.patch else {
            return Ok(());
        };
        let diffs: Vec<_> = patch
            .files
            .iter()
            .filter(|file| file.path.ends_with(".diff"))
            .collect();
        if diffs.is_empty() {
            return Ok(());
        }
        self.head(out, "PATCH  (kubeadm; `etcd-doctor patch --target kubeadm --out DIR` writes it with STEPS.md)")?;
        for file in diffs.iter().take(4) {
            // Each of several nodes has a file of this name.
            let rest = file.path.strip_prefix("diffs/").unwrap_or_default();
            if let Some((node, _)) = rest.split_once('/') {
                writeln!(out, "  on {}:", safe(node))?;
            }
            for line in file.content.lines() {
                let paint = match line.as_bytes().first() {
                    Some(b'+') => Paint::Good,
                    Some(b'-') => Paint::Bad,
                    _ => Paint::Faint,
                };
                writeln!(out, "  {}", self.terminal.paint(paint, safe(line)))?;
            }
        }
        Ok(())
    }
}
