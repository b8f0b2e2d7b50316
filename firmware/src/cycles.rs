//! The board's own counter of clock cycles: the debug unit's where the core has one, else SysTick or the chip's timer.

#[cfg(mainline)]
use cortex_m::peripheral::{DCB, DWT};

use crate::clock::Clock;

/// A running counter.
pub enum Counter {
    /// `CYCCNT` of the core's debug unit (Armv7-M Architecture Reference Manual, C1.8; not in Armv6-M).
    #[cfg(mainline)]
    Dwt,
    /// SysTick at the core's clock.
    SysTick(Clock),
    /// TIMER0 of an nRF51, whose core has no SysTick; both run at 16 MHz.
    #[cfg(board = "nrf51")]
    Timer,
}

/// Turns within which a counter must advance.
const PATIENCE: u32 = 1000;

impl Counter {
    /// Starts the first counter that is there and advances; `None` where there is none.
    pub fn start(peripherals: cortex_m::Peripherals) -> Option<Self> {
        #[cfg(mainline)]
        if start_dwt(peripherals.DCB, peripherals.DWT) && Self::Dwt.advances() {
            return Some(Self::Dwt);
        }
        #[cfg(board = "nrf51")]
        {
            timer::start();
            if Self::Timer.advances() {
                return Some(Self::Timer);
            }
        }
        let mut systick = Self::SysTick(Clock::start(peripherals.SYST));
        systick.advances().then_some(systick)
    }

    /// What it is.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(mainline)]
            Self::Dwt => "dwt",
            Self::SysTick(_) => "systick",
            #[cfg(board = "nrf51")]
            Self::Timer => "timer",
        }
    }

    /// Reads it. Only differences mean something, and those of DWT and timer up to 2³² cycles.
    #[inline(never)]
    pub fn now(&mut self) -> u64 {
        match self {
            #[cfg(mainline)]
            Self::Dwt => DWT::cycle_count().into(),
            Self::SysTick(clock) => clock.ticks(),
            #[cfg(board = "nrf51")]
            Self::Timer => timer::now().into(),
        }
    }

    /// Cycles from `start` to now.
    pub fn since(&mut self, start: u64) -> u64 {
        let elapsed = self.now().wrapping_sub(start);
        match self {
            Self::SysTick(_) => elapsed,
            #[cfg(any(mainline, board = "nrf51"))]
            _ => elapsed & u64::from(u32::MAX),
        }
    }

    fn advances(&mut self) -> bool {
        let start = self.now();
        (0..PATIENCE).any(|_| self.since(start) > 0)
    }
}

/// False where DWT_CTRL says that the core was built without the counter.
#[cfg(mainline)]
fn start_dwt(mut dcb: DCB, mut dwt: DWT) -> bool {
    // Without it the debug unit's registers do not answer.
    dcb.enable_trace();
    // Some Cortex-M7 come up with the unit locked.
    DWT::unlock();
    if !DWT::has_cycle_counter() {
        return false;
    }
    dwt.enable_cycle_counter();
    true
}

/// TIMER0 (nRF51 Series Reference Manual, 18).
#[cfg(board = "nrf51")]
mod timer {
    const TIMER0: usize = 0x4000_8000;
    const TASKS_START: usize = TIMER0;
    const TASKS_CAPTURE_0: usize = TIMER0 + 0x040;
    const BITMODE: usize = TIMER0 + 0x508;
    const PRESCALER: usize = TIMER0 + 0x510;
    const CC_0: usize = TIMER0 + 0x540;
    const BITS_32: u32 = 3;

    fn write(register: usize, value: u32) {
        // SAFETY: registers of a timer that nothing else here uses; their addresses are the chip's.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(register).write_volatile(value) };
    }

    /// Starts it at the core's clock.
    pub fn start() {
        write(BITMODE, BITS_32);
        write(PRESCALER, 0);
        write(TASKS_START, 1);
    }

    /// Its count.
    pub fn now() -> u32 {
        write(TASKS_CAPTURE_0, 1);
        // SAFETY: as above; reading has no effect.
        unsafe { core::ptr::with_exposed_provenance::<u32>(CC_0).read_volatile() }
    }
}
