//! nRF51822 on the micro:bit v1: an LED at the crossing of a row pin (`LED`, high is on) and column 1 (P0.04, low).
//!
//! The chip has no SysTick, so that the delay is a loop of the core (nRF51 Series Reference Manual, 14 for GPIO).

use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, OutputPin};

use super::Parts;
use crate::constants::{CLOCK_HZ, LED};

const GPIO: usize = 0x5000_0000;
const OUTSET: usize = GPIO + 0x508;
const OUTCLR: usize = GPIO + 0x50C;
const DIRSET: usize = GPIO + 0x518;
const COLUMN_1: u32 = 1 << 4;
const ROW: u32 = 1 << LED;

/// Row 1, column 1 of the matrix.
pub struct Led(());

/// A counted loop.
pub struct LoopDelay(());

/// The board's LED and delay; `None` the second time.
pub fn take() -> Option<Parts<Led, LoopDelay>> {
    cortex_m::Peripherals::take()?;
    let led = Led(());
    led.write(DIRSET, ROW | COLUMN_1);
    led.write(OUTCLR, ROW | COLUMN_1);
    Some(Parts { led, delay: LoopDelay(()) })
}

impl Led {
    fn write(&self, register: usize, bits: u32) {
        // SAFETY: the three registers that are passed here set or clear the written bits alone, so that no other
        // pin changes; their addresses are the chip's.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(register).write_volatile(bits) };
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.write(OUTCLR, ROW);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.write(OUTSET, ROW);
        Ok(())
    }
}

impl DelayNs for LoopDelay {
    fn delay_ns(&mut self, ns: u32) {
        let cycles = u64::from(ns) * u64::from(CLOCK_HZ) / 1_000_000_000;
        cortex_m::asm::delay(cycles as u32);
    }
}
