//! SysTick as a 64-bit counter of clock cycles.
//!
//! In qemu with `-icount` virtual time advances by a fixed step an instruction, so that differences count
//! instructions. The 24 bits of the hardware are extended in the SysTick exception.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;

const PERIOD: u32 = 1 << 24;

static WRAPS: AtomicU32 = AtomicU32::new(0);

/// A running counter. There is one SysTick, and this owns it.
pub struct Clock {
    _syst: SYST,
}

impl Clock {
    /// Starts counting at the core's clock.
    pub fn start(mut syst: SYST) -> Self {
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(PERIOD - 1);
        syst.clear_current();
        syst.enable_counter();
        syst.enable_interrupt();
        Self { _syst: syst }
    }

    /// Ticks since the start.
    #[inline(never)]
    pub fn ticks(&mut self) -> u64 {
        cortex_m::interrupt::free(|_| {
            let count = SYST::get_current();
            let wraps = u64::from(WRAPS.load(Ordering::Relaxed));
            if SCB::is_pendst_pending() {
                // A period ended and its exception waits: before or after `count` was read, so read again.
                return (wraps + 1) * u64::from(PERIOD) + elapsed(SYST::get_current());
            }
            wraps * u64::from(PERIOD) + elapsed(count)
        })
    }
}

/// Ticks since the period began, which it does when the counter reaches 0 and raises its exception.
fn elapsed(count: u32) -> u64 {
    u64::from((PERIOD - count) % PERIOD)
}

#[exception]
fn SysTick() {
    // Only this handler writes, and Armv6-M has no atomic addition.
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Executes `2 · iterations` instructions: the known length against which the clock is checked.
#[inline(never)]
pub fn run_loop(iterations: u32) {
    // SAFETY: the loop changes its own register and the flags, both declared, and touches no memory.
    unsafe {
        core::arch::asm!(
            "2: subs {n}, #1",
            "bne 2b",
            n = inout(reg) iterations.max(1) => _,
            options(nomem, nostack),
        );
    }
}
