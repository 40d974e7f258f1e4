//! Runs every target over its seeds and over mutations of them, on a stable toolchain. The same
//! mutations each time: a failure repeats.

#![expect(
    clippy::disallowed_methods,
    reason = "a test over the seeds of this folder"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use etcd_doctor::logs::signature::catalogue;
use etcd_doctor_fuzz::{TARGETS, Target};

/// Mutations of each target; `FUZZ_ROUNDS` sets another number.
const ROUNDS: u64 = 2_000;
/// Time for one target, after which the rest is left out: some machines are slow.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest input that mutation makes.
const LONGEST: usize = 64 << 10;

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap()
    }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target.name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|err| panic!("{}: {err}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    if matches!(target.name, "classify" | "decode") {
        // The catalogue of messages brings a line for each of its wordings.
        let forms = catalogue().iter().flat_map(|signature| signature.forms);
        seeds.extend(forms.map(|form| form.sample.as_bytes().to_vec()));
    }
    seeds
}

/// Changes a few places: bytes, digits, cuts, repeats, parts of another seed.
fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        let end = (at + 1 + random.below(64)).min(data.len());
        match random.below(8) {
            0 if at < data.len() => data[at] = u8::try_from(random.next() & 0xFF).unwrap(),
            1 if at < data.len() => data[at] ^= 1 << random.below(8),
            2 => data.truncate(at),
            3 => drop(data.drain(at.min(end)..end)),
            4 => {
                let part = data[at.min(end)..end].to_vec();
                for _ in 0..=random.below(4) {
                    data.splice(at..at, part.iter().copied());
                }
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let part = &other[from..(from + random.below(256)).min(other.len())];
                data.splice(at..at, part.iter().copied());
            }
            6 => {
                const HARD: &[&[u8]] = &[
                    b"\\",
                    b"\"",
                    b"{",
                    b"}",
                    b"[",
                    b"\n",
                    b"\0",
                    b"\xff",
                    b"\\u00",
                    b"\xe2\x82",
                    b"18446744073709551615",
                    b"-9223372036854775808",
                    b"1e999",
                    b"NaN",
                    b"0000",
                    b"\x1b[31m",
                    b"\r\n",
                    b"  - ",
                    b": ",
                    b"&a *a",
                    b"9999-12-31T23:59:60Z",
                ];
                let part = HARD[random.below(HARD.len())];
                data.splice(at..at, part.iter().copied());
            }
            _ => {
                for byte in data
                    .iter_mut()
                    .skip(at)
                    .take(8)
                    .filter(|b| b.is_ascii_digit())
                {
                    *byte = b'0' + u8::try_from(random.below(10)).unwrap();
                }
            }
        }
        data.truncate(LONGEST);
    }
    data
}

fn replay(target: &Target) -> (u64, Vec<String>) {
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let begin = Instant::now();
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{} has no seed", target.name);
    let mut failures = Vec::new();
    let mut attempt = |data: &[u8]| {
        let run = AssertUnwindSafe(|| (target.run)(data));
        if catch_unwind(run).is_err() && failures.len() < 5 {
            failures.push(format!("{}", data.escape_ascii()));
        }
    };
    attempt(b"");
    for seed in &seeds {
        attempt(seed);
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ target.name.len() as u64);
    let mut done = 0;
    while done < rounds && begin.elapsed() < LIMIT {
        attempt(&mutate(&mut random, &seeds));
        done += 1;
    }
    (done, failures)
}

macro_rules! replays {
    ($($name:ident)*) => {
        const NAMED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            let target = TARGETS.iter().find(|t| t.name == stringify!($name)).unwrap();
            let (done, failures) = replay(target);
            println!("{}: {done} inputs", target.name);
            assert!(failures.is_empty(), "{}:\n{}", target.name, failures.join("\n"));
        })*
    };
}

replays! {
    audit bundle classify decode ebs ftrace inflate kernel key manifest metrics mountinfo prometheus
    request summary wal wrapper x509
}

#[test]
fn every_target_is_replayed_and_has_its_file() {
    assert!(TARGETS.is_sorted_by(|a, b| a.name < b.name));
    let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
    assert_eq!(names, NAMED);
    for name in names {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz_targets/{name}.rs"));
        assert!(file.is_file(), "{}", file.display());
    }
}
