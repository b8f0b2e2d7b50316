//! Random data for tests.

use proptest::prelude::*;

use crate::Align16;
pub(crate) use crate::selftest::random::{Bytes, channel};

impl Bytes {
    /// Activations, one in eight at an end of the range.
    pub fn vec(&mut self, len: usize) -> Vec<i8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }

    /// `len` stored bytes of weights whose order has these `flips`.
    pub fn stored(&mut self, len: usize, flips: [i8; 2]) -> Vec<i8> {
        let mut bytes = vec![0; len];
        self.fill_stored(&mut bytes, flips);
        bytes
    }
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
