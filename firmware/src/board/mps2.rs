//! Arm MPS2 and MPS3 FPGA images: LED 0 is bit 0 of the FPGA's LED register, whose address `boards.toml` gives.

use core::convert::Infallible;

use cortex_m::delay::Delay;
use embedded_hal::digital::{ErrorType, OutputPin};

use super::Parts;
use crate::constants::{CLOCK_HZ, LED};

/// LED 0.
pub struct Led(());

/// The board's LED and a delay by SysTick; `None` the second time.
pub fn take() -> Option<Parts<Led, Delay>> {
    let peripherals = cortex_m::Peripherals::take()?;
    Some(Parts { led: Led(()), delay: Delay::new(peripherals.SYST, CLOCK_HZ) })
}

impl Led {
    fn write(&mut self, on: bool) {
        let register = core::ptr::with_exposed_provenance_mut::<u32>(LED);
        // SAFETY: `LED` is the address of the FPGA's LED register, which has no other effect; `take` hands out one
        // `Led`, so nobody else writes it.
        unsafe { register.write_volatile(u32::from(on)) };
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.write(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.write(true);
        Ok(())
    }
}
