//! The file of records: a head, then a ring of slots. Record `n` lies in slot `(n - 1) % slots`,
//! carries its number, the run's and a checksum over pseudo-random bytes made of both, so that an
//! old, torn or foreign slot is never taken for it.

use crate::formats::crc32c;

/// The head and every slot of the smallest size is one block.
pub const HEAD_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"edbarr01";
/// Number, run, length, checksum.
const RECORD_HEAD: usize = 8 + 8 + 4 + 4;
/// The smallest record.
pub const MIN_RECORD: u32 = 64;
/// The largest.
pub const MAX_RECORD: u32 = 1 << 20;

/// What the head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The run.
    pub run: u64,
    /// Bytes of each record.
    pub record_bytes: u32,
    /// Slots in the ring.
    pub slots: u64,
    /// The machine's boot when it was written (`/proc/sys/kernel/random/boot_id`), or nothing.
    pub boot: String,
}

impl Head {
    /// As bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(&self.record_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.slots.to_le_bytes());
        let boot = self.boot.as_bytes();
        let boot = boot.get(..64.min(boot.len())).unwrap_or_default();
        bytes.push(u8::try_from(boot.len()).unwrap_or(0));
        bytes.extend_from_slice(boot);
        let sum = crc32c::update(0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.resize(usize::try_from(HEAD_BYTES).unwrap_or(4096), 0);
        bytes
    }

    /// From the bytes of a file; `None` when they are no whole head.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (run, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let (slots, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first()?;
        let boot = rest.get(..usize::from(*len))?;
        let sum = rest.get(usize::from(*len)..)?.first_chunk::<4>()?;
        let covered = bytes.get(..MAGIC.len() + 8 + 4 + 8 + 1 + boot.len())?;
        let head = Head {
            run: u64::from_le_bytes(*run),
            record_bytes: u32::from_le_bytes(*size),
            slots: u64::from_le_bytes(*slots),
            boot: String::from_utf8(boot.to_vec()).ok()?,
        };
        let whole = crc32c::update(0, covered) == u32::from_le_bytes(*sum);
        let sane = (MIN_RECORD..=MAX_RECORD).contains(&head.record_bytes) && head.slots > 0;
        (whole && sane).then_some(head)
    }

    /// Where a record lies in the file.
    pub fn offset(&self, number: u64) -> u64 {
        let slot = number.saturating_sub(1) % self.slots;
        HEAD_BYTES + slot * u64::from(self.record_bytes)
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        HEAD_BYTES + self.slots.saturating_mul(u64::from(self.record_bytes))
    }
}

/// A record's bytes.
pub fn encode(head: &Head, number: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&number.to_le_bytes());
    into.extend_from_slice(&head.run.to_le_bytes());
    into.extend_from_slice(&head.record_bytes.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    let len = usize::try_from(head.record_bytes).unwrap_or(RECORD_HEAD);
    let mut state = number ^ head.run.rotate_left(17) ^ 0x9e37_79b9_7f4a_7c15;
    while into.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        into.extend_from_slice(&state.to_le_bytes());
    }
    into.truncate(len);
    let sum = crc32c::update(0, into);
    if let Some(place) = into.get_mut(RECORD_HEAD - 4..RECORD_HEAD) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// The number of the whole record of this run in a slot; `None` when there is none.
pub fn decode(head: &Head, slot: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*slot.first_chunk::<8>()?);
    let run = u64::from_le_bytes(*slot.get(8..)?.first_chunk::<8>()?);
    if number == 0 || run != head.run {
        return None;
    }
    let mut expected = Vec::with_capacity(slot.len());
    encode(head, number, &mut expected);
    (expected == slot).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            run: 0xfeed_beef,
            record_bytes: 512,
            slots: 10,
            boot: "5f0c2a1e-0000-4000-8000-000000000001".to_owned(),
        }
    }

    #[test]
    fn heads_and_records_come_back() {
        let head = head();
        let bytes = head.encode();
        assert_eq!(bytes.len() as u64, HEAD_BYTES);
        assert_eq!(Head::decode(&bytes), Some(head.clone()));
        let mut record = Vec::new();
        encode(&head, 13, &mut record);
        assert_eq!((record.len(), decode(&head, &record)), (512, Some(13)));
        assert_eq!(head.offset(13), HEAD_BYTES + 2 * 512);
        assert_eq!(head.file_bytes(), HEAD_BYTES + 5_120);
    }

    #[test]
    fn torn_old_and_foreign_slots_are_none() {
        let head = head();
        let mut record = Vec::new();
        encode(&head, 13, &mut record);
        let mut torn = record.clone();
        torn[300] ^= 1;
        assert_eq!(decode(&head, &torn), None);
        assert_eq!(decode(&head, &record[..511]), None);
        assert_eq!(decode(&head, &[0; 512]), None);
        let other = Head {
            run: 1,
            ..head.clone()
        };
        assert_eq!(decode(&other, &record), None);
        let mut bytes = head.encode();
        bytes[9] ^= 1;
        assert_eq!(Head::decode(&bytes), None);
        assert_eq!(Head::decode(&[]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>) {
            let _ = Head::decode(&bytes);
            proptest::prop_assert_eq!(decode(&head(), &bytes), None);
        }
    }
}
