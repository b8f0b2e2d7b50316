//! Kernels for the vector extension of Armv8.1-M (Helium, MVE): vectors of 16 bytes.
//!
//! Stable Rust has no intrinsics for it, so each inner loop is a naked function or inline assembly. Beside each stands
//! a model in plain Rust, which takes its place on the host, so that the code around it (pointers, edges, scratch
//! memory) runs under property tests and address checks. Each kernel computes what its namesake in
//! [`portable`](super::portable) computes, bit for bit, and calls it for what it has no faster way for.
//!
//! VMLADAV multiplies 16 pairs of bytes and adds the products to a register of even number; a function that uses seven
//! or eight of these is naked, since `asm!` gives no r6 and r7. Naked functions save q4 to q7, r4 to r11 and lr where
//! they use them, as the procedure call standard asks.

#![allow(unsafe_code)]

mod average;
mod conv2d;
mod copy;
mod depthwise_conv2d;
mod elementwise;
mod fully_connected;
mod matrix;
mod requantize;
mod small_windows;
mod taps;
mod words;

pub(crate) use average::{average_pool2d, mean};
pub(crate) use conv2d::conv2d;
pub(crate) use depthwise_conv2d::depthwise_conv2d;
pub(crate) use elementwise::add;
pub(crate) use fully_connected::fully_connected;

// On the host, only tests reach a variant.
#[allow(unused_imports)]
pub(crate) use crate::kernels::portable::{concat, conv2d16, max_pool2d, pad, softmax, table, transpose};

/// Front of every template: makes the assembler accept the vector extension, which the target leaves open.
#[cfg(target_arch = "arm")]
macro_rules! helium_core {
    () => {
        ".cpu cortex-m55\n"
    };
}

#[cfg(target_arch = "arm")]
use helium_core;

#[cfg(test)]
mod tests;
