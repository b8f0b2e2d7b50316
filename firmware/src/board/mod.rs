//! One small module a kind of board: an LED behind `OutputPin` and a delay behind `DelayNs`.
//!
//! `boards.toml` names the module of each board; `build.rs` turns that into `cfg(board)`.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;

use crate::app::Board;

#[cfg(board = "mps2")]
mod mps2;
#[cfg(board = "nrf51")]
mod nrf51;
#[cfg(board = "stm32f4")]
mod stm32f4;

#[cfg(board = "mps2")]
pub use mps2::take;
#[cfg(board = "nrf51")]
pub use nrf51::take;
#[cfg(board = "stm32f4")]
pub use stm32f4::take;

/// An LED and a delay: every board of this crate.
pub struct Parts<L, D> {
    /// The LED.
    pub led: L,
    /// The delay.
    pub delay: D,
}

impl<L: OutputPin, D: DelayNs> Board for Parts<L, D> {
    type Led = L;
    type Delay = D;

    fn parts(&mut self) -> (&mut L, &mut D) {
        (&mut self.led, &mut self.delay)
    }
}
