//! Numbers that look drawn and are the same on each run.

/// A small generator (xorshift64*): a load must be the same on each run, not unpredictable.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// Of a seed; every seed gives another sequence.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit` (0 for a limit of 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // Multiplying takes the high bits and is even enough for far less than 2^32 keys.
        (drawn * limit) >> 32
    }
}
