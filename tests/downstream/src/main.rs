//! What a user of still8 writes: a plan in flash, an arena in RAM, one inference after another.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use still8::{Align16, Session};

still8::include_plan!(mod model = env!("STILL8_PLAN"));

/// The class of the last window, for a debugger to read.
static CLASS: AtomicUsize = AtomicUsize::new(usize::MAX);

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ARENA: [Align16; Align16::count(model::ARENA_BYTES)] =
        [Align16::ZERO; Align16::count(model::ARENA_BYTES)];

    if let Ok(plan) = model::plan()
        && let Ok(mut session) = Session::new(&plan, ARENA)
    {
        loop {
            if let Some(input) = session.input(0) {
                input.fill(0);
            }
            session.run();
            let output = session.output(0).unwrap_or_default();
            let class = (0..output.len()).max_by_key(|&class| output[class]);
            CLASS.store(class.unwrap_or(usize::MAX), Ordering::Relaxed);
        }
    }
    halt()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    halt()
}

fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
