//! The vectors behind the core's own sixteen.
//!
//! These images enable no interrupt of a chip, so one vector, the least that the linker script takes, stands for all
//! and saves up to a kilobyte of flash. A chip's crate (feature `rt`) brings the whole table in place of this one.

unsafe extern "C" {
    fn DefaultHandler();
}

/// Where the core would look first if an interrupt were enabled.
// SAFETY: the section and the name are those that `cortex-m-rt` documents for a chip's vectors.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [DefaultHandler];
