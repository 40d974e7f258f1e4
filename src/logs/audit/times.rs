//! The two times of a line, of which mostly the seconds differ from the line before.

use crate::clock::Timestamp;

use super::tails::{RECEIVED, STAGE, TIME};
use super::timestamp;

/// The times that end here, each in the usual length, and where the first one's name begins.
#[inline]
pub(super) fn two_times(text: &[u8]) -> Option<(&[u8; TIME], &[u8; TIME], usize)> {
    let (text, stage) = text.split_last_chunk()?;
    let (text, received) = text
        .strip_suffix(STAGE)?
        .strip_suffix(b"\",")?
        .split_last_chunk()?;
    Some((received, stage, text.strip_suffix(RECEIVED)?.len()))
}

/// The minute of the last time that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute {
    text: [u8; 17],
    start: Option<Timestamp>,
}

impl Minute {
    /// As [`timestamp`], for `2022-05-15T17:50:20.617783Z`.
    #[inline]
    pub(super) fn read(&mut self, text: &[u8; TIME]) -> Option<Timestamp> {
        let (minute, rest) = text.split_first_chunk::<17>()?;
        if *minute != self.text || self.start.is_none() {
            let mut whole = [b'0'; 20];
            whole.get_mut(..17)?.copy_from_slice(minute);
            *whole.last_mut()? = b'Z';
            self.text = *minute;
            self.start = timestamp(&whole);
        }
        let &[tens, ones, b'.', a, b, c, d, e, f, b'Z'] = rest.first_chunk()? else {
            return None;
        };
        let us = eight_digits([tens, ones, a, b, c, d, e, f])?;
        Some(self.start?.add_us(us))
    }
}

/// The number that eight digits make.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    let digits = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // Anything above 9 reaches the high bit of its byte, or had it.
    let above = digits.wrapping_add(0x7676_7676_7676_7676) | digits;
    if above & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Pairs of digits in every other byte, then pairs of pairs; the sum is in the upper half.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let even = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let odd = (pairs >> 16 & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    i64::try_from(even.wrapping_add(odd) >> 32).ok()
}
