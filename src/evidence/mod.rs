//! Evidence: typed readings with provenance, which can be merged, saved and replayed.
//!
//! A reading is addressed by (key, subject, window, origin) and has one of five shapes
//! ([`Shape`]): scalar, histogram, bounded table, series, episodes. What could not be had is a
//! value too ([`Missing`]), never a zero. Collectors write readings; rules read them through
//! [`Reader`], which notes what was read, so that a finding's citations keep themselves.

mod address;
mod key;
pub mod keys;
mod merge;
mod reader;
mod set;
mod shape;

pub use address::{Collector, Completeness, Origin, Subject, SubjectKind, Window};
pub use key::{FromShape, Key, KeyInfo, MergeLaw, ShapeKind, Unit};

pub(crate) use merge::is_extreme;
pub(crate) use reader::number;
pub use reader::{Citation, Reader};
pub use set::{EvidenceSet, Record};
pub use shape::{
    Bucket, Cell, Episode, Episodes, Histogram, Point, Row, Scalar, Series, Shape, Table,
};

use serde::{Deserialize, Serialize};

/// The outcome of one attempt to measure something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// It was measured.
    Known(T),
    /// We looked and could not tell. Never stands for zero, or for "fine".
    Missing(Missing),
}

/// Why something could not be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "reason")]
pub enum Missing {
    /// Nobody looked: this kind of evidence was not given.
    NotCollected,
    /// We looked, and the source does not exist.
    NotPresent {
        /// What was looked for.
        source: String,
    },
    /// We were not allowed to look.
    Denied {
        /// What was looked at.
        source: String,
    },
    /// Looking took too long.
    TimedOut {
        /// What was looked at.
        source: String,
        /// The limit that was kept.
        after_ms: u64,
    },
    /// The source is there and makes no sense.
    Unreadable {
        /// What was looked at.
        source: String,
        /// The line, from 1, where there are lines.
        line: Option<u64>,
        /// What is wrong with it.
        why: String,
    },
    /// The evidence exists, and is not enough to tell.
    NotEnough {
        /// What is lacking.
        why: String,
    },
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Missing::NotCollected => write!(f, "not collected"),
            Missing::NotPresent { source } => write!(f, "no {source}"),
            Missing::Denied { source } => write!(f, "no permission for {source}"),
            Missing::TimedOut { source, after_ms } => {
                write!(f, "{source} did not answer within {after_ms} ms")
            }
            Missing::Unreadable { source, line, why } => match line {
                Some(line) => write!(f, "{source}, line {line}: {why}"),
                None => write!(f, "{source}: {why}"),
            },
            Missing::NotEnough { why } => write!(f, "{why}"),
        }
    }
}
