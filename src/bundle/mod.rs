//! Saved runs: all readings as self-describing records, versioned, without raw logs.

mod unpack;

pub use unpack::{Scratch, is_tarball, unpack};

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, Record};

/// The format's name in the file.
pub const FORMAT: &str = "etcd-doctor/bundle";
/// The format's version. Readers refuse newer ones; unknown keys inside are kept.
pub const VERSION: u32 = 1;
/// Most records a bundle may hold: a forged one must not fill the memory.
const MAX_RECORDS: usize = 1_000_000;
/// Most bytes a bundle may have once decompressed.
const MAX_BYTES: u64 = 512 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    program: String,
    at: Timestamp,
    #[serde(default)]
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

/// Whether the first bytes look like a saved bundle: zstd, or JSON that names the format.
pub fn looks_like(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD])
        || memchr::memmem::find(head, FORMAT.as_bytes()).is_some()
}

/// Reads a bundle, compressed or not.
pub fn load(mut input: impl Read) -> Result<Bundle, String> {
    let mut bytes = Vec::new();
    input
        .by_ref()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| err.to_string())?;
    if bytes.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        #[expect(clippy::disallowed_types, reason = "capped on the next line")]
        let decoder =
            zstd::stream::read::Decoder::new(bytes.as_slice()).map_err(|err| err.to_string())?;
        let mut plain = Vec::new();
        decoder
            .take(MAX_BYTES + 1)
            .read_to_end(&mut plain)
            .map_err(|err| err.to_string())?;
        bytes = plain;
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "larger than {}",
            crate::units::format_bytes(MAX_BYTES)
        ));
    }
    let file: File =
        serde_json::from_slice(&bytes).map_err(|err| format!("not a saved bundle: {err}"))?;
    if file.format != FORMAT {
        return Err(format!("its format is `{}`, not `{FORMAT}`", file.format));
    }
    if file.version > VERSION {
        return Err(format!(
            "saved by a newer release (format version {})",
            file.version
        ));
    }
    if file.records.len() > MAX_RECORDS {
        return Err(format!("more than {MAX_RECORDS} records"));
    }
    let mut evidence = EvidenceSet::new();
    for record in file.records {
        evidence.insert(record);
    }
    evidence.drop_misfits();
    Ok(Bundle {
        at: file.at,
        notes: file.notes,
        evidence,
    })
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
