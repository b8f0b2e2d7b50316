//! The memory a session works in, supplied by the caller.

use bytemuck::{Pod, Zeroable};

/// Sixteen bytes at a 16-byte boundary: the unit of an arena.
///
/// ```
/// use still8::Align16;
/// let mut arena = [Align16::ZERO; Align16::count(1000)];
/// assert_eq!(Align16::bytes_mut(&mut arena).len(), 1008);
/// ```
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct Align16(pub [u8; 16]);

impl Align16 {
    /// All zero.
    pub const ZERO: Self = Self([0; 16]);

    /// Units that hold `bytes` bytes.
    pub const fn count(bytes: usize) -> usize {
        bytes.div_ceil(16)
    }

    /// The units as bytes.
    pub fn bytes_mut(units: &mut [Self]) -> &mut [i8] {
        bytemuck::cast_slice_mut(units)
    }
}
