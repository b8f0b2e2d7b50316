//! Random data for tests.

use proptest::prelude::*;

use crate::Align16;
use crate::format::ChannelRecord;
use crate::requantize;

/// A reproducible stream of random numbers (SplitMix64): faster than a strategy an element.
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

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Activations, one in eight at an end of the range.
    pub fn vec(&mut self, len: usize) -> Vec<i8> {
        let one = |r: u64| match r % 16 {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => (r >> 8) as i8,
        };
        (0..len).map(|_| one(self.next())).collect()
    }

    /// `len` stored bytes of weights whose order has these `flips`.
    pub fn stored(&mut self, len: usize, flips: [i8; 2]) -> Vec<i8> {
        let mut bytes = self.weights(len);
        bytes.iter_mut().enumerate().for_each(|(place, byte)| *byte ^= flips[place % 2]);
        bytes
    }

    /// Weights: activations without −128.
    pub fn weights(&mut self, len: usize) -> Vec<i8> {
        self.vec(len).into_iter().map(|w| w.max(-127)).collect()
    }
}

/// A valid channel record with every extreme that the numbers contract allows; most outputs do not saturate.
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
    let bias = match random.below(16) {
        0 => i32::MAX,
        1 => i32::MIN,
        _ => random.below(1 << 16) as i32 - (1 << 15),
    };
    let offset = requantize::offset(zero_point, shift);
    ChannelRecord { bias, multiplier, offset, shift, left, reserved: 0 }
}

/// Lowest and highest output.
pub(crate) fn activation() -> impl Strategy<Value = (i8, i8)> {
    prop_oneof![
        Just((i8::MIN, i8::MAX)),
        any::<(i8, i8)>().prop_map(|(a, b)| (a.min(b), a.max(b))),
        any::<i8>().prop_map(|low| (low, i8::MAX)),
    ]
}

/// Bytes at a 16-byte boundary, as the data section holds weights.
pub(crate) struct Words {
    units: Vec<Align16>,
    len: usize,
}

impl Words {
    pub fn new(bytes: Vec<i8>) -> Self {
        let mut units = vec![Align16::ZERO; Align16::count(bytes.len())];
        Align16::bytes_mut(&mut units)[..bytes.len()].copy_from_slice(&bytes);
        Self { units, len: bytes.len() }
    }

    pub fn as_slice(&self) -> &[i8] {
        &bytemuck::cast_slice(&self.units)[..self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [i8] {
        &mut Align16::bytes_mut(&mut self.units)[..self.len]
    }
}
