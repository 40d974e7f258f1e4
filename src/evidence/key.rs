//! Typed keys: what a reading means, its type, its unit and how two readings become one.

use std::marker::PhantomData;

use super::shape::{Episodes, Histogram, Scalar, Series, Shape, Table};

/// The unit of a key's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// Seconds.
    Secs,
    /// Bytes.
    Bytes,
    /// A count.
    Count,
    /// Events per second.
    PerSec,
    /// Bytes per second.
    BytesPerSec,
    /// A share, 0 to 1 (may pass 1 where it says so).
    Ratio,
    /// A text, a flag, or several columns with units in their names.
    None,
}

/// Which of the five shapes a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeKind {
    /// One value.
    Scalar,
    /// A distribution.
    Histogram,
    /// Rows by key.
    Table,
    /// Values over time.
    Series,
    /// Things that happened.
    Episodes,
}

/// How two readings of the same key and subject become one.
///
/// Readings of different subjects (another node) always stand side by side. Readings before and
/// after a change are compared, never merged. These laws are for the same subject again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeLaw {
    /// The one with the later window wins.
    Latest,
    /// The larger number wins.
    Max,
    /// The smaller number wins.
    Min,
    /// Counts of disjoint windows add up. Tables add cell by cell, histograms bucket by bucket.
    Sum,
    /// Union by time: series and episodes interleave.
    Union,
}

/// What is known about a key without its type: one row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// Dotted, general to special: `disk.wal.fsync`.
    pub name: &'static str,
    /// Unit of its numbers.
    pub unit: Unit,
    /// Its shape.
    pub shape: ShapeKind,
    /// How two readings become one.
    pub merge: MergeLaw,
    /// One line for people.
    pub doc: &'static str,
}

/// A typed key. `T` is what [`Reader::get`](super::Reader::get) gives back.
#[derive(Debug)]
pub struct Key<T> {
    /// The catalogue's row.
    pub info: KeyInfo,
    marker: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Only for the catalogue in [`keys`](super::keys).
    pub(super) const fn new(info: KeyInfo) -> Self {
        Key {
            info,
            marker: PhantomData,
        }
    }

    /// Its dotted name.
    pub fn name(&self) -> &'static str {
        self.info.name
    }
}

/// Types that a shape can be turned into and made from.
pub trait FromShape: Sized {
    /// The shape such a key must have.
    const KIND: ShapeKind;
    /// The typed value, or `None` when the shape is another one.
    fn from_shape(shape: &Shape) -> Option<Self>;
    /// The shape that stores this value.
    fn into_shape(self) -> Shape;
}

macro_rules! scalar {
    ($type:ty, $from:expr, $into:expr) => {
        impl FromShape for $type {
            const KIND: ShapeKind = ShapeKind::Scalar;
            fn from_shape(shape: &Shape) -> Option<Self> {
                match shape {
                    Shape::Scalar(scalar) => $from(scalar),
                    _ => None,
                }
            }
            fn into_shape(self) -> Shape {
                Shape::Scalar($into(self))
            }
        }
    };
}

scalar!(
    f64,
    |s: &Scalar| match s {
        Scalar::Num(n) => Some(*n),
        Scalar::Int(n) => Some(*n as f64),
        _ => None,
    },
    Scalar::Num
);
scalar!(
    i64,
    |s: &Scalar| match s {
        Scalar::Int(n) => Some(*n),
        _ => None,
    },
    Scalar::Int
);
scalar!(
    bool,
    |s: &Scalar| match s {
        Scalar::Flag(b) => Some(*b),
        _ => None,
    },
    Scalar::Flag
);
scalar!(
    String,
    |s: &Scalar| match s {
        Scalar::Text(t) => Some(t.clone()),
        _ => None,
    },
    Scalar::Text
);

macro_rules! whole {
    ($type:ty, $variant:ident) => {
        impl FromShape for $type {
            const KIND: ShapeKind = ShapeKind::$variant;
            fn from_shape(shape: &Shape) -> Option<Self> {
                match shape {
                    Shape::$variant(value) => Some(value.clone()),
                    _ => None,
                }
            }
            fn into_shape(self) -> Shape {
                Shape::$variant(self)
            }
        }
    };
}

whole!(Histogram, Histogram);
whole!(Table, Table);
whole!(Series, Series);
whole!(Episodes, Episodes);

impl Shape {
    /// Which of the five.
    pub fn kind(&self) -> ShapeKind {
        match self {
            Shape::Scalar(_) => ShapeKind::Scalar,
            Shape::Histogram(_) => ShapeKind::Histogram,
            Shape::Table(_) => ShapeKind::Table,
            Shape::Series(_) => ShapeKind::Series,
            Shape::Episodes(_) => ShapeKind::Episodes,
        }
    }
}
