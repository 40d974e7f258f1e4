//! Charts as inline SVG. Each has a title, a description in words, and no colour that carries a
//! meaning alone.

use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::evidence::Histogram;
use crate::units::format_ms;

use super::text::escape;

const WIDTH: f64 = 640.0;

/// A number for SVG: one decimal place is finer than any screen.
fn n(value: f64) -> String {
    // A forged file may hold any number; a picture must stay one.
    let value = if value.is_finite() {
        value.clamp(-1e5, 1e5)
    } else {
        0.0
    };
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Opens an SVG with title and description.
fn open(width: f64, height: f64, title: &str, words: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"><title>{}</title><desc>{}</desc>",
        n(width),
        n(height),
        escape(title),
        escape(title),
        escape(words)
    )
}

/// A bracket in words: "8–16 ms", or "over 8 s" where the last bucket is open.
pub(super) fn bracket((low, high): (f64, f64)) -> String {
    if high.is_finite() && low <= 0.0 {
        format!("0 to {}", format_ms(high))
    } else if high.is_finite() {
        format!("{} to {}", format_ms(low), format_ms(high))
    } else {
        format!("over {}", format_ms(low))
    }
}

/// A histogram in milliseconds: a bar for each bucket, the brackets of p50 and p99 below, and the
/// limit. Bars grow with the square root of the share, so that a tail of a few is seen.
pub(super) fn histogram(title: &str, histogram: &Histogram, limit: Option<f64>) -> Option<String> {
    let total = histogram.count();
    let first = histogram.buckets.iter().position(|b| b.count > 0.0)?;
    let last = histogram.buckets.iter().rposition(|b| b.count > 0.0)?;
    // One empty bucket on each side shows where it ends; the limit is kept in view.
    let mut from = first.saturating_sub(1);
    let mut to = (last + 1).min(histogram.buckets.len() - 1);
    if let Some(limit) = limit {
        let at = histogram.buckets.iter().position(|b| b.le >= limit);
        from = from.min(at.unwrap_or(from));
        to = to.max(at.unwrap_or(to)).min(histogram.buckets.len() - 1);
    }
    let buckets = histogram.buckets.get(from..=to)?;
    #[expect(clippy::cast_precision_loss, reason = "a few buckets")]
    let slot = (WIDTH - 20.0) / buckets.len() as f64;
    let low_of = |index: usize| {
        (from + index)
            .checked_sub(1)
            .and_then(|i| histogram.buckets.get(i))
            .map_or(0.0, |b| b.le)
    };
    #[expect(clippy::cast_precision_loss, reason = "a few buckets")]
    let left = |index: usize| 10.0 + slot * index as f64;
    // Where a value lies on the axis: within its bucket by its logarithm.
    let place = |value: f64| -> f64 {
        for (index, bucket) in buckets.iter().enumerate() {
            if value <= bucket.le {
                let low = low_of(index);
                let share = if low > 0.0 && bucket.le.is_finite() && value > low {
                    (value / low).ln() / (bucket.le / low).ln()
                } else if bucket.le.is_finite() && bucket.le > low {
                    ((value - low) / (bucket.le - low)).max(0.0)
                } else {
                    1.0
                };
                return left(index) + slot * share;
            }
        }
        left(buckets.len())
    };
    let (p50, p99) = (histogram.bracket(0.5)?, histogram.bracket(0.99)?);
    let words = format!(
        "{total:.0} values; p50 between {}, p99 between {}",
        bracket(p50),
        bracket(p99)
    );
    let top = 24.0;
    let base = 150.0;
    let mut svg = open(WIDTH, 214.0, title, &words);
    let most = buckets.iter().map(|b| b.count).fold(0.0, f64::max);
    for (index, bucket) in buckets.iter().enumerate() {
        let height = if bucket.count > 0.0 {
            ((bucket.count / most).sqrt() * (base - top - 14.0)).max(2.0)
        } else {
            0.0
        };
        let (x, y) = (left(index) + 1.5, base - height);
        let label = if bucket.le.is_finite() {
            format_ms(bucket.le)
        } else {
            "∞".to_owned()
        };
        let over = limit.is_some_and(|limit| low_of(index) >= limit);
        let class = if over { "bar over" } else { "bar" };
        write!(
            svg,
            "<g><title>{} to {label}: {:.0}</title><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            format_ms(low_of(index)),
            bucket.count,
            n(x),
            n(y),
            n(slot - 3.0),
            n(height)
        )
        .ok();
        if bucket.count > 0.0 {
            write!(
                svg,
                "<text class=\"small mid\" x=\"{}\" y=\"{}\">{:.0}</text>",
                n(x + slot / 2.0 - 1.5),
                n(y - 4.0),
                bucket.count
            )
            .ok();
        }
        write!(
            svg,
            "<text class=\"small end\" x=\"{}\" y=\"{}\">{label}</text></g>",
            n(left(index + 1)),
            n(base + 13.0)
        )
        .ok();
    }
    write!(
        svg,
        "<line class=\"axis\" x1=\"10\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>",
        n(WIDTH - 10.0)
    )
    .ok();
    for (at, (label, (low, high))) in [("p50", p50), ("p99", p99)].into_iter().enumerate() {
        let (x1, x2) = (place(low), place(high.min(f64::MAX)));
        #[expect(clippy::cast_precision_loss, reason = "0 or 1")]
        let y = base + 24.0 + 17.0 * at as f64;
        let text = format!("{label} {}", bracket((low, high)));
        // On the side that has room.
        let (tx, anchor) = if x2 < WIDTH * 0.62 {
            (x2 + 6.0, "start")
        } else {
            (x1 - 6.0, "end")
        };
        write!(
            svg,
            "<path class=\"bracket\" d=\"M{} {}v6h{}v-6\"/><text class=\"{anchor}\" x=\"{}\" y=\"{}\">{}</text>",
            n(x1),
            n(y),
            n((x2 - x1).max(3.0)),
            n(tx),
            n(y + 8.0),
            escape(&text)
        )
        .ok();
    }
    if let Some(limit) = limit {
        let x = place(limit);
        let (tx, anchor) = if x < WIDTH * 0.75 {
            (x + 4.0, "start")
        } else {
            (x - 4.0, "end")
        };
        write!(
            svg,
            "<line class=\"limit\" x1=\"{x}\" x2=\"{x}\" y1=\"6\" y2=\"{base}\"/><text class=\"limit-text {anchor}\" x=\"{tx}\" y=\"15\">limit {}</text>",
            escape(&format_ms(limit)),
            x = n(x),
            tx = n(tx),
        )
        .ok();
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// One stretch of time with a bracket of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) from: Timestamp,
    pub(super) secs: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) count: f64,
}

/// Brackets over time on a logarithmic axis, in milliseconds.
pub(super) fn phases(title: &str, phases: &[Phase], limit: Option<f64>) -> Option<String> {
    let begin = phases.iter().map(|p| p.from).min()?;
    let end = phases
        .iter()
        .map(|p| after(p.from, p.secs))
        .fold(0.0, f64::max);
    let span = (end - seconds(begin)).max(0.001);
    let lows = phases.iter().map(|p| p.low.max(0.1));
    let min = lows.fold(f64::MAX, f64::min).min(limit.unwrap_or(f64::MAX)) / 1.5;
    let max = phases
        .iter()
        .map(|p| {
            if p.high.is_finite() {
                p.high
            } else {
                p.low * 2.0
            }
        })
        .fold(limit.unwrap_or(0.0), f64::max)
        * 1.5;
    let (top, base, left) = (10.0, 150.0, 62.0);
    let y = |value: f64| base - (value.max(min) / min).ln() / (max / min).ln() * (base - top);
    let x = |secs: f64| left + (secs - seconds(begin)) / span * (WIDTH - left - 10.0);
    let worst = phases
        .iter()
        .max_by(|a, b| a.low.total_cmp(&b.low))
        .map_or_else(String::new, |p| {
            format!(
                "worst: p99 between {} from {} on",
                bracket((p.low, p.high)),
                p.from
            )
        });
    let mut svg = open(WIDTH, 180.0, title, &worst);
    let mut tick = 10f64.powf(min.log10().ceil());
    while tick < max {
        write!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"small end\" x=\"{}\" y=\"{}\">{}</text>",
            n(WIDTH - 10.0),
            n(left - 5.0),
            n(y(tick) + 3.5),
            format_ms(tick),
            y = n(y(tick)),
        )
        .ok();
        tick *= 10.0;
    }
    for phase in phases {
        let (x1, x2) = (x(seconds(phase.from)), x(after(phase.from, phase.secs)));
        let high = if phase.high.is_finite() {
            phase.high
        } else {
            max
        };
        let over = limit.is_some_and(|limit| phase.low >= limit);
        write!(
            svg,
            "<g><title>{} for {:.0} s: p99 between {} of {:.0}</title><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></g>",
            phase.from,
            phase.secs,
            bracket((phase.low, phase.high)),
            phase.count,
            if over { "bar over" } else { "bar" },
            n(x1),
            n(y(high)),
            n((x2 - x1 - 1.0).max(2.0)),
            n((y(phase.low.max(min)) - y(high)).max(2.0))
        )
        .ok();
    }
    if let Some(limit) = limit {
        write!(
            svg,
            "<line class=\"limit\" x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"limit-text end\" x=\"{}\" y=\"{}\">limit {}</text>",
            n(WIDTH - 10.0),
            n(WIDTH - 12.0),
            n(y(limit) - 4.0),
            escape(&format_ms(limit)),
            y = n(y(limit)),
        )
        .ok();
    }
    time_axis(&mut svg, begin, span, left, WIDTH - 10.0, base);
    svg.push_str("</svg>");
    Some(svg)
}

/// One size of the fsync curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) bytes: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What one entry of the WAL usually comes to: the size that a disk is judged by.
const USUAL: f64 = 4096.0;

/// How long a sync takes by the bytes before it, both axes logarithmic: from the p50 to the p99 of
/// each size, with the size that matters for etcd made out.
pub(super) fn curve(title: &str, sizes: &[Size], limit: Option<f64>) -> Option<String> {
    let mut sizes: Vec<Size> = sizes
        .iter()
        .copied()
        .filter(|s| s.bytes > 0.0 && s.p50 > 0.0 && s.p99 >= s.p50 && s.p99.is_finite())
        .collect();
    sizes.sort_by(|a, b| a.bytes.total_cmp(&b.bytes));
    let (first, last) = (sizes.first()?, sizes.last()?);
    let usual = sizes
        .iter()
        .min_by(|a, b| {
            let far = |s: &Size| (s.bytes / USUAL).ln().abs();
            far(a).total_cmp(&far(b))
        })
        .copied()?;
    let words = format!(
        "at {}: p50 {}, p99 {}; from {} (p99 {}) to {} (p99 {})",
        size(usual.bytes),
        format_ms(usual.p50),
        format_ms(usual.p99),
        size(first.bytes),
        format_ms(first.p99),
        size(last.bytes),
        format_ms(last.p99)
    );
    let (top, base, left, right) = (28.0, 170.0, 62.0, WIDTH - 24.0);
    let low = sizes
        .iter()
        .map(|s| s.p50)
        .fold(limit.unwrap_or(f64::MAX), f64::min)
        / 1.6;
    let high = sizes
        .iter()
        .map(|s| s.p99)
        .fold(limit.unwrap_or(0.0), f64::max)
        * 1.6;
    let y = |ms: f64| base - (ms / low).ln() / (high / low).ln() * (base - top);
    let span = (last.bytes / first.bytes).ln().max(0.001);
    let x = |bytes: f64| left + 24.0 + (bytes / first.bytes).ln() / span * (right - left - 48.0);
    let mut svg = open(WIDTH, 214.0, title, &words);
    let mut tick = 10f64.powf(low.log10().ceil());
    while tick < high {
        write!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"small end\" x=\"{}\" y=\"{}\">{}</text>",
            n(right),
            n(left - 5.0),
            n(y(tick) + 3.5),
            format_ms(tick),
            y = n(y(tick)),
        )
        .ok();
        tick *= 10.0;
    }
    for (at, pick) in [(true, "curve"), (false, "curve dashed")] {
        let points: Vec<String> = sizes
            .iter()
            .map(|s| format!("{},{}", n(x(s.bytes)), n(y(if at { s.p99 } else { s.p50 }))))
            .collect();
        write!(
            svg,
            "<polyline class=\"{pick}\" points=\"{}\"/>",
            points.join(" ")
        )
        .ok();
    }
    let mut labelled = f64::MIN;
    for s in &sizes {
        let is_usual = s.bytes.total_cmp(&usual.bytes).is_eq();
        let over = limit.is_some_and(|limit| s.p99 >= limit);
        write!(
            svg,
            "<g><title>{}: p50 {}, p99 {}</title><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\"/></g>",
            size(s.bytes),
            format_ms(s.p50),
            format_ms(s.p99),
            if over { "bar over" } else { "bar" },
            n(x(s.bytes) - if is_usual { 7.0 } else { 4.0 }),
            n(y(s.p99)),
            if is_usual { 14 } else { 8 },
            n((y(s.p50) - y(s.p99)).max(3.0)),
        )
        .ok();
        // Labels that would touch are left out; each bar's title has its size.
        if is_usual || x(s.bytes) - labelled > 58.0 && (x(s.bytes) - x(usual.bytes)).abs() > 58.0 {
            labelled = x(s.bytes);
            write!(
                svg,
                "<text class=\"{} mid\" x=\"{}\" y=\"{}\">{}</text>",
                if is_usual { "first-text" } else { "small" },
                n(x(s.bytes)),
                n(base + 16.0),
                size(s.bytes),
            )
            .ok();
        }
    }
    // The bracket around what etcd writes most.
    let (bx, b1, b2) = (x(usual.bytes) + 12.0, y(usual.p99), y(usual.p50));
    write!(
        svg,
        "<path class=\"bracket\" d=\"M{x0} {b1}h5V{b2}h-5\"/><text class=\"first-text\" x=\"{tx}\" y=\"{ty}\">p50 {} to p99 {}</text>",
        format_ms(usual.p50),
        format_ms(usual.p99),
        x0 = n(bx),
        b1 = n(b1),
        b2 = n(b2.max(b1 + 3.0)),
        tx = n(bx + 10.0),
        ty = n((b1 - 7.0).max(14.0)),
    )
    .ok();
    if let Some(limit) = limit {
        write!(
            svg,
            "<line class=\"limit\" x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"limit-text end\" x=\"{}\" y=\"{}\">limit {}</text>",
            n(right),
            n(right - 2.0),
            n(y(limit) - 4.0),
            escape(&format_ms(limit)),
            y = n(y(limit)),
        )
        .ok();
    }
    write!(
        svg,
        "<line class=\"axis\" x1=\"{left}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/><text class=\"small mid\" x=\"{}\" y=\"{}\">bytes before each sync; solid: p99, dashed: p50</text></svg>",
        n(right),
        n((left + right) / 2.0),
        n(base + 36.0),
    )
    .ok();
    Some(svg)
}

/// A size of a few bytes to megabytes, short.
fn size(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `as` saturates"
    )]
    crate::units::format_bytes(bytes as u64)
}

/// One bar of a timeline.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) words: String,
}

/// One row of a timeline.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) label: String,
    /// `first` (what came first), `fault`, `sign` or `note`.
    pub(super) class: &'static str,
    pub(super) spans: Vec<Span>,
}

/// What happened when: labels at the left, or above the bars where there is no room beside them.
pub(super) fn timeline(title: &str, lanes: &[Lane], narrow: bool) -> Option<String> {
    let spans = || lanes.iter().flat_map(|lane| &lane.spans);
    let begin = spans().map(|s| s.from).min()?;
    let end = spans().map(|s| s.to).max()?;
    let span = (seconds(end) - seconds(begin)).max(1.0);
    let (width, left, row, above) = match narrow {
        true => (400.0, 24.0, 36.0, 14.0),
        false => (960.0, 380.0, 22.0, 0.0),
    };
    #[expect(clippy::cast_precision_loss, reason = "a few lanes")]
    let base = 8.0 + row * lanes.len() as f64;
    let words = format!("{} kinds of events from {begin} to {end}", lanes.len());
    let mut svg = open(width, base + 30.0, title, &words);
    let x = |at: Timestamp| left + (seconds(at) - seconds(begin)) / span * (width - left - 14.0);
    for (index, lane) in lanes.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few lanes")]
        let y = 8.0 + row * index as f64;
        let mark = if lane.class == "first" { "▶ " } else { "" };
        write!(
            svg,
            "<line class=\"grid\" x1=\"0\" x2=\"{width}\" y1=\"{y2}\" y2=\"{y2}\"/><text class=\"{side} {class}-text\" x=\"{tx}\" y=\"{ty}\">{mark}{label}</text>",
            y2 = n(y + row - 2.0),
            class = lane.class,
            side = if narrow { "start" } else { "end" },
            tx = n(if narrow { 0.0 } else { left - 10.0 }),
            ty = n(y + 14.0),
            label = escape(&shortened(&lane.label)),
        )
        .ok();
        for span in &lane.spans {
            let (x1, x2) = (x(span.from), x(span.to));
            write!(
                svg,
                "<g><title>{}</title><rect class=\"span {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"12\" rx=\"2\"/></g>",
                escape(&span.words),
                lane.class,
                n(x1),
                n(y + 4.0 + above),
                n((x2 - x1).max(4.0))
            )
            .ok();
        }
    }
    time_axis(&mut svg, begin, span, left, width - 14.0, base);
    svg.push_str("</svg>");
    Some(svg)
}

/// A label that fits its column; the whole one is in the table below the chart.
fn shortened(label: &str) -> String {
    const LONGEST: usize = 58;
    if label.chars().count() <= LONGEST {
        return label.to_owned();
    }
    let mut short: String = label.chars().take(LONGEST - 1).collect();
    short.push('…');
    short
}

/// Seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970 stay exact until the year 2255"
    )]
    let us = at.0 as f64;
    us / 1e6
}

fn after(at: Timestamp, secs: f64) -> f64 {
    seconds(at) + secs
}

/// Four to eight ticks at round times, `hh:mm:ss` UTC, or with the day over longer spans.
fn time_axis(svg: &mut String, begin: Timestamp, span: f64, left: f64, right: f64, base: f64) {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        21600.0, 86400.0,
    ];
    let step = STEPS
        .iter()
        .copied()
        .find(|step| span / step <= 7.0)
        .unwrap_or((span / 7.0 / 86400.0).ceil() * 86400.0);
    write!(
        svg,
        "<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>",
        n(left),
        n(right),
        base = n(base)
    )
    .ok();
    let mut at = (seconds(begin) / step).ceil() * step;
    while at <= seconds(begin) + span {
        let x = left + (at - seconds(begin)) / span * (right - left);
        #[expect(clippy::cast_possible_truncation, reason = "a time of our own")]
        let text = Timestamp::from_secs(at as i64).to_string();
        // RFC 3339: `2026-11-21T20:56:30…`.
        let text = if span > 86400.0 {
            text.get(5..16).unwrap_or_default().replace('T', " ")
        } else {
            text.get(11..19).unwrap_or_default().to_owned()
        };
        write!(
            svg,
            "<line class=\"axis\" x1=\"{x}\" x2=\"{x}\" y1=\"{y1}\" y2=\"{y2}\"/><text class=\"small mid\" x=\"{x}\" y=\"{ty}\">{text}</text>",
            x = n(x),
            y1 = n(base),
            y2 = n(base + 4.0),
            ty = n(base + 16.0),
        )
        .ok();
        at += step;
    }
}

#[cfg(test)]
mod tests;
