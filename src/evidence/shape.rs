//! The five shapes a reading can have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The value of a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One value.
    Scalar(Scalar),
    /// A distribution in buckets.
    Histogram(Histogram),
    /// Rows by key, bounded, with the error that the bound brings.
    Table(Table),
    /// Values over time.
    Series(Series),
    /// Things that happened, with their begin and end.
    Episodes(Episodes),
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scalar {
    /// A measured number, in the key's unit.
    Num(f64),
    /// A count or a whole number, in the key's unit.
    Int(i64),
    /// Yes or no.
    Flag(bool),
    /// A word or a text.
    Text(String),
}

/// One bucket: how many values lie in `(previous le, le]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Upper bound in the key's unit; the last one may be infinite (stored as `null`).
    #[serde(with = "le")]
    pub le: f64,
    /// Values in this bucket alone (not cumulative).
    pub count: f64,
}

mod le {
    //! JSON has no infinity: `null` stands for the open last bucket.
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` asks for a reference"
    )]
    pub(super) fn serialize<S: Serializer>(le: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if le.is_finite() {
            serializer.serialize_f64(*le)
        } else {
            serializer.serialize_none()
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}

/// A distribution. Quantiles are brackets: the truth lies between two bucket bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Buckets by rising bound.
    pub buckets: Vec<Bucket>,
    /// Sum of all values, in the key's unit.
    pub sum: f64,
    /// The exact largest value, where the source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Histogram {
    /// Number of values.
    pub fn count(&self) -> f64 {
        self.buckets.iter().map(|b| b.count).sum()
    }

    /// Mean, or `None` when empty.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0.0).then(|| self.sum / count)
    }

    /// The bracket `(low, high)` that holds the quantile `q`, or `None` when empty. `high` is
    /// infinite when the quantile lies in the open last bucket and no maximum is known.
    pub fn bracket(&self, q: f64) -> Option<(f64, f64)> {
        let count = self.count();
        if count <= 0.0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count).max(f64::MIN_POSITIVE);
        let mut seen = 0.0;
        let mut low = 0.0;
        for bucket in &self.buckets {
            seen += bucket.count;
            // Counts are whole numbers, so half a value is far above rounding errors.
            if seen + 1e-9 >= rank {
                let high = self.max.map_or(bucket.le, |max| bucket.le.min(max));
                return Some((low, high.max(low)));
            }
            low = bucket.le;
        }
        None
    }

    /// How many values are surely above `limit` (their whole bucket is), and how many may be.
    pub fn above(&self, limit: f64) -> (f64, f64) {
        let mut low = 0.0;
        let (mut surely, mut maybe) = (0.0, 0.0);
        for bucket in &self.buckets {
            if low >= limit {
                surely += bucket.count;
            }
            if bucket.le > limit {
                maybe += bucket.count;
            }
            low = bucket.le;
        }
        (surely, maybe)
    }
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// A number, in the unit that the column's name ends in.
    Num(f64),
    /// A text.
    Text(String),
}

/// One row: its key and its cells by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What the row is about.
    pub key: String,
    /// Cells by column name. A column that is absent was not measured.
    pub cells: BTreeMap<String, Cell>,
}

impl Row {
    /// A row without cells.
    pub fn new(key: impl Into<String>) -> Self {
        Row {
            key: key.into(),
            cells: BTreeMap::new(),
        }
    }

    /// Sets a number; adding cells in a chain.
    #[must_use]
    pub fn num(mut self, column: &str, value: f64) -> Self {
        self.cells.insert(column.to_owned(), Cell::Num(value));
        self
    }

    /// Sets a text; adding cells in a chain.
    #[must_use]
    pub fn text(mut self, column: &str, value: impl Into<String>) -> Self {
        self.cells
            .insert(column.to_owned(), Cell::Text(value.into()));
        self
    }

    /// A number by column.
    pub fn get(&self, column: &str) -> Option<f64> {
        match self.cells.get(column)? {
            Cell::Num(value) => Some(*value),
            Cell::Text(_) => None,
        }
    }

    /// A text by column.
    pub fn get_text(&self, column: &str) -> Option<&str> {
        match self.cells.get(column)? {
            Cell::Text(value) => Some(value),
            Cell::Num(_) => None,
        }
    }
}

/// Rows by key, bounded. What did not fit is summed in `other`, and no row is wrong by more
/// than `error` (in the units of each column, as a share of the column's total).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Rows, sorted by key.
    #[serde(deserialize_with = "bounded_rows")]
    pub rows: Vec<Row>,
    /// The sum of all rows that were not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Row>,
    /// 0 when exact; else the largest share of a column's total that a row can lack.
    #[serde(default)]
    pub error: f64,
}

/// Most rows of a table that is read back. Collectors keep to a tenth of it; a forged file must not
/// fill the memory with one table.
const MAX_ROWS: usize = 200_000;

fn bounded_rows<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    struct Rows;
    impl<'de> serde::de::Visitor<'de> for Rows {
        type Value = Vec<Row>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "rows of a table")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Row>, A::Error> {
            let mut rows: Vec<Row> = Vec::new();
            while let Some(row) = seq.next_element()? {
                if rows.len() >= MAX_ROWS {
                    return Err(serde::de::Error::custom(format!(
                        "a table of more than {MAX_ROWS} rows"
                    )));
                }
                rows.push(row);
            }
            // Merging searches by key.
            if !rows.is_sorted_by(|a, b| a.key <= b.key) {
                rows.sort_by(|a, b| a.key.cmp(&b.key));
            }
            Ok(rows)
        }
    }
    deserializer.deserialize_seq(Rows)
}

impl Table {
    /// A row by key.
    pub fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == key)
    }

    /// The sum of a column over all rows, the dropped ones included.
    pub fn total(&self, column: &str) -> f64 {
        self.rows
            .iter()
            .chain(&self.other)
            .filter_map(|row| row.get(column))
            .sum()
    }

    /// Rows by falling value of a column; rows without it are left out.
    pub fn top(&self, column: &str) -> Vec<(&Row, f64)> {
        let mut rows: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.get(column)?)))
            .collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.key.cmp(&b.0.key)));
        rows
    }
}

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// How much, in the key's unit.
    pub value: f64,
}

/// Values over time, by rising time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The points.
    pub points: Vec<Point>,
}

/// Something that happened, once or repeatedly, between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// What kind of thing, an id of the log signature catalogue where it comes from logs.
    pub kind: String,
    /// First sign.
    pub from: Timestamp,
    /// Last sign.
    pub to: Timestamp,
    /// How many signs.
    pub count: u64,
    /// The worst one's size in milliseconds, where the kind has a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// One representative detail, never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What the kind says about the system: `fault`, `symptom`, `request`, `change`, ….
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nature: String,
    /// Done on purpose.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
}

/// Episodes by rising begin; `dropped` counts those over the bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episodes {
    /// The episodes kept.
    pub episodes: Vec<Episode>,
    /// How many were not kept.
    #[serde(default)]
    pub dropped: u64,
}
