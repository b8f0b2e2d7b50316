//! Operators that map element i to element i, four elements at a time.

use core::cell::Cell;

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::AddParams;
use crate::kernels::portable;

/// Sum of two tensors; the formula is in [`crate::ops::Add`]. Either input and the output may be the same memory.
pub(crate) fn add(params: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    #[cfg(target_arch = "arm")]
    if let len @ 1.. = output.len()
        && (a.len(), b.len()) == (len, len)
    {
        // SAFETY: each slice has `len` elements, which cells let anyone change; the loop ends behind them, and its last
        // round reads and writes only those that are left. Where slices are the same memory, an element is read before it
        // is written. The registers that change are declared.
        unsafe {
            core::arch::asm!(
                helium_core!(),
                "vdup.32 q2, {low}",
                "vdup.32 q3, {high}",
                "dlstp.32 lr, {len}",
                "2:",
                "vldrb.s32 q0, [r0], #4",
                "vldrb.s32 q1, [r1], #4",
                "vmul.i32 q0, q0, {m0}",
                "vmla.s32 q0, q1, {m1}",
                "vadd.i32 q0, q0, {offset}",
                "vshl.s32 q0, {shift}",
                "vmax.s32 q0, q0, q2",
                "vmin.s32 q0, q0, q3",
                "vstrb.32 q0, [r2], #4",
                "letp lr, 2b",
                low = in(reg) i32::from(params.activation_min),
                high = in(reg) i32::from(params.activation_max),
                len = in(reg) len,
                m0 = in(reg) params.multipliers[0],
                m1 = in(reg) params.multipliers[1],
                offset = in(reg) params.offset,
                shift = in(reg) -i32::from(params.shift & 31),
                // Loads that widen and stores that narrow take their address in r0 to r7 only.
                inout("r0") a.as_ptr() => _,
                inout("r1") b.as_ptr() => _,
                inout("r2") output.as_ptr() => _,
                out("lr") _,
                out("q0") _,
                out("q1") _,
                out("q2") _,
                out("q3") _,
                options(nostack, preserves_flags),
            );
        }
        return;
    }
    portable::add(params, a, b, output);
}
