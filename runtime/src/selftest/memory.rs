//! The memory of one case: exact-length blocks out of the caller's bytes, guarded where kernels write.

use core::cell::Cell;
use core::ops::Range;

use super::report::{Place, Wrong};
use crate::Align16;

/// Bytes of guard on either side of a block that a kernel writes.
const GUARD: usize = 32;

/// Bytes that a block may take beside its own length.
pub(super) const OVERHEAD: usize = 2 * GUARD + 2 * size_of::<Align16>();

/// Bytes that no block has taken yet; they start at a 16-byte boundary.
pub(super) struct Memory<'m>(&'m mut [i8]);

impl<'m> Memory<'m> {
    pub fn new(units: &'m mut [Align16]) -> Self {
        Self(Align16::bytes_mut(units))
    }

    /// Bytes that are left.
    pub fn free(&self) -> usize {
        self.0.len()
    }

    /// A block whose first byte lies `misalignment` bytes behind a 16-byte boundary.
    ///
    /// # Panics
    /// Where less is left; cases are drawn to fit.
    pub fn take(&mut self, bytes: usize, misalignment: usize) -> &'m mut [i8] {
        let whole = (misalignment + bytes).next_multiple_of(size_of::<Align16>());
        let (block, rest) = core::mem::take(&mut self.0).split_at_mut(whole);
        self.0 = rest;
        &mut block[misalignment..misalignment + bytes]
    }

    /// A block like that of [`Self::take`], of `fill`, between guards.
    pub fn guarded(&mut self, bytes: usize, misalignment: usize, fill: i8) -> Guarded<'m> {
        let block = self.take(bytes + 2 * GUARD, misalignment);
        let mut guarded = Guarded { block, payload: GUARD..GUARD + bytes };
        guarded.set_guards();
        guarded.payload().fill(fill);
        guarded
    }
}

/// A block between bytes that must not change.
pub(super) struct Guarded<'m> {
    block: &'m mut [i8],
    payload: Range<usize>,
}

impl Guarded<'_> {
    /// A guard's byte at this place of the block.
    fn guard(place: usize) -> i8 {
        (place as u8).wrapping_mul(37) as i8 ^ 0x5a
    }

    fn set_guards(&mut self) {
        for (place, byte) in self.block.iter_mut().enumerate() {
            *byte = Self::guard(place);
        }
    }

    /// What the kernel gets.
    pub fn payload(&mut self) -> &mut [i8] {
        &mut self.block[self.payload.clone()]
    }

    /// What the kernel gets where inputs and output may be the same memory.
    pub fn cells(&mut self) -> &[Cell<i8>] {
        Cell::from_mut(self.payload()).as_slice_of_cells()
    }

    /// The first guard byte that changed.
    pub fn check(&self, before: fn(usize) -> Place, behind: fn(usize) -> Place) -> Result<(), Wrong> {
        let changed = |place: &usize| self.block[*place] != Self::guard(*place);
        let Range { start, end } = self.payload;
        let (place, at) = match (0..start).rev().find(changed) {
            Some(at) => (before(start - at), at),
            None => match (end..self.block.len()).find(changed) {
                Some(at) => (behind(at - end), at),
                None => return Ok(()),
            },
        };
        Err(Wrong { place, expected: Self::guard(at), found: self.block[at] })
    }

    /// Refuses changed guards of either output, then the first byte in which the outputs differ.
    pub fn compare(&self, expected: &Self) -> Result<(), Wrong> {
        expected.check(Place::BeforeReference, Place::BehindReference)?;
        self.check(Place::BeforeOutput, Place::BehindOutput)?;
        let (wanted, got) = (&expected.block[expected.payload.clone()], &self.block[self.payload.clone()]);
        match wanted.iter().zip(got).position(|(wanted, got)| wanted != got) {
            Some(i) => Err(Wrong { place: Place::Output(i), expected: wanted[i], found: got[i] }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_where_they_were_asked_for() {
        let mut units = [Align16::ZERO; 40];
        let base = units.as_ptr().addr();
        let mut memory = Memory::new(&mut units);
        let (a, b) = (memory.take(5, 3), memory.take(16, 0));
        assert_eq!((a.as_ptr().addr() - base, a.len()), (3, 5));
        assert_eq!((b.as_ptr().addr() - base, b.len()), (16, 16));
        let mut c = memory.guarded(7, 9, 1);
        assert_eq!(c.payload(), [1; 7]);
        assert_eq!(c.payload().as_ptr().addr() % 16, 9);
    }

    #[test]
    fn a_changed_guard_is_found_with_its_place() {
        let mut units = [Align16::ZERO; 40];
        let mut memory = Memory::new(&mut units);
        let (mut a, b) = (memory.guarded(10, 4, 0), memory.guarded(10, 0, 0));
        assert!(a.compare(&b).is_ok());
        for (at, place) in [
            (GUARD + 10, Place::BehindOutput(0)),
            (2 * GUARD + 9, Place::BehindOutput(GUARD - 1)),
            (GUARD - 1, Place::BeforeOutput(1)),
            (0, Place::BeforeOutput(GUARD)),
        ] {
            a.block[at] ^= 1;
            assert_eq!(a.compare(&b).unwrap_err().place, place);
            a.block[at] ^= 1;
        }
        a.payload()[9] = 1;
        assert_eq!(a.compare(&b).unwrap_err(), Wrong { place: Place::Output(9), expected: 0, found: 1 });
    }
}
