//! Copies and fills of any length, 16 bytes at a time; the last ones under a predicate.
//!
//! Runs are a few vectors long, for which the call of `memcpy` or `memset` costs more than the work.

#[cfg(target_arch = "arm")]
use super::helium_core;

/// Copies `len` bytes.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline(always)]
pub(super) unsafe fn copy(from: *const i8, to: *mut i8, len: usize) {
    if len == 0 {
        return;
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: the loop ends behind `len` elements, and its last round reads and writes only those that are left. It
    // changes the registers that are declared.
    unsafe {
        core::arch::asm!(
            helium_core!(),
            "dlstp.8 lr, {len}",
            "2:",
            "vldrb.8 q0, [{from}], #16",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 2b",
            len = in(reg) len,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            out("lr") _,
            out("q0") _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "arm"))]
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::copy_nonoverlapping(from, to, len);
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
    // SAFETY: as in `copy`.
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
