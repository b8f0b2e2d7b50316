//! The end of a program that went wrong: one log line, then exit status 101 or, on a real board, the debugger.
//!
//! Without `log` a panic stops the core and a hard fault loops in the handler of `cortex-m-rt`.

use core::panic::PanicInfo;

#[cfg(feature = "log")]
use cortex_m_rt::{ExceptionFrame, exception};

#[cfg(not(feature = "log"))]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    stop(101)
}

#[cfg(feature = "log")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The message would pull in `core::fmt`; the place is enough to find it.
    match info.location() {
        Some(place) => defmt::error!("panicked at {}:{}", place.file(), place.line()),
        None => defmt::error!("panicked"),
    }
    stop(101)
}

/// # Safety
/// Called by the core only.
#[cfg(feature = "log")]
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {:#010x}, called from {:#010x}", frame.pc(), frame.lr());
    stop(101)
}

/// Ends the program: status 0 is success. A real board stops in the debugger, or loops where there is none.
pub fn stop(status: i32) -> ! {
    #[cfg(feature = "semihosting")]
    semihosting::process::exit(status);
    #[cfg(not(feature = "semihosting"))]
    {
        if status != 0 {
            cortex_m::asm::bkpt();
        }
        loop {
            cortex_m::asm::wfi();
        }
    }
}
