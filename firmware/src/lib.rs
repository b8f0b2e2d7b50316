//! What the images share: a runner for any plan, an application around one plan, and what boards and hosts supply.

#![cfg_attr(target_os = "none", no_std)]
#![deny(unstable_features)]

/// Whether log lines of this image go anywhere.
pub const LOGS: bool = cfg!(any(feature = "log", not(target_os = "none")));

pub mod app;
pub mod boot;
mod log;
pub mod mark;
pub mod runner;
#[cfg(feature = "selftest")]
pub mod selftest;
pub mod show;

// The log's way out of the image.
#[cfg(all(target_os = "none", feature = "rtt"))]
use defmt_rtt as _;
#[cfg(all(target_os = "none", feature = "semihosting"))]
use defmt_semihosting as _;

#[cfg(target_os = "none")]
pub mod board;
#[cfg(all(target_os = "none", feature = "log"))]
pub mod clock;
#[cfg(all(target_os = "none", feature = "log"))]
pub mod cycles;
#[cfg(all(target_os = "none", feature = "log"))]
pub mod measure;
#[cfg(mainline)]
mod mem_functions;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
pub use panic::stop;
#[cfg(target_os = "none")]
pub mod sequences;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
mod vectors;

/// The two places that a runner reads its input from.
pub mod host {
    #[cfg(not(target_os = "none"))]
    pub mod linux;
    #[cfg(all(target_os = "none", feature = "semihosting"))]
    pub mod semihosting;
}

/// The board's row of `boards.toml`.
pub mod constants {
    include!(concat!(env!("OUT_DIR"), "/constants.rs"));
}
