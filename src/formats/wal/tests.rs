//! Reading etcd's WAL, its own and torn ones.

use super::*;

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

fn frame(kind: u64, crc: u32, data: &[u8], into: &mut Vec<u8>) {
    let mut record = vec![8];
    varint(kind, &mut record);
    record.push(16);
    varint(u64::from(crc), &mut record);
    if !data.is_empty() {
        record.push(26);
        varint(data.len() as u64, &mut record);
        record.extend_from_slice(data);
    }
    let padding = (8 - record.len() % 8) % 8;
    let mut field = record.len() as u64;
    if padding > 0 {
        field |= (0x80 | padding as u64) << 56;
    }
    into.extend_from_slice(&field.to_le_bytes());
    into.extend_from_slice(&record);
    into.resize(into.len() + padding, 0);
}

/// A segment as etcd writes one: checksum, metadata, then these records.
fn segment(records: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut crc = 0;
    frame(4, 0, &[], &mut bytes);
    for (kind, data) in records {
        crc = crc32c::update(crc, data);
        frame(*kind, crc, data, &mut bytes);
    }
    bytes
}

fn entry(term: u64, index: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 16];
    varint(term, &mut bytes);
    bytes.push(24);
    varint(index, &mut bytes);
    bytes.push(34);
    varint(data.len() as u64, &mut bytes);
    bytes.extend_from_slice(data);
    bytes
}

fn state(commit: u64) -> Vec<u8> {
    let mut bytes = vec![8, 2, 16, 1, 24];
    varint(commit, &mut bytes);
    bytes
}

fn read(bytes: &[u8]) -> (Vec<(Kind, usize)>, End, u64) {
    let mut reader = Reader::new(bytes);
    let mut seen = Vec::new();
    while let Some(record) = reader.next() {
        seen.push((record.kind, record.data.len()));
    }
    (seen, reader.end().unwrap().clone(), reader.offset())
}

#[test]
fn a_segment_ends_at_its_zeroes() {
    let put = entry(2, 7, &[0xab; 300]);
    let mut bytes = segment(&[(1, vec![1; 20]), (2, put.clone()), (3, state(7))]);
    let valid = bytes.len() as u64;
    bytes.resize(bytes.len() + 4096, 0);
    let (seen, end, offset) = read(&bytes);
    assert_eq!(
        seen,
        [
            (Kind::Crc, 0),
            (Kind::Metadata, 20),
            (Kind::Entry, put.len()),
            (Kind::State, state(7).len())
        ]
    );
    assert_eq!((end, offset), (End::Clean, valid));
    let parsed = parse_entry(&put).unwrap();
    assert_eq!((parsed.term, parsed.index, parsed.data.len()), (2, 7, 300));
    assert_eq!(parse_state(&state(7)).unwrap().commit, 7);
}

#[test]
fn real_segments_of_two_versions_are_read_to_their_end() {
    for (bytes, puts) in [
        (
            &include_bytes!("../../../tests/fixtures/wal/etcd-3.4.23.wal")[..],
            4,
        ),
        (
            &include_bytes!("../../../tests/fixtures/wal/etcd-3.5.1.wal")[..],
            4,
        ),
    ] {
        let mut reader = Reader::new(bytes);
        let (mut indexes, mut large, mut batches) = (Vec::new(), 0, 0);
        let mut batcher = Batcher::default();
        while let Some(record) = reader.next() {
            if record.kind == Kind::Entry {
                let entry = parse_entry(record.data).unwrap();
                indexes.push(entry.index);
                large += usize::from(entry.data.len() > 160 && !entry.conf_change);
            }
            batches += usize::from(batcher.push(&record).is_some());
        }
        assert_eq!(reader.end(), Some(&End::Clean));
        assert!(
            indexes.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{indexes:?}"
        );
        assert!(
            indexes.len() >= puts && batches >= puts,
            "{} entries, {batches} batches",
            indexes.len()
        );
        assert!(large >= puts, "{large}");
    }
}

#[test]
fn a_crash_is_torn_and_a_flipped_bit_is_corrupt() {
    let records = [(1, vec![1; 20]), (2, entry(2, 7, &[0xab; 3_000]))];
    let whole = segment(&records);
    let torn = |why| End::Torn { why };
    // The file was not preallocated and ends early.
    assert_eq!(
        read(&whole[..whole.len() - 100]).1,
        torn("the file ends inside a record")
    );
    assert_eq!(
        read(&whole[..4]).1,
        torn("the file ends inside a length field")
    );
    // Preallocated: a sector in the middle never reached the disk.
    let mut hole = whole.clone();
    hole[1024..1536].fill(0);
    let (seen, end, _) = read(&hole);
    assert_eq!(seen.len(), 2);
    assert_eq!(end, torn("a sector of the last record was never written"));
    let mut flipped = whole;
    flipped[1024] ^= 1;
    assert_eq!(
        read(&flipped).1,
        End::Corrupt {
            why: "a wrong checksum"
        }
    );
    assert_eq!(
        read(&[0xff; 64]).1,
        End::Corrupt {
            why: "a length that no record has"
        }
    );
    assert_eq!(read(&[]).1, End::Clean);
}

#[test]
fn checksums_roll_into_the_next_segment() {
    let first = segment(&[(2, entry(1, 1, b"one"))]);
    let crc = crc32c::update(0, &entry(1, 1, b"one"));
    let mut second = Vec::new();
    frame(4, crc, &[], &mut second);
    let mut reader = Reader::new(first.as_slice());
    while reader.next().is_some() {}
    let mut next = reader.next_segment(second.as_slice());
    assert_eq!(next.next().unwrap().kind, Kind::Crc);
    // A segment of another log.
    let mut reader = Reader::new(first.as_slice());
    while reader.next().is_some() {}
    let mut foreign = Vec::new();
    frame(4, crc ^ 1, &[], &mut foreign);
    let mut next = reader.next_segment(foreign.as_slice());
    assert!(next.next().is_none());
    assert!(matches!(next.end(), Some(End::Corrupt { .. })));
}

#[test]
fn batches_end_at_states_and_lone_states_ride_along() {
    let records = [
        (2, entry(1, 1, &[1; 100])),
        (2, entry(1, 2, &[1; 200])),
        (3, state(1)),
        (3, state(2)),
        (2, entry(1, 3, &[1; 100])),
        (3, state(2)),
        (2, entry(1, 4, &[1; 100])),
    ];
    let bytes = segment(&records);
    let mut reader = Reader::new(bytes.as_slice());
    let mut batcher = Batcher::default();
    let mut batches = Vec::new();
    while let Some(record) = reader.next() {
        batches.extend(batcher.push(&record));
    }
    batches.extend(batcher.finish());
    let entries: Vec<u32> = batches.iter().map(|b| b.entries).collect();
    assert_eq!(entries, [2, 1, 1]);
    assert!(
        batches[1].bytes > batches[2].bytes,
        "the lone state is in it"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_and_never_claim_more_than_there_is(bytes: Vec<u8>) {
        let (_, _, offset) = read(&bytes);
        proptest::prop_assert!(offset <= bytes.len() as u64);
        let _ = parse_entry(&bytes);
        let _ = parse_state(&bytes);
    }

    #[test]
    fn a_cut_keeps_every_whole_record(
        sizes in proptest::collection::vec(1usize..2_000, 1..20),
        cut: proptest::sample::Index,
    ) {
        let records: Vec<(u64, Vec<u8>)> = sizes.iter().enumerate()
            .map(|(i, size)| (2, entry(1, i as u64, &vec![7; *size]))).collect();
        let bytes = segment(&records);
        let at = cut.index(bytes.len());
        let (seen, end, offset) = read(&bytes[..at]);
        let corrupt = matches!(end, End::Corrupt { .. });
        proptest::prop_assert!(!corrupt);
        let (all, ..) = read(&bytes);
        proptest::prop_assert_eq!(all.len(), sizes.len() + 1);
        proptest::prop_assert_eq!(&seen[..], &all[..seen.len()]);
        proptest::prop_assert!(offset <= at as u64);
    }
}
