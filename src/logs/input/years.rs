//! Which year dates without one are of: klog's, and syslog's in its old form.
//!
//! A file that was pasted, downloaded or checked out has a fresh last change, so what its lines say
//! goes first, then what other files of the same bundle say, and the last change only then. All of it
//! is known before a line is decoded: each piece of a file is read with the same year.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::{LogFile, Stream, Told};

const DAY_US: i64 = 86_400_000_000;
/// How long after the first date in it a log may end. Less than a year, so that a date is never one
/// year late.
const SPAN_US: i64 = 300 * DAY_US;
/// How long after the last date of another file a log may end: half a year, for it may begin long
/// before that file too.
const HALF_US: i64 = 182 * DAY_US;
/// How long after its last date that was seen a log of more than [`SPAN_US`] may end.
const MONTH_US: i64 = 30 * DAY_US;
/// 2013-01-01: etcd's first release is of that year. Before it is only a clock that was not set yet.
const FIRST: Timestamp = Timestamp(1_356_998_400_000_000);
/// 2100-01-01: no log, but a typing error or a "never".
const LAST: Timestamp = Timestamp(4_102_444_800_000_000);
/// Dates without a year are completed from here while one only looks, so that they cannot be taken
/// for others: 1999-12-31.
pub(super) const NO_YEAR: Timestamp = Timestamp(946_598_400_000_000);

/// Whether a time was read with its year; `None` where it had none.
pub(super) fn with_year(time: Timestamp) -> Option<bool> {
    /// February 29 may be some years before [`NO_YEAR`].
    const BACK_US: i64 = 9 * 366 * DAY_US;
    if (FIRST..LAST).contains(&time) {
        return Some(true);
    }
    let none = NO_YEAR.add_us(-BACK_US)..NO_YEAR.add_us(2 * DAY_US);
    none.contains(&time).then_some(false)
}

/// Where the year of dates without one comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Years {
    /// The file's last change, or now.
    #[default]
    LastChange,
    /// Dated lines of the same file, or its traces.
    Neighbours,
    /// Dated lines of other files that were read with it.
    Bundle,
}

impl Told {
    /// From when to when what names its year goes.
    fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let traced = self.traced.filter(|day| with_year(*day) == Some(true));
        let traced = traced.map(|day| (day, day));
        // A trace is of the very program whose dates have no year, so it goes before years of others.
        let near = |(from, to): &(Timestamp, Timestamp)| to.since_us(*from) <= SPAN_US;
        self.years.filter(near).or(traced).or(self.years)
    }
}

/// The latest time that a file with such dates can hold.
fn latest(from: Timestamp, to: Timestamp) -> Timestamp {
    from.add_us(SPAN_US).max(to.add_us(MONTH_US))
}

/// Whether a file with such dates can have been changed last then, and not only copied.
fn fits(modified: Timestamp, (from, to): (Timestamp, Timestamp)) -> bool {
    from.add_us(-DAY_US) <= modified && modified <= latest(from, to)
}

/// What dates without a year are completed from, and why. `modified` is the file's last change,
/// `now` is for what has none.
pub(super) fn reference(
    told: &Told,
    modified: Option<Timestamp>,
    now: Option<Timestamp>,
) -> (Option<Timestamp>, Years) {
    let at = modified.or(now);
    let chosen = match (told.span(), told.lent) {
        (Some((from, to)), _) => match at {
            Some(at) if fits(at, (from, to)) => return (Some(at.max(to)), Years::LastChange),
            _ => (latest(from, to), Years::Neighbours),
        },
        (None, Some(lent)) => match at {
            Some(at) if at <= lent => return (Some(at), Years::LastChange),
            _ => (lent, Years::Bundle),
        },
        (None, None) => return (at, Years::LastChange),
    };
    (Some(chosen.0), chosen.1)
}

/// Gives files that name no year the one of files that do. Not where the last change of one of these
/// fits to its dates, for then the others' does too, and not where they lie far apart.
pub(super) fn lend(streams: &mut [Stream]) {
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let files = || streams.iter().flat_map(|stream| &stream.files);
    for file in files() {
        let (Some(own), Some(modified)) = (file.told.span(), file.modified) else {
            continue;
        };
        if fits(modified, own) {
            return;
        }
        let (from, to) = span.unwrap_or(own);
        span = Some((from.min(own.0), to.max(own.1)));
    }
    let Some((_, to)) = span.filter(|(from, to)| to.since_us(*from) <= SPAN_US) else {
        return;
    };
    let lacks = |file: &&mut LogFile| file.told.yearless && file.told.span().is_none();
    let files = streams.iter_mut().flat_map(|stream| &mut stream.files);
    for file in files.filter(lacks) {
        file.told.lent = Some(to.add_us(HALF_US));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn told(from: &str, to: &str) -> Told {
        Told {
            years: Some((at(from), at(to))),
            ..Told::default()
        }
    }

    #[test]
    fn the_last_change_counts_only_where_it_fits_to_the_dates() {
        let told = told("2021-01-25T06:00:00Z", "2021-01-26T06:00:00Z");
        let by = |modified: &str| reference(&told, Some(at(modified)), None);
        let fits = at("2021-02-01T00:00:00Z");
        assert_eq!(by("2021-02-01T00:00:00Z"), (Some(fits), Years::LastChange));
        // A last change in the middle of the file is a clock's error.
        let last = at("2021-01-26T06:00:00Z");
        assert_eq!(by("2021-01-25T12:00:00Z"), (Some(last), Years::LastChange));
        let later = (Some(at("2021-11-21T06:00:00Z")), Years::Neighbours);
        assert_eq!(by("2026-11-29T00:00:00Z"), later);
        assert_eq!(by("2020-01-01T00:00:00Z"), later);
        assert_eq!(
            reference(&told, None, Some(at("2026-11-29T00:00:00Z"))),
            later
        );
        assert_eq!(reference(&told, None, None), later);
        // A trace of no year that a log can have tells nothing.
        let odd = Told {
            traced: Some(at("9999-12-20T00:00:00Z")),
            ..Told::default()
        };
        assert_eq!(
            reference(&odd, Some(fits), None),
            (Some(fits), Years::LastChange)
        );
        // It tells more than dated lines of several years.
        let mixed = Told {
            traced: Some(at("2019-12-02T00:00:00Z")),
            ..self::told("2018-04-03T00:00:00Z", "2022-05-10T00:00:00Z")
        };
        let copied = Some(at("2026-11-29T00:00:00Z"));
        let traced = (Some(at("2020-09-27T00:00:00Z")), Years::Neighbours);
        assert_eq!(reference(&mixed, copied, None), traced);
        let none = reference(&Told::default(), Some(fits), None);
        assert_eq!(none, (Some(fits), Years::LastChange));
    }

    #[test]
    fn years_are_told_from_dates_without_one() {
        assert_eq!(with_year(at("2021-01-25T06:00:00Z")), Some(true));
        assert_eq!(with_year(NO_YEAR), Some(false));
        assert_eq!(with_year(at("1996-02-29T00:00:00Z")), Some(false));
        assert_eq!(with_year(at("1970-01-01T00:00:10Z")), None);
        assert_eq!(with_year(at("9999-01-01T00:00:10Z")), None);
    }

    fn stream(told: Told, modified: &str) -> Stream {
        Stream {
            files: vec![LogFile {
                name: String::new(),
                source: super::super::Source::Stdin,
                size: 0,
                modified: Some(at(modified)),
                compression: None,
                told,
            }],
            ..Stream::default()
        }
    }

    #[test]
    fn a_bundle_lends_its_year_only_where_last_changes_are_no_longer_right() {
        let copied = "2026-11-29T00:00:00Z";
        let klog = || {
            let told = Told {
                yearless: true,
                ..Told::default()
            };
            stream(told, copied)
        };
        let zap = |year: u32, modified: &str| {
            let day = format!("{year}-01-25T06:00:00Z");
            stream(told(&day, &day), modified)
        };
        let lent = |streams: Vec<Stream>| {
            let mut streams = streams;
            lend(&mut streams);
            streams[0].files[0].context(None).reference
        };
        let want = Some(at("2021-01-25T06:00:00Z").add_us(HALF_US));
        assert_eq!(lent(vec![klog(), zap(2021, copied)]), want);
        assert_eq!(lent(vec![klog(), klog()]), Some(at(copied)));
        // Times of change were kept, be the log ever so old.
        let kept = zap(2024, "2024-01-26T00:00:00Z");
        assert_eq!(
            lent(vec![klog(), kept, zap(2021, copied)]),
            Some(at(copied))
        );
        let apart = vec![klog(), zap(2021, copied), zap(2023, copied)];
        assert_eq!(lent(apart), Some(at(copied)));
    }
}
