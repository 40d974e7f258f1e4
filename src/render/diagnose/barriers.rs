//! The ladder of evidence about write barriers, and what flushes cost.

use std::io::{self, Write};

use crate::evidence::{Unit, number};
use crate::render::plain::safe;
use crate::report::barriers::Ladder;

use super::page::Page;

impl Page {
    /// The barriers of one mount under an etcd.
    pub(super) fn barriers(&self, out: &mut dyn Write, ladder: &Ladder) -> io::Result<()> {
        let device = match &ladder.device {
            Some(device) => format!(" on {device}"),
            None => String::new(),
        };
        let head = format!(
            "BARRIERS  {} under {} of {}: {}, {}{device}",
            ladder.state,
            ladder.directories.join(" and "),
            ladder.subject,
            ladder.mount,
            ladder.file_system
        );
        self.head(out, &safe(&head))?;
        for step in &ladder.steps {
            let name = step.step.replace('-', " ");
            let sure = match step.state.as_str() {
                "unknown" => String::new(),
                _ => format!(", {}", step.confidence),
            };
            self.para(
                out,
                &format!("  {name:<16} "),
                &format!("{}{sure}: {}", step.state, step.why),
            )?;
        }
        self.para(out, &format!("  {:<16} ", "flushes cost"), &cost(ladder))
    }
}

/// What flushes cost here: how many of how long are which share of the time.
fn cost(ladder: &Ladder) -> String {
    let ms = |value: f64| number(value, Unit::Ms);
    match (
        ladder.flushes_per_sec,
        ladder.flush_mean_ms,
        ladder.flush_share,
        ladder.flush_mean_since_boot_ms,
    ) {
        (Some(rate), Some(mean), Some(share), _) => format!(
            "{} of the time: {} flushes a second of {} each",
            number(share, Unit::Ratio),
            number(rate, Unit::Count),
            ms(mean)
        ),
        (_, _, _, Some(mean)) => format!(
            "not known of now (too few flushes); since the machine started one took {}",
            ms(mean)
        ),
        _ => "not known: too few flushes were counted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Terminal;
    use crate::report::barriers::Step;

    fn shown(change: impl Fn(&mut Ladder)) -> String {
        let mut ladder = Ladder {
            subject: "component:etcd@a".to_owned(),
            directories: vec!["data".to_owned(), "wal".to_owned()],
            mount: "/var/lib/etcd".to_owned(),
            file_system: "ext4".to_owned(),
            device: Some("sdb".to_owned()),
            state: "on".to_owned(),
            why: "w".to_owned(),
            confidence: "high".to_owned(),
            steps: vec![Step {
                step: "4-flush-count".to_owned(),
                state: "on".to_owned(),
                why: "900 flushes".to_owned(),
                confidence: "high".to_owned(),
            }],
            flushes_per_sec: Some(100.0),
            flush_mean_ms: Some(5.0),
            flush_share: Some(0.5),
            flush_mean_since_boot_ms: Some(2.0),
        };
        change(&mut ladder);
        let mut out = Vec::new();
        let page = Page {
            terminal: Terminal {
                width: 80,
                color: false,
            },
            width: 80,
        };
        page.barriers(&mut out, &ladder).unwrap();
        let text = String::from_utf8(out).unwrap();
        // Where a line ends does not matter here.
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_step_and_the_cost_are_shown() {
        let all = shown(|_| {});
        assert!(all.contains("BARRIERS on under data and wal of component:etcd@a"));
        assert!(all.contains("4 flush count on, high: 900 flushes"), "{all}");
        let cost = "flushes cost 50 % of the time: 100 flushes a second of 5";
        assert!(all.contains(cost), "{all}");
    }

    #[test]
    fn a_cost_that_nobody_counted_is_no_number() {
        let uncounted = |ladder: &mut Ladder| ladder.flush_share = None;
        assert!(shown(uncounted).contains("since the machine started one took 2 ms"));
        let none = shown(|ladder| {
            ladder.flush_share = None;
            ladder.flush_mean_since_boot_ms = None;
        });
        assert!(none.contains("not known: too few flushes"), "{none}");
    }
}
