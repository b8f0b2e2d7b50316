//! STM32F405: an LED at pin PA`LED`, high is on (RM0090, 7 for the clock of port A, 8 for GPIO).

use core::convert::Infallible;

use cortex_m::delay::Delay;
use embedded_hal::digital::{ErrorType, OutputPin};

use super::Parts;
use crate::constants::{CLOCK_HZ, LED};

const RCC_AHB1ENR: usize = 0x4002_3830;
const GPIOA_MODER: usize = 0x4002_0000;
const GPIOA_BSRR: usize = 0x4002_0018;

/// Pin PA`LED`.
pub struct Led(());

/// The board's LED and a delay by SysTick; `None` the second time.
pub fn take() -> Option<Parts<Led, Delay>> {
    let peripherals = cortex_m::Peripherals::take()?;
    modify(RCC_AHB1ENR, |enabled| enabled | 1);
    modify(GPIOA_MODER, |modes| modes & !(0b11 << (2 * LED)) | 0b01 << (2 * LED));
    Some(Parts { led: Led(()), delay: Delay::new(peripherals.SYST, CLOCK_HZ) })
}

fn modify(register: usize, change: impl FnOnce(u32) -> u32) {
    let register = core::ptr::with_exposed_provenance_mut::<u32>(register);
    // SAFETY: `take` passes registers of the chip, once, before interrupts use them; a change keeps all other bits.
    unsafe { register.write_volatile(change(register.read_volatile())) };
}

impl Led {
    fn write(&mut self, bits: u32) {
        // SAFETY: BSRR sets or resets the pins of the written bits alone, here the LED's.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(GPIOA_BSRR).write_volatile(bits) };
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.write(1 << (LED + 16));
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.write(1 << LED);
        Ok(())
    }
}
