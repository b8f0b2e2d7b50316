//! A plugin for qemu's code generator (TCG) that counts executed instructions and estimates cycles.
//!
//! `qemu-system-arm -plugin FILE,core=cortex-m4,mark=0x1234,out=FILE` counts from the first instruction on. Every time
//! that execution reaches the address `mark`, the counts so far become a line of `out`: `INSTRUCTIONS CYCLES`, or
//! `INSTRUCTIONS -` for a core whose timing is not published. The file is written when the emulator ends.
//!
//! - [`thumb`]: what an instruction is, as far as its time goes.
//! - [`timing`]: what it costs on a core, with the sources.
//! - [`counter`]: blocks of translated code, and the sums over the blocks that run.
//! - `qemu`: the functions that qemu calls and offers.

pub mod counter;
pub mod thumb;
pub mod timing;

// A test is a program of its own, in which qemu's functions do not exist.
#[cfg(not(test))]
mod qemu;
