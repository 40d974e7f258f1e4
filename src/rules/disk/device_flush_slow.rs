//! The device itself takes long to flush its cache: measured by the kernel below etcd, so it
//! proves a slow disk.

use crate::evidence::{Missing, keys};
use crate::rules::devices;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "device-flush-slow",
    summary: "the device under etcd takes too long to flush its cache",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "device-flush-slow",
    check,
};

/// Fewer flushes than this make no mean.
const MIN_FLUSHES: f64 = 20.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("device-flush");
    let mut drafts = Vec::new();
    let mut looked = 0;
    for (device, mean_ms) in cx.evidence.some(&keys::DEVICE_FLUSH_TIME)? {
        if !devices::is_etcds(cx, &device) {
            continue;
        }
        looked += 1;
        let flushes = cx.evidence.peek(&keys::DEVICE_FLUSHES, &device);
        if mean_ms <= limit.value || flushes.is_some_and(|n| n < MIN_FLUSHES) {
            continue;
        }
        cx.evidence.cite(&keys::DEVICE_FLUSH_TIME, &device);
        cx.evidence.cite(&keys::DEVICE_FLUSHES, &device);
        // The mean is that of the slowest window, the number that of all.
        let number = flushes.map_or_else(String::new, |n| format!(", of {n:.0} flushes in all"));
        drafts.push(
            Draft::new(
                device.clone(),
                Severity::Critical,
                format!(
                    "one flush of {} takes {mean_ms:.1} ms on average in the slowest window{number}",
                    device.name
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    if looked == 0 {
        return Err(Missing::NotEnough {
            why: "no flush was counted on the device under etcd".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, device};

    #[test]
    fn both_sides_of_the_limit_and_too_few_flushes() {
        let with = |ms: f64, flushes: f64| {
            Set::new()
                .put(&keys::DEVICE_FLUSH_TIME, device("sda"), ms)
                .put(&keys::DEVICE_FLUSHES, device("sda"), flushes)
        };
        assert_eq!(with(10.0, 100.0).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(10.1, 100.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        let words = with(60.0, 4_573_800.0).check(&RULE)[0].message.clone();
        assert!(words.contains("in the slowest window, of"), "{words}");
        assert_eq!(with(99.0, 19.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
