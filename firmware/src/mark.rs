//! A place in the code that the emulator's counter knows by its address.

/// Does nothing. Whenever execution comes here, the counter of `cargo xtask bench` notes what it counted so far.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn still8_mark() {
    // Calls of an empty function would be left out.
    // SAFETY: there is no instruction in it.
    unsafe { core::arch::asm!("") };
}
