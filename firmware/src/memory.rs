//! The memory that the runner works in: regions that `boards.toml` sets aside from everything the linker places.

use core::ops::Range;

use still8::Align16;

use crate::constants::{ARENA, PLAN};

unsafe extern "C" {
    static __sheap: u32;
    static _stack_end: u32;
}

/// The region where a plan was put, of which the plan takes as much as its header says.
pub fn plan() -> &'static [u8] {
    let (address, bytes) = PLAN;
    // SAFETY: the region is memory of the board, initialized by the emulator or as flash, apart from all that the
    // linker places, and nothing writes to it.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), bytes) }
}

/// The arena region.
///
/// # Safety
/// Must be called at most once.
pub unsafe fn arena() -> &'static mut [Align16] {
    let range = match ARENA {
        Some((address, bytes)) => address..address + bytes,
        None => unused_ram(),
    };
    let units = range.len() / size_of::<Align16>();
    // SAFETY: the region is RAM of the board, 16-byte aligned, apart from statics, stack and plan, any bytes are a
    // valid `Align16`, and by this function's contract nobody else has it.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(range.start), units) }
}

/// What statics and stack leave of the RAM.
fn unused_ram() -> Range<usize> {
    let start = (&raw const __sheap).addr().next_multiple_of(size_of::<Align16>());
    start..(&raw const _stack_end).addr().max(start)
}
