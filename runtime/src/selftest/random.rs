//! Random data without memory of its own: the same stream on every machine.

use crate::format::ChannelRecord;
use crate::requantize::{self, SHIFT_RANGE};

/// A reproducible stream of random numbers (SplitMix64).
pub(crate) struct Bytes(u64);

impl Bytes {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at most 2³². Not by a division: small cores have none.
    pub fn below(&mut self, end: u64) -> u64 {
        ((self.next() >> 32) * end) >> 32
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Activations, one in eight at an end of the range. Now and then all of them are at one end, or each is at either:
    /// sums as large as they come.
    pub fn fill(&mut self, bytes: &mut [i8]) {
        match self.below(32) {
            0 => return bytes.fill(i8::MIN),
            1 => return bytes.fill(i8::MAX),
            2 => return bytes.fill_with(|| if self.next() & 1 == 0 { i8::MIN } else { i8::MAX }),
            _ => (),
        }
        for four in bytes.chunks_mut(4) {
            let mut random = self.next();
            for byte in four {
                *byte = match random & 15 {
                    0 => i8::MIN,
                    1 => i8::MAX,
                    _ => (random >> 8) as i8,
                };
                random >>= 16;
            }
        }
    }

    /// Stored bytes of weights whose order has these `flips`: weights are activations without −128.
    pub fn fill_stored(&mut self, bytes: &mut [i8], flips: [i8; 2]) {
        self.fill(bytes);
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = (*byte).max(-127) ^ flips[place & 1];
        }
    }

    /// Zero point of a tensor.
    pub fn zero_point(&mut self) -> i8 {
        let any = self.next() as i8;
        self.one_of(&[i8::MIN, i8::MAX, 0, any])
    }

    /// Lowest and highest output.
    pub fn activation(&mut self) -> (i8, i8) {
        let (a, b) = (self.next() as i8, self.next() as i8);
        match self.below(8) {
            0 => (a.min(b), a.max(b)),
            1 => (a, i8::MAX),
            2 => (i8::MIN, a),
            3 => (a, a),
            _ => (i8::MIN, i8::MAX),
        }
    }
}

/// A valid channel record with every extreme that the numbers contract allows.
pub(crate) fn channel(random: &mut Bytes, zero_point: i8) -> ChannelRecord {
    let multiplier = match random.below(4) {
        0 => 1 << 30,
        1 => i32::MAX,
        _ => (1 << 30) + random.below(1 << 30) as i32,
    };
    let (shift, left) = match random.below(8) {
        0 => (1, random.below(32) as u8),
        1 => (23, 0),
        _ => (1 + random.below(14) as u8, 0),
    };
    // The largest shift alone goes with smaller multipliers.
    let multiplier = match random.below(4) {
        0 if shift == 23 => random.below(1 << 30) as i32,
        1 if shift == 23 => 0,
        _ => multiplier,
    };
    let bias = match random.below(16) {
        0 => i32::MAX,
        1 => i32::MIN,
        _ => random.below(1 << 16) as i32 - (1 << 15),
    };
    let offset = requantize::offset(zero_point, shift);
    ChannelRecord { bias, multiplier, offset, shift, left, reserved: 0 }
}

/// Like [`channel`]; most outputs of sums of k random products lie between the bounds.
pub(crate) fn channel_for(random: &mut Bytes, zero_point: i8, k: usize) -> ChannelRecord {
    let mut channel = channel(random, zero_point);
    if random.below(4) > 0 {
        // A product of two random bytes is some 2¹² large, a sum of k of them √k times that.
        let bits = 12 + (k.max(1).ilog2() as u8).div_ceil(2);
        channel.shift = (bits - 8 + random.below(3) as u8).clamp(*SHIFT_RANGE.start(), *SHIFT_RANGE.end());
        channel.multiplier |= 1 << 30;
        channel.left = 0;
        channel.offset = requantize::offset(zero_point, channel.shift);
    }
    channel
}
