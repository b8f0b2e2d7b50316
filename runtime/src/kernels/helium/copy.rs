//! Copies and fills of any length, 16 bytes at a time; the last ones under a predicate.
//!
//! Runs are a few vectors long, for which the call of `memcpy` or `memset` costs more than the work.

#[cfg(target_arch = "arm")]
use super::helium_core;

/// Lines of bytes that lie equally far from one another.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// Bytes of a line.
    pub len: usize,
    /// Bytes from the start of a line to that of the next, at the source and at the destination.
    pub pitches: [usize; 2],
    /// Number of lines.
    pub count: usize,
}

/// Copies lines.
///
/// # Safety
/// Of each line, `from` is valid for reads and `to` for writes; they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy(from: *const i8, to: *mut i8, lines: Lines) {
    let Lines { len, pitches, count } = lines;
    if len == 0 || count == 0 {
        return;
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: the inner loop ends behind `len` elements, and its last round reads and writes only those that are left;
    // the outer one ends behind `count` lines. They change the registers that are declared, and the flags.
    unsafe {
        core::arch::asm!(
            helium_core!(),
            "2:",
            "mov {f}, {from}",
            "mov {t}, {to}",
            "dlstp.8 lr, {len}",
            "3:",
            "vldrb.8 q0, [{f}], #16",
            "vstrb.8 q0, [{t}], #16",
            "letp lr, 3b",
            "add {from}, {from_pitch}",
            "add {to}, {to_pitch}",
            "subs {count}, {count}, #1",
            "bne 2b",
            len = in(reg) len,
            from_pitch = in(reg) pitches[0],
            to_pitch = in(reg) pitches[1],
            count = inout(reg) count => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            f = out(reg) _,
            t = out(reg) _,
            out("lr") _,
            out("q0") _,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "arm"))]
    for line in 0..count {
        // SAFETY: the caller's promise.
        unsafe {
            let (from, to) = (from.add(line * pitches[0]), to.add(line * pitches[1]));
            core::ptr::copy_nonoverlapping(from, to, len);
        }
    }
}

/// Writes `value` to `len` bytes.
///
/// # Safety
/// `to` is valid for writes of `len` bytes.
#[inline(always)]
pub(super) unsafe fn fill(value: i8, to: *mut i8, len: usize) {
    if len == 0 {
        return;
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: the loop ends behind `len` elements, and its last round writes only those that are left. It changes the
    // registers that are declared.
    unsafe {
        core::arch::asm!(
            helium_core!(),
            "vdup.8 q0, {value}",
            "dlstp.8 lr, {len}",
            "2:",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 2b",
            value = in(reg) i32::from(value),
            len = in(reg) len,
            to = inout(reg) to => _,
            out("lr") _,
            out("q0") _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "arm"))]
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::write_bytes(to.cast::<u8>(), value as u8, len);
    }
}
