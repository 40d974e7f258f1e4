//! etcd's protocol, as far as a load needs it: requests written by hand, answers read by field.
//!
//! Generated types would cost an allocation for each field of each request; a load wants to
//! measure the server, not itself. Field numbers are those of etcd's `api/etcdserverpb/rpc.proto`
//! and `api/mvccpb/kv.proto`, unchanged from 3.0 on. What an answer holds beyond the fields that
//! are read here is skipped, so newer servers are no problem.

use bytes::{BufMut, Bytes, BytesMut};

/// The calls that are made, as the paths that gRPC sends.
pub mod path {
    /// `KV/Put`.
    pub const PUT: &str = "/etcdserverpb.KV/Put";
    /// `KV/Range`.
    pub const RANGE: &str = "/etcdserverpb.KV/Range";
    /// `KV/Txn`.
    pub const TXN: &str = "/etcdserverpb.KV/Txn";
    /// `KV/DeleteRange`.
    pub const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
    /// `Lease/LeaseGrant`.
    pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    /// `Lease/LeaseRevoke`.
    pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
    /// `Lease/LeaseKeepAlive`, a stream.
    pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    /// `Watch/Watch`, a stream.
    pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
    /// `Maintenance/Status`.
    pub const STATUS: &str = "/etcdserverpb.Maintenance/Status";
    /// `Cluster/MemberList`.
    pub const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
    /// `Auth/Authenticate`.
    pub const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
}

/// Writes one gRPC message into a buffer that is used again and again.
///
/// The five bytes of gRPC's own header come first and are filled in by [`Message::finish`].
#[derive(Debug)]
pub struct Message<'a> {
    buffer: &'a mut BytesMut,
}

/// gRPC: one byte of flags and four of length before each message.
pub const PREFIX: usize = 5;

impl<'a> Message<'a> {
    /// Begins a message; `size` is a guess at its length.
    pub fn new(buffer: &'a mut BytesMut, size: usize) -> Self {
        debug_assert!(buffer.is_empty(), "the last message was split off");
        buffer.reserve(size + PREFIX);
        buffer.put_bytes(0, PREFIX);
        Message { buffer }
    }

    /// A field of bytes. Empty ones are left out, as protobuf does.
    pub fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        if !value.is_empty() {
            put_varint(self.buffer, u64::from(field << 3 | 2));
            put_varint(self.buffer, value.len() as u64);
            self.buffer.put_slice(value);
        }
        self
    }

    /// A whole number or a flag. Zero is left out, as protobuf does.
    pub fn int(&mut self, field: u32, value: i64) -> &mut Self {
        if value != 0 {
            put_varint(self.buffer, u64::from(field << 3));
            // Protobuf's int64: negative numbers as two's complement.
            put_varint(self.buffer, value.cast_unsigned());
        }
        self
    }

    /// Begins a message inside this one that will be exactly `size` bytes long.
    pub fn nested(&mut self, field: u32, size: usize) -> &mut Self {
        put_varint(self.buffer, u64::from(field << 3 | 2));
        put_varint(self.buffer, size as u64);
        self
    }

    /// Fills in the length and takes the message out of the buffer.
    pub fn finish(self) -> Bytes {
        let length = u32::try_from(self.buffer.len() - PREFIX).unwrap_or(u32::MAX);
        if let Some(prefix) = self.buffer.get_mut(1..PREFIX) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        self.buffer.split().freeze()
    }
}

/// How long a field of bytes is on the wire.
pub fn bytes_len(field: u32, length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    varint_len(u64::from(field << 3 | 2)) + varint_len(length as u64) + length
}

/// How long a whole number is on the wire.
pub fn int_len(field: u32, value: i64) -> usize {
    if value == 0 {
        return 0;
    }
    varint_len(u64::from(field << 3)) + varint_len(value.cast_unsigned())
}

fn put_varint(buffer: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8((value & 0x7f) as u8);
}

fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one too.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// What a range asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// First key.
    pub key: &'a [u8],
    /// End of the range, itself not in it; empty for one key.
    pub end: &'a [u8],
    /// Most keys to answer with; 0 for all.
    pub limit: i64,
    /// The revision to read at; 0 for the newest.
    pub revision: i64,
    /// Whether the member may answer by itself, without asking for the leader's index.
    pub serializable: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
}

impl Range<'_> {
    /// Writes the request.
    pub fn encode(&self, buffer: &mut BytesMut) -> Bytes {
        let mut message = Message::new(buffer, self.key.len() + self.end.len() + 32);
        message
            .bytes(1, self.key)
            .bytes(2, self.end)
            .int(3, self.limit)
            .int(4, self.revision)
            .int(7, i64::from(self.serializable))
            .int(8, i64::from(self.keys_only))
            .int(9, i64::from(self.count_only));
        message.finish()
    }

    fn len(&self) -> usize {
        bytes_len(1, self.key.len()) + bytes_len(2, self.end.len())
    }
}

/// A put.
pub fn put(buffer: &mut BytesMut, key: &[u8], value: &[u8], lease: i64) -> Bytes {
    let mut message = Message::new(buffer, key.len() + value.len() + 24);
    message.bytes(1, key).bytes(2, value).int(3, lease);
    message.finish()
}

/// What a transaction does when its comparison holds.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Write the key: kube-apiserver's create (at revision 0) and update.
    Put {
        /// The value.
        value: &'a [u8],
        /// The lease, or 0.
        lease: i64,
    },
    /// Delete the key.
    Delete,
}

/// A transaction as kube-apiserver writes it: *if the key's mod revision is what I know, do it;
/// else tell me what is there*. A create compares with revision 0 and asks for nothing else.
pub fn txn(buffer: &mut BytesMut, key: &[u8], mod_revision: i64, then: Then<'_>) -> Bytes {
    // Compare { target: MOD (2) = field 2, key = field 3, mod_revision = field 6 }; EQUAL is 0.
    // A create compares with 0, which is left out: servers take an absent revision for zero.
    let compare = int_len(2, 2) + bytes_len(3, key.len()) + int_len(6, mod_revision);
    let (op_field, op) = match then {
        Then::Put { value, lease } => (
            2,
            bytes_len(1, key.len()) + bytes_len(2, value.len()) + int_len(3, lease),
        ),
        Then::Delete => (3, bytes_len(1, key.len())),
    };
    let value_len = match then {
        Then::Put { value, .. } => value.len(),
        Then::Delete => 0,
    };
    let mut message = Message::new(buffer, 3 * key.len() + value_len + 64);
    message
        .nested(1, compare)
        .int(2, 2)
        .bytes(3, key)
        .int(6, mod_revision);
    message
        .nested(2, nested_len(op_field, op))
        .nested(op_field, op)
        .bytes(1, key);
    if let Then::Put { value, lease } = then {
        message.bytes(2, value).int(3, lease);
    }
    if mod_revision != 0 {
        let range = Range {
            key,
            ..Range::default()
        };
        let size = range.len();
        message
            .nested(3, nested_len(1, size))
            .nested(1, size)
            .bytes(1, key);
    }
    message.finish()
}

fn nested_len(field: u32, size: usize) -> usize {
    varint_len(u64::from(field << 3 | 2)) + varint_len(size as u64) + size
}

/// Deletes `[key, end)`, or one key when `end` is empty.
pub fn delete_range(buffer: &mut BytesMut, key: &[u8], end: &[u8]) -> Bytes {
    let mut message = Message::new(buffer, key.len() + end.len() + 16);
    message.bytes(1, key).bytes(2, end);
    message.finish()
}

/// Grants a lease of `ttl` seconds; the server picks the id.
pub fn lease_grant(buffer: &mut BytesMut, ttl: i64) -> Bytes {
    let mut message = Message::new(buffer, 16);
    message.int(1, ttl);
    message.finish()
}

/// Names a lease: the request of a revocation and of a keep-alive.
pub fn lease_id(buffer: &mut BytesMut, id: i64) -> Bytes {
    let mut message = Message::new(buffer, 16);
    message.int(1, id);
    message.finish()
}

/// Opens a watch on `[key, end)` from the next revision on.
pub fn watch_create(buffer: &mut BytesMut, key: &[u8], end: &[u8]) -> Bytes {
    let size = bytes_len(1, key.len()) + bytes_len(2, end.len());
    let mut message = Message::new(buffer, size + 8);
    message.nested(1, size).bytes(1, key).bytes(2, end);
    message.finish()
}

/// A request without fields: status, member list.
pub fn empty(buffer: &mut BytesMut) -> Bytes {
    Message::new(buffer, 0).finish()
}

/// A name and a password.
pub fn authenticate(buffer: &mut BytesMut, name: &str, password: &str) -> Bytes {
    let mut message = Message::new(buffer, name.len() + password.len() + 16);
    message
        .bytes(1, name.as_bytes())
        .bytes(2, password.as_bytes());
    message.finish()
}

/// One field of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number (varint; fixed ones too).
    Int(u64),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// As protobuf's int64; 0 when it is something else.
    pub fn int(self) -> i64 {
        match self {
            Value::Int(value) => value.cast_signed(),
            Value::Bytes(_) => 0,
        }
    }

    /// As bytes; empty when it is something else.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Int(_) => &[],
        }
    }
}

/// Walks over the fields of a message; ends at the first thing that is none.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Over a message without gRPC's header.
    pub fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(at + 1..)?;
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok()?;
        let value = match tag & 7 {
            0 => Value::Int(self.varint()?),
            1 => Value::Int(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Int(u64::from(u32::from_le_bytes(
                self.take(4)?.try_into().ok()?,
            ))),
            _ => return None,
        };
        Some((field, value))
    }
}

/// The revision in an answer's header, or 0.
pub fn revision(answer: &[u8]) -> i64 {
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

    fn body(message: &Bytes) -> &[u8] {
        let length = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
        assert_eq!(message[0], 0, "not compressed");
        assert_eq!(message.len(), PREFIX + length);
        &message[PREFIX..]
    }

    #[test]
    fn a_put_has_key_value_and_lease_in_their_fields() {
        let mut buffer = BytesMut::new();
        let message = put(&mut buffer, b"k", b"vv", 300);
        assert_eq!(
            body(&message),
            [
                0x0a, 1, b'k', // key
                0x12, 2, b'v', b'v', // value
                0x18, 0xac, 0x02 // lease 300
            ]
        );
        let without = put(&mut buffer, b"k", b"", 0);
        assert_eq!(body(&without), [0x0a, 1, b'k']);
    }

    #[test]
    fn an_update_compares_writes_and_else_reads() {
        let mut buffer = BytesMut::new();
        let message = txn(
            &mut buffer,
            b"key",
            7,
            Then::Put {
                value: b"v",
                lease: 9,
            },
        );
        assert_eq!(
            body(&message),
            [
                0x0a, 9, 0x10, 2, 0x1a, 3, b'k', b'e', b'y', 0x30, 7, // compare MOD key 7
                0x12, 12, 0x12, 10, 0x0a, 3, b'k', b'e', b'y', 0x12, 1, b'v', 0x18, 9, // put
                0x1a, 7, 0x0a, 5, 0x0a, 3, b'k', b'e', b'y', // else range
            ]
        );
    }

    #[test]
    fn a_create_asks_for_revision_zero_and_reads_nothing() {
        let mut buffer = BytesMut::new();
        let message = txn(
            &mut buffer,
            b"k",
            0,
            Then::Put {
                value: b"v",
                lease: 0,
            },
        );
        assert_eq!(
            body(&message),
            [
                0x0a, 5, 0x10, 2, 0x1a, 1, b'k', // compare MOD key (0)
                0x12, 8, 0x12, 6, 0x0a, 1, b'k', 0x12, 1, b'v',
            ]
        );
        let delete = txn(&mut buffer, b"k", 200, Then::Delete);
        assert_eq!(
            body(&delete),
            [
                0x0a, 8, 0x10, 2, 0x1a, 1, b'k', 0x30, 0xc8, 0x01, // compare
                0x12, 5, 0x1a, 3, 0x0a, 1, b'k', // delete
                0x1a, 5, 0x0a, 3, 0x0a, 1, b'k', // else range
            ]
        );
    }

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
        fn what_is_written_is_read_back(key in proptest::collection::vec(any::<u8>(), 1..300),
                                        value in proptest::collection::vec(any::<u8>(), 0..3000),
                                        lease in any::<i64>(), rev in any::<i64>()) {
            let mut buffer = BytesMut::new();
            let message = put(&mut buffer, &key, &value, lease);
            let mut seen = (Vec::new(), Vec::new(), 0);
            for (field, found) in Fields::new(body(&message)) {
                match field {
                    1 => seen.0 = found.bytes().to_vec(),
                    2 => seen.1 = found.bytes().to_vec(),
                    3 => seen.2 = found.int(),
                    _ => prop_assert!(false, "field {field}"),
                }
            }
            prop_assert_eq!(seen, (key.clone(), value.clone(), lease));
            // A transaction's nested lengths add up: every field of the outside is found.
            let message = txn(&mut buffer, &key, rev, Then::Put { value: &value, lease });
            let fields: Vec<u32> = Fields::new(body(&message)).map(|(f, _)| f).collect();
            let expected: &[u32] = if rev == 0 { &[1, 2] } else { &[1, 2, 3] };
            prop_assert_eq!(fields, expected);
        }

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
