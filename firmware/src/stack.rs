//! How deep a call reaches into the stack, by painting what lies below it.

use cortex_m::register::msp;

const PAINT: u32 = 0xCCCC_CCCC;

/// Bytes below the stack pointer that stay unpainted, for the painting itself.
const MARGIN: usize = 128;

unsafe extern "C" {
    static _stack_end: u32;
}

/// Calls `run` and returns the bytes of stack that it used, at least [`MARGIN`]; 0 where there is no room to tell.
#[inline(never)]
pub fn measure(run: &mut dyn FnMut()) -> usize {
    let top = msp::read() as usize;
    let end = (&raw const _stack_end).addr();
    let painted = end..top.saturating_sub(MARGIN) & !3;
    if painted.is_empty() {
        return 0;
    }
    cortex_m::interrupt::free(|_| {
        for address in painted.clone().step_by(4) {
            // SAFETY: the word lies in the stack region of the linker script, is aligned, and lies below the stack
            // pointer by more than this function uses, so that it holds nothing.
            unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
        }
        run();
    });
    let touched = painted.step_by(4).find(|&address| {
        // SAFETY: as above; reading has no effect.
        unsafe { core::ptr::with_exposed_provenance::<u32>(address).read_volatile() != PAINT }
    });
    top - touched.unwrap_or(top - MARGIN)
}
