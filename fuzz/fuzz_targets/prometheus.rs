//! The parser of metrics over any bytes: never panics, never loses count of a line, and the
//! loader makes no number of nothing.
#![no_main]

use etcd_doctor::formats::prometheus::{Sample, Sink, scan, sniff};
use etcd_doctor::metrics::{Hint, Limits, Loader, collect};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn wants(&mut self, name: &[u8]) -> bool {
        // Both ways through the scanner.
        name.len() % 2 == 0
    }
    fn family(&mut self, _: &[u8], _: &[u8]) {}
    fn sample(&mut self, sample: &Sample<'_, '_>) {
        self.0 += 1;
        for label in sample.labels {
            label.value();
        }
    }
}

fuzz_target!(|text: &[u8]| {
    let mut count = Count::default();
    let stats = scan(text, &mut count);
    assert_eq!(count.0, stats.samples);
    assert_eq!(
        stats.blank
            + stats.comments
            + stats.samples
            + stats.skipped
            + stats.garbage
            + stats.torn,
        stats.lines
    );
    sniff(text);
    // Two scrapes: one half of the bytes each.
    let (first, second) = text.split_at(text.len() / 2);
    let mut loader = Loader::new(Limits::default());
    loader.add("etcd-m0-20260101T030000Z.prom", "a", first, &Hint::default());
    loader.add("etcd-m0-20260101T030100Z.prom", "b", second, &Hint::default());
    collect(&loader.finish());
});
