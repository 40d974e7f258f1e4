//! Reading files of every kind.
#![expect(
    clippy::string_slice,
    reason = "the texts are ASCII, and a panic is a failure"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::follow::{Follower, From};
use super::*;
use crate::logs::decode::{DecodeContext, Decoder};
use crate::logs::record::Record;

fn small() -> ReadOptions {
    ReadOptions {
        buffer: 64,
        max_line: 256,
        cut_line: 100,
        ..ReadOptions::default()
    }
}

fn read(
    file: &LogFile,
    chunk: Chunk,
    options: &ReadOptions,
) -> (Vec<u8>, ReadStats, Option<String>) {
    let mut all = Vec::new();
    let mut reader = open(file, chunk, options, Vec::new()).expect("opens");
    let mut torn = false;
    let err = loop {
        match reader.next_block() {
            Ok(Some(block)) => {
                assert!(!torn, "only the last line may lack its newline");
                torn = !block.bytes.ends_with(b"\n");
                all.extend_from_slice(block.bytes);
            }
            Ok(None) => break None,
            Err(err) => break Some(err.to_string()),
        }
    };
    (all, reader.stats(), err)
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> LogFile {
    let path = dir.join(name);
    fs::write(&path, bytes).expect("writes");
    LogFile::open_path(path).expect("opens")
}

/// A log of mixed lines, as a runtime writes it, with split lines of both outputs.
fn mixed(count: usize) -> String {
    let mut lines = Vec::new();
    for n in 0..count {
        let time = format!("2026-11-20T19:06:{:02}.{:06}Z", n / 1000 % 60, n % 1000);
        let zap = format!(
            r#"{{"level":"warn","ts":"{time}","caller":"a.go:{n}","msg":"slow","took":"{n}ms"}}"#
        );
        let klog = format!(
            "I1120 19:06:00.{:06}       1 trace.go:205] Trace[{n}]: \"List\" (total time: 1ms):",
            n % 1000
        );
        let cri = |stream: &str, flag: &str, line: &str| format!("{time} {stream} {flag} {line}\n");
        match n % 7 {
            0 => lines.push(cri("stderr", "F", &zap)),
            1 => {
                lines.push(cri("stderr", "P", &zap[..40]));
                lines.push(cri("stdout", "F", &zap));
                lines.push(cri("stderr", "F", &zap[40..]));
            }
            2 => {
                lines.push(cri("stderr", "F", &klog));
                lines.push(cri("stderr", "F", &format!("Trace[{n}]: [1ms] [1ms] END")));
            }
            3 => {
                lines.push(cri("stderr", "F", &format!("{klog} \"x\" a=<")));
                lines.push(cri("stderr", "F", "\tone"));
                lines.push(cri("stderr", "F", " >"));
            }
            4 => lines.push(format!(
                "{{\n  \"level\": \"warn\",\n  \"msg\": \"pretty {n}\"\n}}\n"
            )),
            5 => lines.push(
                "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1\n".to_owned(),
            ),
            _ => lines.push(format!("{zap}\n")),
        }
    }
    lines.concat()
}

fn decode(file: &LogFile, chunks: &[Chunk], options: &ReadOptions) -> (Vec<String>, u64) {
    let open = |chunk: &Chunk| open(file, *chunk, options, Vec::new()).expect("opens");
    decode_all(chunks.iter().map(open))
}

fn decode_all(readers: impl Iterator<Item = BlockReader>) -> (Vec<String>, u64) {
    let mut records = Vec::new();
    let mut base = 0;
    for mut reader in readers {
        let mut decoder = Decoder::new(DecodeContext::default());
        let mut sink = |record: &Record<'_>| {
            let text = format!("{:?} {:?}", record.msg, record.outer.time);
            records.push(format!(
                "{}-{} {text}",
                record.line + base,
                record.line_end + base
            ));
        };
        let mut line = 1;
        while let Some(block) = reader.next_block().expect("reads") {
            decoder.block(block.bytes, line, &mut sink);
            line = decoder.counts().lines + 1;
        }
        decoder.finish(&mut sink);
        base += decoder.counts().lines;
    }
    (records, base)
}

#[test]
fn chunks_of_any_length_give_the_same_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = mixed(700);
    let file = file(dir.path(), "0.log", text.as_bytes());
    let options = ReadOptions {
        buffer: 1000,
        ..ReadOptions::default()
    };
    let whole = decode(&file, &[Chunk::WHOLE], &options);
    assert!(whole.0.len() > 600);
    for length in [777, 4096, 10_001, 65_536] {
        let chunks = chunks_of(&file, length);
        assert!(chunks.len() > 1);
        assert_eq!(decode(&file, &chunks, &options), whole, "{length}");
    }
}

#[test]
fn chunks_of_several_steps_give_the_same_records() {
    let dir = tempfile::tempdir().expect("a folder");
    // In the middle there is no safe place for longer than one is looked for.
    let text = format!(
        "{}{}{}",
        mixed(3000),
        "no record at all\n".repeat(150_000),
        mixed(3000)
    );
    let file = file(dir.path(), "0.log", text.as_bytes());
    let options = ReadOptions::default();
    let whole = decode(&file, &[Chunk::WHOLE], &options);
    for step in [65_536, 300_000] {
        for most in [1, 4] {
            let chunks = chunks_by(&file, step, |left| (left / 8).clamp(1, most));
            assert_eq!(decode(&file, &chunks, &options), whole, "{step} {most}");
        }
    }
}

#[test]
fn chunks_are_long_at_first_and_short_in_the_end() {
    let file = LogFile {
        size: 1 << 30,
        ..file(tempfile::tempdir().expect("a folder").path(), "0.log", b"x")
    };
    let chunks = chunks(&file);
    let steps: Vec<u64> = chunks
        .iter()
        .filter(|chunk| chunk.end < u64::MAX)
        .map(|chunk| (chunk.end - chunk.start) / CHUNK)
        .collect();
    assert_eq!((steps.first(), steps.last()), (Some(&8), Some(&1)));
    assert!(steps.is_sorted_by(|a, b| a >= b));
    assert_eq!(steps.iter().sum::<u64>() + 1, 128);
    assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
}

#[test]
fn a_file_that_must_be_read_in_one_piece_is_one_chunk() {
    let dir = tempfile::tempdir().expect("a folder");
    let plain = file(dir.path(), "0.log", mixed(700).as_bytes());
    assert!(chunks_of(&plain, 1000).len() > 1);
    for (sections, newest_first) in [(true, false), (false, true)] {
        let told = crate::logs::input::Told {
            sections,
            newest_first,
            ..plain.told
        };
        let file = LogFile {
            told,
            ..plain.clone()
        };
        assert_eq!(chunks_of(&file, 1000), [Chunk::WHOLE]);
    }
}

#[test]
fn a_file_without_a_safe_place_is_one_chunk() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "no record at all\n".repeat(5000);
    let file = file(dir.path(), "x.log", text.as_bytes());
    let chunks = chunks_of(&file, 1000);
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.push(read(&file, chunk, &ReadOptions::default()).0.len());
    }
    assert_eq!(bytes.iter().sum::<usize>(), text.len());
    assert_eq!(bytes[0], text.len());
}

#[test]
fn no_byte_is_lost_or_read_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("empty", ""),
        ("one", "x"),
        ("two", "x\ny"),
        ("blank", "\n\n\n"),
    ] {
        let file = file(dir.path(), name, text.as_bytes());
        let (all, stats, err) = read(&file, Chunk::WHOLE, &small());
        assert_eq!(
            (&*all, stats.bytes, err),
            (text.as_bytes(), text.len() as u64, None)
        );
    }
}

#[test]
fn lines_over_the_limit_keep_their_beginning() {
    let dir = tempfile::tempdir().expect("a folder");
    let long = "y".repeat(5000);
    let text = format!("first\n{long}\n{}\nlast\n", "z".repeat(200));
    let file = file(dir.path(), "long.log", text.as_bytes());
    let (all, stats, _) = read(&file, Chunk::WHOLE, &small());
    let want = format!("first\n{}\n{}\nlast\n", "y".repeat(100), "z".repeat(200));
    assert_eq!(String::from_utf8_lossy(&all), want);
    assert_eq!((stats.cut_lines, stats.skipped_bytes), (1, 4900));
    let mut reader = open(&file, Chunk::WHOLE, &small(), Vec::new()).expect("opens");
    let mut offset = 0;
    while let Some(block) = reader.next_block().expect("reads") {
        let at = usize::try_from(block.offset).expect("small");
        let same = text.as_bytes()[at..].starts_with(&block.bytes[..block.bytes.len() - 1]);
        assert!(same && block.offset >= offset);
        offset = block.offset;
    }
    // The last line, long and without its end.
    let file = self::file(dir.path(), "end.log", long.as_bytes());
    let (all, stats, _) = read(&file, Chunk::WHOLE, &small());
    assert_eq!(
        (all.len(), stats.cut_lines, stats.skipped_bytes),
        (100, 1, 4900)
    );
}

#[test]
fn compressed_files_give_all_before_their_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = mixed(3000);
    let gzip = gzip(text.as_bytes());
    // By magic: the name says nothing.
    let whole = file(dir.path(), "0.log", &gzip);
    assert_eq!(chunks_of(&whole, 10), [Chunk::WHOLE]);
    let (all, stats, err) = read(&whole, Chunk::WHOLE, &ReadOptions::default());
    assert!(all == text.as_bytes() && err.is_none());
    assert_eq!(stats.bytes_read, gzip.len() as u64);
    let torn = file(dir.path(), "1.log.gz", &gzip[..gzip.len() / 2]);
    let (all, _, err) = read(&torn, Chunk::WHOLE, &ReadOptions::default());
    assert!(all.len() > text.len() / 4 && text.as_bytes().starts_with(&all));
    assert_eq!(err.as_deref(), Some("gzip: ends in the middle"));
    let zstd = file(
        dir.path(),
        "2.log",
        &zstd::encode_all(text.as_bytes(), 1).expect("encodes"),
    );
    assert!(read(&zstd, Chunk::WHOLE, &ReadOptions::default()).0 == text.as_bytes());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("writes");
    encoder.finish().expect("finishes")
}

/// What `read` makes of a compressed file's parts, as they come.
fn with_parts<T: Send>(
    file: &LogFile,
    options: &ReadOptions,
    step: u64,
    read: impl FnOnce(std::sync::mpsc::IntoIter<Part>) -> T + Send,
) -> T {
    let (send, parts) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(parts.into_iter()));
        let stop = AtomicBool::new(false);
        inflate(file, options, Some(step), 1000, &stop, |part| {
            send.send(part).is_ok()
        });
        drop(send);
        reading.join().expect("reads")
    })
}

/// All bytes of the parts, how many parts there are, the lines that were cut, and the error.
fn read_parts(
    file: &LogFile,
    options: &ReadOptions,
    step: u64,
) -> (Vec<u8>, u32, u64, Option<String>) {
    with_parts(file, options, step, |parts| {
        let (mut all, mut count, mut cut, mut failed, mut over) = (Vec::new(), 0, 0, None, false);
        for part in parts {
            assert_eq!(
                (part.index, over),
                (count, false),
                "nothing comes after the last"
            );
            let mut reader = BlockReader::from(part);
            let err = loop {
                match reader.next_block() {
                    Ok(Some(block)) => all.extend_from_slice(block.bytes),
                    Ok(None) => break None,
                    Err(err) => break Some(err.to_string()),
                }
            };
            failed = failed.or(err);
            over = reader.is_last_part().expect("a part");
            cut += reader.stats().cut_lines;
            count += 1;
        }
        assert!(over, "the last part says so");
        (all, count, cut, failed)
    })
}

#[test]
fn parts_of_a_compressed_file_give_the_same_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = mixed(3000);
    let plain = file(dir.path(), "0.log", text.as_bytes());
    let gzip = file(dir.path(), "1.log", &gzip(text.as_bytes()));
    let zstd = zstd::encode_all(text.as_bytes(), 1).expect("encodes");
    let zstd = file(dir.path(), "2.log", &zstd);
    for buffer in [512, 5_000, 100_000] {
        let options = ReadOptions {
            buffer,
            ..ReadOptions::default()
        };
        let whole = decode(&plain, &[Chunk::WHOLE], &options);
        for step in [1, 700, 20_000, 1 << 30] {
            for packed in [&gzip, &zstd] {
                let (all, parts, ..) = read_parts(packed, &options, step);
                assert!(all == text.as_bytes(), "{buffer} {step}");
                let expected = match step {
                    20_000 => 10..60,
                    1_073_741_824 => 1..2,
                    _ => 500..3000,
                };
                assert!(expected.contains(&parts), "{buffer} {step} {parts}");
                let records = with_parts(packed, &options, step, |parts| {
                    decode_all(parts.map(BlockReader::from))
                });
                assert_eq!(records, whole, "{buffer} {step}");
            }
        }
    }
}

#[test]
fn parts_give_all_before_the_damage_and_the_beginnings_of_long_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = mixed(3000);
    let packed = gzip(text.as_bytes());
    let torn = file(dir.path(), "1.log.gz", &packed[..packed.len() / 2]);
    let (all, parts, _, err) = read_parts(&torn, &ReadOptions::default(), 20_000);
    assert!(all.len() > text.len() / 4 && text.as_bytes().starts_with(&all));
    assert!(parts > 3, "{parts}");
    assert_eq!(err.as_deref(), Some("gzip: ends in the middle"));
    let not = LogFile {
        compression: Some(crate::formats::inflate::Compression::Gzip),
        ..file(dir.path(), "gone.log", b"x")
    };
    fs::remove_file(dir.path().join("gone.log")).expect("removes");
    let (all, parts, _, err) = read_parts(&not, &ReadOptions::default(), 20_000);
    assert_eq!((all.len(), parts), (0, 1));
    assert!(err.is_some());
    let empty = file(dir.path(), "empty.gz", &gzip(b""));
    assert_eq!(
        read_parts(&empty, &ReadOptions::default(), 20_000),
        (Vec::new(), 1, 0, None)
    );

    let long = format!("{}\n", "x".repeat(1000));
    let text = [mixed(70), long.repeat(3), mixed(70), long].concat();
    let plain = file(dir.path(), "long.log", text.as_bytes());
    let packed = file(dir.path(), "long.log.gz", &gzip(text.as_bytes()));
    let (whole, stats, _) = read(&plain, Chunk::WHOLE, &small());
    for step in [300, 100_000] {
        let (all, _, cut, err) = read_parts(&packed, &small(), step);
        assert!(all == whole, "{step}");
        assert_eq!((cut, err), (stats.cut_lines, None), "{step}");
    }
}

#[test]
fn inflating_ends_when_nobody_reads() {
    let dir = tempfile::tempdir().expect("a folder");
    let packed = file(dir.path(), "0.log.gz", &gzip(mixed(30_000).as_bytes()));
    let (options, stop) = (small(), AtomicBool::new(false));
    inflate(&packed, &options, None, 1000, &stop, |_| false);
    // A part that is held and not read keeps its buffers.
    let mut held = Vec::new();
    inflate(&packed, &options, None, 1000, &stop, |part| {
        held.push(part);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        true
    });
    assert_eq!(held.len(), 1);
}

#[test]
fn a_reader_that_stops_early_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let zeros = vec![b'\n'; 8 << 20];
    let zstd = file(
        dir.path(),
        "x.log",
        &zstd::encode_all(&zeros[..], 1).expect("encodes"),
    );
    let mut reader = open(&zstd, Chunk::WHOLE, &ReadOptions::default(), Vec::new()).expect("opens");
    assert!(reader.next_block().expect("reads").is_some());
}

#[test]
fn a_command_is_read_and_its_failure_told() {
    let command = |argv: &[&str]| LogFile {
        name: "command".to_owned(),
        source: Source::Command(argv.iter().map(|arg| (*arg).to_owned()).collect()),
        size: 0,
        modified: None,
        compression: None,
        told: crate::logs::input::Told::default(),
    };
    let (all, _, err) = read(
        &command(&["printf", "%s\\n", "a b; c"]),
        Chunk::WHOLE,
        &small(),
    );
    assert_eq!((&*all, err), (&b"a b; c\n"[..], None));
    let (_, _, err) = read(
        &command(&["ls", "/no/such/path/here"]),
        Chunk::WHOLE,
        &small(),
    );
    assert!(err.is_some_and(|err| err.contains("/no/such/path/here")));
    assert!(
        open(
            &command(&["no-such-program-here"]),
            Chunk::WHOLE,
            &small(),
            Vec::new()
        )
        .is_err()
    );
}

#[test]
fn a_file_rotated_away_is_found_by_its_inode() {
    let dir = tempfile::tempdir().expect("a folder");
    let found = file(dir.path(), "0.log", b"old\n");
    fs::rename(dir.path().join("0.log"), dir.path().join("0.log.1")).expect("renames");
    fs::write(dir.path().join("0.log"), "new\n").expect("writes");
    assert_eq!(read(&found, Chunk::WHOLE, &small()).0, b"old\n");
    fs::remove_file(dir.path().join("0.log.1")).expect("removes");
    assert!(open(&found, Chunk::WHOLE, &small(), Vec::new()).is_err());
}

#[test]
fn truncation_while_reading_ends_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = mixed(700);
    let found = file(dir.path(), "0.log", text.as_bytes());
    let chunks = chunks_of(&found, 20_000);
    let mut reader = open(&found, chunks[1], &small(), Vec::new()).expect("opens");
    assert!(reader.next_block().expect("reads").is_some());
    fs::File::options()
        .write(true)
        .open(dir.path().join("0.log"))
        .expect("opens")
        .set_len(0)
        .expect("truncates");
    while reader.next_block().expect("reads").is_some() {}
    assert!(reader.stats().truncated);
}

#[test]
fn following_sees_growth_rotation_and_truncation() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("etcd.log");
    let found = file(dir.path(), "etcd.log", b"before\n");
    let append = |text: &str| {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(&path)
            .expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    };
    let mut follower = Follower::new(&found, From::End, &small()).expect("opens");
    let mut next = || {
        follower
            .poll()
            .expect("polls")
            .map(|block| String::from_utf8_lossy(block.bytes).into_owned())
    };
    assert_eq!(next(), None);
    append("one\nhal");
    assert_eq!(next().as_deref(), Some("one\n"));
    assert_eq!(next(), None);
    append("f\n");
    assert_eq!(next().as_deref(), Some("half\n"));
    append("torn");
    fs::rename(&path, dir.path().join("etcd.log.1")).expect("renames");
    assert_eq!(next(), None);
    append("new\n");
    assert_eq!(next().as_deref(), Some("torn\n"));
    assert_eq!(next().as_deref(), Some("new\n"));
    fs::File::options()
        .write(true)
        .open(&path)
        .expect("opens")
        .set_len(0)
        .expect("truncates");
    append("x\n");
    assert_eq!(next().as_deref(), Some("x\n"));
    assert_eq!(next(), None);
    assert_eq!(follower.generation(), 2);
    let stop = AtomicBool::new(true);
    assert!(follower.next_block(&stop).expect("polls").is_none());
    append("y\n");
    assert!(follower.next_block(&stop).expect("polls").is_some());
}
