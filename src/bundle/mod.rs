//! Saved runs: all readings as self-describing records, versioned, without raw logs.

mod scratch;
mod unpack;

pub use scratch::Scratch;
pub use unpack::{is_tarball, unpack};

use std::io::{BufRead as _, BufReader, Read, Write};

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, Reading, Record, Shape};

/// The format's name in the file.
pub const FORMAT: &str = "etcd-doctor/bundle";
/// The format's version. Readers refuse newer ones; unknown keys inside are kept.
pub const VERSION: u32 = 1;
/// Most records a bundle may hold: a forged one must not fill the memory.
const MAX_RECORDS: usize = 200_000;
/// Most cells, buckets, points and episodes in all of them.
const MAX_PARTS: usize = 4_000_000;
/// Most notes taken.
const MAX_NOTES: usize = 1_000;
/// Most bytes a bundle may have once decompressed. Three nodes of a large cluster come to a tenth.
const MAX_BYTES: u64 = 128 << 20;

#[derive(Debug, Serialize)]
struct File {
    format: String,
    version: u32,
    program: String,
    at: Timestamp,
    notes: Vec<String>,
    records: Vec<Record>,
}

/// A bundle that was read.
#[derive(Debug)]
pub struct Bundle {
    /// When it was saved.
    pub at: Timestamp,
    /// What could not be collected when it was saved.
    pub notes: Vec<String>,
    /// The evidence.
    pub evidence: EvidenceSet,
}

/// Writes a bundle, zstd-compressed.
pub fn save(
    out: impl Write,
    at: Timestamp,
    evidence: &EvidenceSet,
    notes: &[String],
) -> std::io::Result<()> {
    let file = File {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        at,
        notes: notes.to_vec(),
        records: evidence.records().cloned().collect(),
    };
    let mut encoder = zstd::Encoder::new(out, 3)?;
    serde_json::to_writer(&mut encoder, &file)?;
    encoder.finish()?.flush()
}

/// Whether the first bytes look like a saved bundle: zstd, or JSON that names the format, or another
/// one of this program, of which [`load`] says that it is not the right one.
pub fn looks_like(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD])
        || memchr::memmem::find(head, FORMAT.as_bytes()).is_some()
        || names_own_format(head)
}

/// Whether a JSON object's first field is `format`, with a format of this program.
fn names_own_format(head: &[u8]) -> bool {
    let value = || {
        let inside = head.trim_ascii_start().strip_prefix(b"{")?;
        let rest = inside.trim_ascii_start().strip_prefix(br#""format""#)?;
        Some(
            rest.trim_ascii_start()
                .strip_prefix(b":")?
                .trim_ascii_start(),
        )
    };
    value().is_some_and(|value| value.starts_with(br#""etcd-doctor"#))
}

/// Whether a compressed file breaks off, or is damaged, before anything comes out of it.
pub fn gives_nothing(input: impl Read) -> bool {
    #[expect(clippy::disallowed_types, reason = "a byte is taken")]
    let Ok(decoder) = zstd::stream::read::Decoder::new(input) else {
        return true;
    };
    let mut first = Vec::new();
    decoder.take(1).read_to_end(&mut first).is_err() && first.is_empty()
}

/// Whether a compressed file begins as a saved bundle does.
pub fn is_saved(input: impl Read) -> bool {
    #[expect(clippy::disallowed_types, reason = "a few bytes are taken")]
    let Ok(decoder) = zstd::stream::read::Decoder::new(input) else {
        return false;
    };
    let mut head = Vec::new();
    // What broke off later was still a bundle.
    decoder.take(512).read_to_end(&mut head).ok();
    memchr::memmem::find(&head, FORMAT.as_bytes()).is_some()
}

/// Reads a bundle, compressed or not. Records are taken one by one, so that a file that unpacks to
/// more than it may costs no more memory than what was taken by then.
pub fn load(input: impl Read) -> Result<Bundle, String> {
    let mut input = BufReader::new(input);
    let head = input.fill_buf().map_err(|err| err.to_string())?;
    #[expect(clippy::disallowed_types, reason = "capped on the next line")]
    let plain: Box<dyn Read> = if head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(|err| err.to_string())?)
    } else {
        Box::new(input)
    };
    let mut capped = BufReader::with_capacity(1 << 16, plain.take(MAX_BYTES + 1));
    let loaded = {
        let mut json = serde_json::Deserializer::from_reader(&mut capped);
        json.deserialize_map(FileVisitor)
            .and_then(|bundle| json.end().map(|()| bundle))
    };
    if capped.get_ref().limit() == 0 {
        return Err(format!(
            "larger than {}",
            crate::units::format_bytes(MAX_BYTES)
        ));
    }
    let mut bundle = loaded.map_err(|err| format!("not a saved bundle: {err}"))?;
    bundle.evidence.drop_misfits();
    Ok(bundle)
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = Bundle;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object of the format `{FORMAT}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bundle, A::Error> {
        let (mut format, mut version) = (false, false);
        let mut at = None;
        let mut notes = Vec::new();
        let mut evidence = None;
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "format" => {
                    let name: String = map.next_value()?;
                    if name != FORMAT {
                        return Err(A::Error::custom(format!(
                            "its format is `{}`, not `{FORMAT}`",
                            name.chars().take(60).collect::<String>()
                        )));
                    }
                    format = true;
                }
                "version" => {
                    let number: u32 = map.next_value()?;
                    if number > VERSION {
                        return Err(A::Error::custom(format!(
                            "it was saved by a newer release (format version {number})"
                        )));
                    }
                    version = true;
                }
                "at" => at = Some(map.next_value()?),
                "notes" => {
                    notes = map.next_value()?;
                }
                "records" => evidence = Some(map.next_value::<Records>()?.0),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !format || !version {
            return Err(A::Error::custom("its format and version are not there"));
        }
        notes.truncate(MAX_NOTES);
        Ok(Bundle {
            at: at.ok_or_else(|| A::Error::missing_field("at"))?,
            notes,
            evidence: evidence.ok_or_else(|| A::Error::missing_field("records"))?,
        })
    }
}

struct Records(EvidenceSet);

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RecordsVisitor)
    }
}

struct RecordsVisitor;

impl<'de> Visitor<'de> for RecordsVisitor {
    type Value = Records;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Records, A::Error> {
        let mut evidence = EvidenceSet::new();
        let (mut records, mut parts) = (0, 0);
        while let Some(record) = seq.next_element::<Record>()? {
            records += 1;
            parts += parts_of(&record);
            if records > MAX_RECORDS || parts > MAX_PARTS {
                return Err(A::Error::custom(format!(
                    "more than {MAX_RECORDS} records or {MAX_PARTS} cells"
                )));
            }
            evidence.insert(record);
        }
        Ok(Records(evidence))
    }
}

/// How many cells, buckets, points or episodes a record holds.
fn parts_of(record: &Record) -> usize {
    let own = match &record.value {
        Reading::Known(Shape::Table(table)) => {
            table.rows.iter().map(|row| 1 + row.cells.len()).sum()
        }
        Reading::Known(Shape::Histogram(histogram)) => histogram.buckets.len(),
        Reading::Known(Shape::Series(series)) => series.points.len(),
        Reading::Known(Shape::Episodes(episodes)) => episodes.episodes.len(),
        Reading::Known(Shape::Scalar(_)) | Reading::Missing(_) => 1,
    };
    own + record.covered.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Subject, Window, keys};

    fn some() -> EvidenceSet {
        let mut set = EvidenceSet::new();
        let origin = Origin::new(Collector::Logs, "0.log");
        set.put(
            &keys::LOGS_LINES,
            Subject::cluster(),
            Window::default(),
            origin,
            7,
        );
        set
    }

    #[test]
    fn what_was_saved_comes_back() {
        let mut file = Vec::new();
        save(
            &mut file,
            Timestamp(5_000),
            &some(),
            &["no root".to_owned()],
        )
        .unwrap();
        assert!(looks_like(&file));
        let bundle = load(file.as_slice()).unwrap();
        assert_eq!(bundle.evidence, some());
        assert_eq!(bundle.notes, ["no root"]);
        assert_eq!(bundle.at, Timestamp(5_000));
    }

    #[test]
    fn foreign_newer_and_torn_files_are_refused_and_unknown_keys_kept() {
        assert!(load(&b"{}"[..]).is_err());
        assert!(load(&b"\x28\xB5\x2F\xFDgarbage"[..]).is_err());
        let other = br#"{ "format" : "etcd-doctor-bundle","version":99}"#;
        assert!(looks_like(other) && load(&other[..]).unwrap_err().contains("etcd-doctor-bundle"));
        assert!(!looks_like(br#"{"level":"info","format":"etcd-doctor"}"#));
        let mut whole = Vec::new();
        save(&mut whole, Timestamp(5_000), &some(), &[]).unwrap();
        assert!(!gives_nothing(whole.as_slice()));
        let (torn, _) = whole.split_at(whole.len() / 2);
        assert!(gives_nothing(torn));
        let newer = format!(
            r#"{{"format":"{FORMAT}","version":99,"program":"9","at":"2026-01-01T00:00:00Z","records":[]}}"#
        );
        assert!(load(newer.as_bytes()).unwrap_err().contains("newer"));
        let unknown = format!(
            r#"{{"format":"{FORMAT}","version":1,"program":"1","at":"2026-01-01T00:00:00Z","records":[
              {{"key":"new.key","subject":{{"kind":"cluster"}},"origin":{{"collector":"logs","source":"x"}},"value":{{"known":{{"scalar":{{"int":1}}}}}}}},
              {{"key":"logs.lines","subject":{{"kind":"cluster"}},"origin":{{"collector":"logs","source":"x"}},"value":{{"known":{{"table":{{"rows":[]}}}}}}}}
            ]}}"#
        );
        let bundle = load(unknown.as_bytes()).unwrap();
        assert_eq!(
            bundle.evidence.len(),
            1,
            "the unknown key stays, the misfit goes"
        );
        assert_eq!(bundle.evidence.conflicts().len(), 1);
    }
}
