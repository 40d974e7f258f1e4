//! What is read of answers.

use super::fields::{Fields, Value};

/// The revision in an answer's header, or 0.
fn revision(answer: &[u8]) -> i64 {
    header(answer, 3)
}

/// A field of an answer's header: 1 cluster, 2 member, 3 revision, 4 term.
fn header(answer: &[u8], wanted: u32) -> i64 {
    Fields::new(answer)
        .find(|(field, _)| *field == 1)
        .and_then(|(_, header)| Fields::new(header.bytes()).find(|(field, _)| *field == wanted))
        .map_or(0, |(_, value)| value.int())
}

/// What a range answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranged {
    /// Revision of the store.
    pub revision: i64,
    /// Keys in this answer.
    pub keys: u64,
    /// Keys in the range, in this answer or not.
    pub count: i64,
    /// Whether there are more after the last key.
    pub more: bool,
    /// Mod revision of the first key, or 0.
    pub mod_revision: i64,
}

/// Reads the answer of a range, without its values.
pub fn ranged(answer: &[u8]) -> Ranged {
    let mut ranged = Ranged {
        revision: revision(answer),
        ..Ranged::default()
    };
    for (field, value) in Fields::new(answer) {
        match field {
            2 => {
                ranged.keys += 1;
                if ranged.keys == 1 {
                    ranged.mod_revision = Fields::new(value.bytes())
                        .find(|(field, _)| *field == 3)
                        .map_or(0, |(_, value)| value.int());
                }
            }
            3 => ranged.more = value.int() != 0,
            4 => ranged.count = value.int(),
            _ => {}
        }
    }
    ranged
}

/// The keys in a range's answer, in order.
pub fn keys(answer: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(answer)
        .filter(|(field, _)| *field == 2)
        .filter_map(|(_, kv)| {
            Fields::new(kv.bytes())
                .find(|(field, _)| *field == 1)
                .map(|(_, key)| key.bytes())
        })
}

/// Whether a transaction's comparison held, and the revision after it.
pub fn txn_answer(answer: &[u8]) -> (bool, i64) {
    let held = Fields::new(answer)
        .find(|(field, _)| *field == 2)
        .is_some_and(|(_, value)| value.int() != 0);
    (held, revision(answer))
}

/// The mod revision that a failed update's range found, or 0 when the key is not there.
pub fn txn_found(answer: &[u8]) -> i64 {
    Fields::new(answer)
        .find(|(field, _)| *field == 3)
        .and_then(|(_, op)| Fields::new(op.bytes()).find(|(field, _)| *field == 1))
        .map_or(0, |(_, range)| ranged(range.bytes()).mod_revision)
}

/// A granted or renewed lease: id, time to live in seconds (0: it is gone).
pub fn leased(answer: &[u8]) -> (i64, i64) {
    let mut lease = (0, 0);
    for (field, value) in Fields::new(answer) {
        match field {
            2 => lease.0 = value.int(),
            3 => lease.1 = value.int(),
            _ => {}
        }
    }
    lease
}

/// What one message of a watch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The watch was opened.
    pub created: bool,
    /// The watch was ended by the server.
    pub canceled: bool,
    /// Events in this message.
    pub events: u64,
}

/// Reads a message of a watch; `on_value` sees each event's value.
pub fn watched(answer: &[u8], mut on_value: impl FnMut(&[u8])) -> Watched {
    let mut watched = Watched::default();
    for (field, value) in Fields::new(answer) {
        match field {
            3 => watched.created = value.int() != 0,
            4 => watched.canceled = value.int() != 0,
            11 => {
                watched.events += 1;
                let kv = Fields::new(value.bytes()).find(|(field, _)| *field == 2);
                let text = kv.and_then(|(_, kv)| Fields::new(kv.bytes()).find(|(f, _)| *f == 5));
                on_value(text.map_or(&[][..], |(_, text)| text.bytes()));
            }
            _ => {}
        }
    }
    watched
}

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The cluster's id.
    pub cluster: u64,
    /// Its id.
    pub member: u64,
    /// Revision of its store.
    pub revision: i64,
    /// Its version.
    pub version: String,
    /// Bytes of its database file.
    pub db_size: i64,
    /// Bytes of it in use; 0 before 3.4.
    pub db_in_use: i64,
    /// The quota; 0 where the server does not say (before 3.6.6).
    pub quota: i64,
    /// The leader's id; 0 for none.
    pub leader: u64,
    /// Raft term.
    pub term: i64,
    /// Whether it is a learner.
    pub learner: bool,
    /// Alarms and other errors, as the server words them (from 3.4 on).
    pub errors: Vec<String>,
}

/// Reads a status.
pub fn status(answer: &[u8]) -> Status {
    let mut status = Status {
        cluster: header(answer, 1).cast_unsigned(),
        member: header(answer, 2).cast_unsigned(),
        revision: revision(answer),
        ..Status::default()
    };
    for (field, value) in Fields::new(answer) {
        match field {
            2 => status.version = text(value),
            3 => status.db_size = value.int(),
            4 => status.leader = value.int().cast_unsigned(),
            6 => status.term = value.int(),
            8 => status.errors.push(text(value)),
            9 => status.db_in_use = value.int(),
            10 => status.learner = value.int() != 0,
            12 => status.quota = value.int(),
            _ => {}
        }
    }
    status
}

/// One member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where clients reach it, as it says.
    pub client_urls: Vec<String>,
}

/// Reads a member list.
pub fn members(answer: &[u8]) -> Vec<Member> {
    Fields::new(answer)
        .filter(|(field, _)| *field == 2)
        .map(|(_, value)| {
            let mut member = Member::default();
            for (field, value) in Fields::new(value.bytes()) {
                match field {
                    1 => member.id = value.int().cast_unsigned(),
                    2 => member.name = text(value),
                    4 => member.client_urls.push(text(value)),
                    _ => {}
                }
            }
            member
        })
        .collect()
}

/// The token in an answer to a name and password.
pub fn token(answer: &[u8]) -> String {
    Fields::new(answer)
        .find(|(field, _)| *field == 2)
        .map_or_else(String::new, |(_, value)| text(value))
}

fn text(value: Value<'_>) -> String {
    String::from_utf8_lossy(value.bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read_by_field_and_the_rest_is_skipped() {
        // header { cluster 1, member 2, revision 300, term 4 }, kvs { key, mod 5 }, more, count 9
        let answer = [
            0x0a, 9, 0x08, 1, 0x10, 2, 0x18, 0xac, 0x02, 0x20, 4, // header
            0x12, 5, 0x0a, 1, b'k', 0x18, 5, // kv
            0x12, 3, 0x0a, 1, b'l', // kv without revision
            0x18, 1, 0x20, 9, // more, count
            0x9a, 0x06, 1, 0xff, // a field of the future
        ];
        assert_eq!(
            ranged(&answer),
            Ranged {
                revision: 300,
                keys: 2,
                count: 9,
                more: true,
                mod_revision: 5
            }
        );
        assert_eq!(keys(&answer).collect::<Vec<_>>(), [b"k", b"l"]);
        assert_eq!(txn_answer(&[0x0a, 2, 0x18, 7, 0x10, 1]), (true, 7));
        assert_eq!(txn_answer(&[0x0a, 2, 0x18, 7]), (false, 7));
    }

    #[test]
    fn a_status_tells_leader_sizes_and_alarms() {
        let answer = [
            &[0x0a, 4, 0x08, 1, 0x10, 2][..],
            &[0x12, 3],
            b"3.5",
            &[0x18, 10, 0x20, 2, 0x30, 3, 0x42, 5],
            b"alarm",
            &[0x48, 5, 0x60, 99],
        ]
        .concat();
        let status = status(&answer);
        assert_eq!((status.member, status.leader, status.term), (2, 2, 3));
        assert_eq!((status.db_size, status.db_in_use), (10, 5));
        assert_eq!((status.quota, status.version.as_str()), (99, "3.5"));
        assert_eq!(status.errors, ["alarm"]);
    }

    #[test]
    fn watch_events_are_counted_and_their_values_seen() {
        let answer = [0x5a, 5, 0x12, 3, 0x2a, 1, b'x', 0x5a, 2, 0x08, 1];
        let mut values = Vec::new();
        let watched = watched(&answer, |value| values.push(value.to_vec()));
        assert_eq!(watched.events, 2);
        assert_eq!(values, [b"x".to_vec(), Vec::new()]);
    }

    proptest! {
        #[test]
        fn torn_answers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ranged(&bytes);
            let _ = status(&bytes);
            let _ = members(&bytes);
            let _ = txn_answer(&bytes);
            let _ = txn_found(&bytes);
            let _ = leased(&bytes);
            let _ = watched(&bytes, |_| {});
        }
    }
}
