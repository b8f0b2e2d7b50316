//! Builds firmware images, runs them in qemu, and reads back outputs, instruction counts, logs and sizes.

mod build;
mod counter;
mod log;
mod plan_file;
mod report;
mod run;
mod selftest;
mod silent;
mod size;
mod toolchain;

#[cfg(test)]
mod counter_tests;
#[cfg(test)]
mod tests;

pub use build::{Image, build};
pub use counter::Count;
pub use log::decode;
pub use plan_file::{PlanFile, temporary_plan};
pub use report::RunReport;
pub use run::{
    count_loop, count_sequences, instructions, run_app, run_app_counting, run_on, run_on_first, run_plan,
};
pub use selftest::self_test;
pub use silent::{Leds, run_silent};
pub use size::{SizeReport, size};
pub use toolchain::{Std, find_std};

/// What to do about a missing emulator, compiler or linker.
pub const REMEDY: &str = "run `cargo xtask setup`";
