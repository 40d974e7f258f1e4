//! What is wrong with a scrape: said as a finding, so that no number is made from it.

/// What kind of fault, in words that never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The file or answer is a page, JSON, empty: not metrics.
    NotMetrics,
    /// The text stops early; what follows is unknown, not zero.
    Truncated,
    /// A family is absent that other scrapes of the process have; it is unknown, not zero.
    MissingFamily,
    /// Some lines are neither samples nor comments.
    GarbageLines,
    /// Samples whose value is no number that such a metric can have.
    BadValues,
    /// A file could not be read or inflated.
    Unreadable,
    /// More files, bytes or series than the limit; the rest was not read.
    OverLimit,
    /// Only one scrape: values since the start of the process, no rates.
    SingleScrape,
    /// The process restarted between two scrapes: counters began again from 0.
    Restart,
    /// A counter fell although its process lived on.
    CounterReset,
    /// Buckets of a histogram that do not rise.
    BrokenHistogram,
    /// Scrapes under one name came from different processes.
    MixedProcesses,
    /// One file holds several scrapes.
    SeveralInOne,
    /// The time of a scrape is not known, or cannot be right.
    DoubtfulTime,
    /// The very same scrape was given twice.
    Duplicate,
    /// Metrics of no component that is known here.
    UnknownComponent,
    /// A server did not answer, or not as it should.
    NotReached,
}

impl FaultKind {
    /// Its id.
    pub fn id(self) -> &'static str {
        match self {
            FaultKind::NotMetrics => "not-metrics",
            FaultKind::Truncated => "truncated",
            FaultKind::MissingFamily => "missing-family",
            FaultKind::GarbageLines => "garbage-lines",
            FaultKind::BadValues => "bad-values",
            FaultKind::Unreadable => "unreadable",
            FaultKind::OverLimit => "over-limit",
            FaultKind::SingleScrape => "single-scrape",
            FaultKind::Restart => "restart",
            FaultKind::CounterReset => "counter-reset",
            FaultKind::BrokenHistogram => "broken-histogram",
            FaultKind::MixedProcesses => "mixed-processes",
            FaultKind::SeveralInOne => "several-in-one",
            FaultKind::DoubtfulTime => "doubtful-time",
            FaultKind::Duplicate => "duplicate",
            FaultKind::UnknownComponent => "unknown-component",
            FaultKind::NotReached => "not-reached",
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file or address.
    pub source: String,
    /// What kind.
    pub kind: FaultKind,
    /// In words, without the source.
    pub what: String,
}

impl Fault {
    /// A fault of a source.
    pub fn new(source: impl Into<String>, kind: FaultKind, what: impl Into<String>) -> Self {
        Fault {
            source: source.into(),
            kind,
            what: what.into(),
        }
    }
}
