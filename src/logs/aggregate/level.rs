//! What a bucket of time keeps of a level that lines tell: its largest value, or its last one.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::spark::BucketValue;

/// The largest value of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Peak(pub u64);

impl BucketValue for Peak {
    fn add(&mut self, other: &Self) {
        self.0 = self.0.max(other.0);
    }
}

/// The last value of a bucket, with its time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    /// When; the least of all times where nothing was said.
    pub at: Timestamp,
    /// What was said then.
    pub value: u64,
}

impl Default for Latest {
    fn default() -> Self {
        Latest {
            at: Timestamp(i64::MIN),
            value: 0,
        }
    }
}

impl BucketValue for Latest {
    fn add(&mut self, other: &Self) {
        // Of two sizes of one moment the smaller one: it is what was left of the other.
        let is_later = other.at > self.at || other.at == self.at && other.value < self.value;
        if is_later {
            *self = *other;
        }
    }
}
