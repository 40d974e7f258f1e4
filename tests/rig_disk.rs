//! The fake disk itself: it counts, waits, lies and loses as told. What the benches are tested on
//! is tested here.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests of a test rig"
)]

mod rig;

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use rig::FakeDisk;
use rig::media::Behaviour;

fn disk(mib: u64) -> Option<FakeDisk> {
    FakeDisk::new(mib)
        .map_err(|why| eprintln!("skipped: {why}"))
        .ok()
}

/// Appends numbered records, each made durable, for some time; gives how many.
fn acknowledged(path: &std::path::Path) -> u64 {
    let file = File::create(path).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 4 << 20).unwrap();
    file.sync_all().unwrap();
    File::open(path.parent().unwrap())
        .unwrap()
        .sync_all()
        .unwrap();
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < Duration::from_millis(800) && number < 8_000 {
        number += 1;
        (&file)
            .write_all(format!("{number:015}\n{}", "x".repeat(484)).as_bytes())
            .unwrap();
        file.sync_data().unwrap();
    }
    number
}

fn survived(path: &std::path::Path) -> u64 {
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut number = 0;
    for record in bytes.chunks(500) {
        if !record.starts_with(format!("{:015}\n", number + 1).as_bytes()) {
            break;
        }
        number += 1;
    }
    number
}

#[test]
fn an_honest_disk_loses_nothing_and_a_liar_does() {
    for (options, lies, all) in [
        ("rw", false, true),
        ("rw,barrier=0", false, false),
        ("rw", true, false),
    ] {
        let Some(mut disk) = disk(128) else { return };
        let at = match disk.format("ext4", options) {
            Ok(at) => at,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        disk.media.behave(Behaviour {
            lies,
            ..Behaviour::default()
        });
        let acknowledged = acknowledged(&at.join("log"));
        // An unmountable rest is a loss as well.
        let survived = disk.power_cut().map_or(0, |at| survived(&at.join("log")));
        eprintln!("{options}, lies: {lies}: {acknowledged} acknowledged, {survived} survived");
        assert!(acknowledged > 10);
        assert_eq!(survived == acknowledged, all, "{options}, lies: {lies}");
    }
}

#[test]
fn a_flush_takes_its_time_and_is_counted() {
    let Some(mut disk) = disk(128) else { return };
    let at = match disk.format("ext4", "rw") {
        Ok(at) => at,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let mut file = File::create(at.join("f")).unwrap();
    file.write_all(&[7; 8192]).unwrap();
    file.sync_all().unwrap();
    disk.media.behave(Behaviour {
        flush: Duration::from_millis(5),
        ..Behaviour::default()
    });
    let before = disk.stat();
    let begin = Instant::now();
    for _ in 0..20 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[8; 512], 0).unwrap();
        file.sync_data().unwrap();
    }
    let took = begin.elapsed();
    let flushes = disk.stat()[15] - before[15];
    assert!(
        (19..=21).contains(&flushes),
        "{flushes} flushes for 20 overwrites"
    );
    assert!(took >= Duration::from_millis(100), "{took:?}");
}
