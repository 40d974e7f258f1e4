//! One message of gRPC, written field by field; and how long fields are.

use bytes::{BufMut, Bytes, BytesMut};

/// Writes one gRPC message into a buffer that is used again and again.
///
/// The five bytes of gRPC's own header come first and are filled in by [`Message::finish`].
#[derive(Debug)]
pub(super) struct Message<'a> {
    buffer: &'a mut BytesMut,
}

/// gRPC: one byte of flags and four of length before each message.
pub const PREFIX: usize = 5;

impl<'a> Message<'a> {
    /// Begins a message; `size` is a guess at its length.
    pub(super) fn new(buffer: &'a mut BytesMut, size: usize) -> Self {
        debug_assert!(buffer.is_empty(), "the last message was split off");
        buffer.reserve(size + PREFIX);
        buffer.put_bytes(0, PREFIX);
        Message { buffer }
    }

    /// A field of bytes. Empty ones are left out, as protobuf does.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        if !value.is_empty() {
            put_varint(self.buffer, u64::from(field << 3 | 2));
            put_varint(self.buffer, value.len() as u64);
            self.buffer.put_slice(value);
        }
        self
    }

    /// A whole number or a flag. Zero is left out, as protobuf does.
    pub(super) fn int(&mut self, field: u32, value: i64) -> &mut Self {
        if value != 0 {
            put_varint(self.buffer, u64::from(field << 3));
            // Protobuf's int64: negative numbers as two's complement.
            put_varint(self.buffer, value.cast_unsigned());
        }
        self
    }

    /// Begins a message inside this one that will be exactly `size` bytes long.
    pub(super) fn nested(&mut self, field: u32, size: usize) -> &mut Self {
        put_varint(self.buffer, u64::from(field << 3 | 2));
        put_varint(self.buffer, size as u64);
        self
    }

    /// Fills in the length and takes the message out of the buffer.
    pub(super) fn finish(self) -> Bytes {
        let length = u32::try_from(self.buffer.len() - PREFIX).unwrap_or(u32::MAX);
        if let Some(prefix) = self.buffer.get_mut(1..PREFIX) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        self.buffer.split().freeze()
    }
}

/// How long a field of bytes is on the wire.
pub(super) fn bytes_len(field: u32, length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    varint_len(u64::from(field << 3 | 2)) + varint_len(length as u64) + length
}

/// How long a whole number is on the wire.
pub(super) fn int_len(field: u32, value: i64) -> usize {
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

pub(super) fn nested_len(field: u32, size: usize) -> usize {
    varint_len(u64::from(field << 3 | 2)) + varint_len(size as u64) + size
}
