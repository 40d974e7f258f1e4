//! How many records stood behind the lines of a window, as a range and a best number.

use serde::{Deserialize, Serialize};

use super::{INITIAL, THEREAFTER};

/// How many records there were: a range and the best single number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SavedEstimate")]
pub struct Estimate {
    /// Lines read.
    pub lines: u64,
    /// At least so many records.
    pub low: u64,
    /// Best single number.
    pub value: u64,
    /// At most so many.
    pub high: u64,
    /// Lines in windows in which records were left out.
    pub sampled_lines: u64,
    /// Lines in windows that are just full: whether records were left out, they do not tell.
    #[serde(skip_serializing_if = "is_zero")]
    pub full_lines: u64,
}

/// An estimate as a file holds it: whoever wrote the file may have written anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedEstimate {
    lines: u64,
    low: u64,
    value: u64,
    high: u64,
    sampled_lines: u64,
    #[serde(default)]
    full_lines: u64,
}

impl TryFrom<SavedEstimate> for Estimate {
    type Error = String;

    fn try_from(saved: SavedEstimate) -> Result<Self, String> {
        if saved.low > saved.value || saved.value > saved.high {
            return Err(format!(
                "estimate of records: its `value` {} is not between its `low` {} and its `high` {}",
                saved.value, saved.low, saved.high
            ));
        }
        Ok(Estimate {
            lines: saved.lines,
            low: saved.low,
            value: saved.value,
            high: saved.high,
            sampled_lines: saved.sampled_lines,
            full_lines: saved.full_lines,
        })
    }
}

fn is_zero(lines: &u64) -> bool {
    *lines == 0
}

impl Estimate {
    /// What a window with so many lines stands for. Stamps cut to milliseconds leave open to which
    /// of two windows the line at their border belongs, and one line is up to 100 records.
    pub(super) fn of_window(lines: u64, rough: bool) -> Self {
        if lines < INITIAL {
            return Estimate::exact(lines);
        }
        if lines == INITIAL {
            // It may hide up to 99 records more.
            return Estimate {
                value: lines + THEREAFTER / 2,
                high: lines + THEREAFTER - 1,
                full_lines: lines,
                ..Estimate::exact(lines)
            };
        }
        let low = INITIAL + (lines - INITIAL) * THEREAFTER;
        let doubt = if rough { THEREAFTER - 1 } else { 0 };
        Estimate {
            lines,
            low: (low - doubt).max(lines),
            value: low + THEREAFTER / 2,
            high: low + THEREAFTER - 1 + doubt,
            sampled_lines: lines,
            full_lines: 0,
        }
    }

    /// Nothing was left out.
    pub fn exact(lines: u64) -> Self {
        Estimate {
            lines,
            low: lines,
            value: lines,
            high: lines,
            sampled_lines: 0,
            full_lines: 0,
        }
    }

    /// Adds another estimate.
    pub fn add(&mut self, other: &Estimate) {
        self.lines = self.lines.saturating_add(other.lines);
        self.low = self.low.saturating_add(other.low);
        self.value = self.value.saturating_add(other.value);
        self.high = self.high.saturating_add(other.high);
        self.sampled_lines = self.sampled_lines.saturating_add(other.sampled_lines);
        self.full_lines = self.full_lines.saturating_add(other.full_lines);
    }
}
