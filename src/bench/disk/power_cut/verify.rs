//! After the cut: is everything there that the peer was told of?

use std::io::{self, Read};

use crate::formats::bench::power_cut::{FORMAT, PowerCut, Proof, VERSION};

use super::ring::{HEAD_BYTES, Head, decode};

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The head.
    pub head: Head,
    /// By slot, the number of the whole record in it.
    slots: Vec<Option<u64>>,
}

/// Most slots that are read.
const MAX_SLOTS: u64 = 64 << 20;

impl Found {
    /// Reads the file. `None` when its head is not whole: then everything is lost.
    pub fn read(mut file: impl Read) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; usize::try_from(HEAD_BYTES).unwrap_or(4096)];
        if fill(&mut file, &mut bytes)? < bytes.len() {
            return Ok(None);
        }
        let Some(head) = Head::decode(&bytes) else {
            return Ok(None);
        };
        let mut slots = Vec::new();
        let mut slot = vec![0; usize::try_from(head.record_bytes).unwrap_or(64)];
        for _ in 0..head.slots.min(MAX_SLOTS) {
            // What cannot be read is lost; a short file has lost its end.
            let whole = fill(&mut file, &mut slot).is_ok_and(|count| count == slot.len());
            slots.push(if whole { decode(&head, &slot) } else { None });
        }
        Ok(Some(Found { head, slots }))
    }

    fn newest(&self) -> Option<u64> {
        self.slots.iter().flatten().copied().max()
    }

    fn has(&self, number: u64) -> bool {
        let slot = number.saturating_sub(1) % self.head.slots;
        let slot = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.slots.get(slot));
        slot.copied().flatten() == Some(number)
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(done)
}

/// What was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The machine, whose present boot this is.
    Machine {
        /// `/proc/sys/kernel/random/boot_id`, where it can be read.
        boot: Option<String>,
    },
    /// The disk alone, as the user says.
    DiskOnly,
}

/// Compares what is there with what the peer knows of the run. `run` and `acknowledged` come from
/// its log.
pub fn judge(found: Option<&Found>, run: u64, acknowledged: u64, cut: &Cut) -> PowerCut {
    let mut answer = PowerCut {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        run: format!("{run:016x}"),
        acknowledged,
        ..PowerCut::default()
    };
    if acknowledged == 0 {
        "the peer was told of no record of this run, so nothing can be missing"
            .clone_into(&mut answer.why);
        return answer;
    }
    let Some(found) = found else {
        answer.expected = acknowledged;
        answer.lost = acknowledged;
        answer.first_lost = Some(1);
        answer.proof = Proof::AcknowledgedLost;
        answer.why = format!(
            "the file of records is gone or not whole, and {acknowledged} records in it were acknowledged"
        );
        return answer;
    };
    // What was under way beyond the newest may have torn one more slot, the oldest one's.
    let newest = found.newest().unwrap_or(0).max(acknowledged);
    let oldest = (newest + 2).saturating_sub(found.head.slots).max(1);
    answer.newest = found.newest();
    answer.expected = (acknowledged + 1).saturating_sub(oldest);
    answer.first_lost = (oldest..=acknowledged).find(|number| !found.has(*number));
    answer.intact = (oldest..=acknowledged)
        .filter(|number| found.has(*number))
        .count() as u64;
    answer.lost = answer.expected - answer.intact;
    answer.restarted = match cut {
        Cut::Machine { boot } => boot
            .as_ref()
            .filter(|_| !found.head.boot.is_empty())
            .map(|boot| *boot != found.head.boot),
        Cut::DiskOnly => None,
    };
    if answer.lost > 0 {
        answer.proof = Proof::AcknowledgedLost;
        answer.why = format!(
            "{} of {} acknowledged records are gone, from record {} on: a flush was acknowledged that had not happened",
            answer.lost,
            answer.expected,
            answer.first_lost.unwrap_or(0)
        );
    } else if answer.restarted == Some(false) {
        "all acknowledged records are there, but this machine was not started anew since they were written: no power was cut".clone_into(&mut answer.why);
    } else if answer.restarted.is_none() && *cut != Cut::DiskOnly {
        "all acknowledged records are there, but it cannot be told whether this machine was started anew since".clone_into(&mut answer.why);
    } else {
        answer.proof = Proof::ProvenByPowerCut;
        answer.why = format!(
            "all {} acknowledged records are there after the cut, if the power of the disk itself was cut: a reset or a virtual machine's crash proves nothing",
            answer.expected
        );
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::ring::encode;
    use super::*;

    const BOOT: &str = "5f0c2a1e-0000-4000-8000-000000000001";

    /// The file after so many records, with these lost.
    fn file(written: u64, slots: u64, lost: &[u64]) -> Vec<u8> {
        let head = Head {
            run: 7,
            record_bytes: 64,
            slots,
            boot: BOOT.to_owned(),
        };
        let mut bytes = head.encode();
        bytes.resize(usize::try_from(head.file_bytes()).unwrap(), 0);
        let mut record = Vec::new();
        for number in (1..=written).filter(|n| !lost.contains(n)) {
            encode(&head, number, &mut record);
            let at = usize::try_from(head.offset(number)).unwrap();
            bytes[at..at + 64].copy_from_slice(&record);
        }
        bytes
    }

    fn judged(bytes: &[u8], acknowledged: u64, cut: &Cut) -> PowerCut {
        judge(Found::read(bytes).unwrap().as_ref(), 7, acknowledged, cut)
    }

    fn restarted() -> Cut {
        Cut::Machine {
            boot: Some("another".to_owned()),
        }
    }

    #[test]
    fn everything_there_is_a_proof_only_after_a_cut() {
        let bytes = file(8, 10, &[]);
        let proven = judged(&bytes, 8, &restarted());
        assert_eq!(
            (proven.proof, proven.intact, proven.lost),
            (Proof::ProvenByPowerCut, 8, 0)
        );
        let same = Cut::Machine {
            boot: Some(BOOT.to_owned()),
        };
        assert_eq!(judged(&bytes, 8, &same).proof, Proof::NotProven);
        assert_eq!(
            judged(&bytes, 8, &Cut::Machine { boot: None }).proof,
            Proof::NotProven
        );
        assert_eq!(
            judged(&bytes, 8, &Cut::DiskOnly).proof,
            Proof::ProvenByPowerCut
        );
        assert_eq!(judged(&bytes, 0, &restarted()).proof, Proof::NotProven);
    }

    #[test]
    fn one_lost_record_is_enough() {
        let lost = judged(&file(8, 10, &[5]), 8, &restarted());
        assert_eq!(
            (lost.proof, lost.lost, lost.first_lost),
            (Proof::AcknowledgedLost, 1, Some(5))
        );
        // Not even a restart is needed for that.
        let same = Cut::Machine {
            boot: Some(BOOT.to_owned()),
        };
        assert_eq!(
            judged(&file(8, 10, &[5]), 8, &same).proof,
            Proof::AcknowledgedLost
        );
        // What was under way may be missing.
        assert_eq!(
            judged(&file(8, 10, &[8]), 7, &restarted()).proof,
            Proof::ProvenByPowerCut
        );
        let gone = judge(None, 7, 90, &restarted());
        assert_eq!((gone.proof, gone.lost), (Proof::AcknowledgedLost, 90));
    }

    #[test]
    fn a_ring_expects_only_what_it_can_hold() {
        let all = judged(&file(25, 10, &[]), 25, &restarted());
        assert_eq!((all.proof, all.expected), (Proof::ProvenByPowerCut, 9));
        // The record under way was torn in the slot of the oldest.
        let torn = judged(&file(25, 10, &[16]), 25, &restarted());
        assert_eq!(torn.proof, Proof::ProvenByPowerCut);
        // The newest is beyond what was acknowledged and took an old one's place.
        let beyond = judged(&file(26, 10, &[]), 25, &restarted());
        assert_eq!(
            (beyond.proof, beyond.expected, beyond.newest),
            (Proof::ProvenByPowerCut, 8, Some(26))
        );
        // The disk went back to an older state: slots hold records of the round before.
        let old = judged(&file(18, 10, &[]), 25, &restarted());
        assert_eq!((old.proof, old.lost), (Proof::AcknowledgedLost, 7));
    }

    #[test]
    fn a_short_file_has_lost_its_end() {
        let bytes = file(8, 10, &[]);
        let short = judged(&bytes[..bytes.len() - 5 * 64], 8, &restarted());
        assert_eq!((short.lost, short.first_lost), (3, Some(6)));
        assert!(Found::read(&bytes[..100]).unwrap().is_none());
    }
}
