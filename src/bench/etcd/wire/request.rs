//! The requests of a load.

use bytes::{Bytes, BytesMut};

use super::message::{Message, bytes_len, int_len, nested_len};

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

#[cfg(test)]
mod tests {
    use super::super::fields::Fields;
    use super::super::message::PREFIX;
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
    }
}
