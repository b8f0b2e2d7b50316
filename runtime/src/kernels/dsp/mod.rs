//! Kernels for the DSP extension of Armv7E-M and Armv8-M: two 16-bit products an instruction.
//!
//! Written over the single instructions of [`lanes`], which have portable models, so that the same code runs under
//! property tests and address checks on the host. Each kernel computes what its namesake in
//! [`portable`](super::portable) computes, bit for bit, and calls it for what it has no faster way for.
//!
//! SXTB16 turns the bytes (0, 1, 2, 3) of a word into the halfwords (0, 2) and, rotated by 8, (1, 3); weights and
//! activations widen alike, so that SMLAD multiplies like with like.

#![allow(unsafe_code)]

mod conv2d;
mod depthwise_conv2d;
mod fully_connected;
mod gather;
pub(crate) mod lanes;
mod matrix;
mod pixels;
mod requantize;
mod taps;
mod wide;

pub(crate) use conv2d::conv2d;
pub(crate) use depthwise_conv2d::depthwise_conv2d;
pub(crate) use fully_connected::fully_connected;
pub(crate) use wide::conv2d16;

// On the host, only tests reach a variant.
#[allow(unused_imports)]
pub(crate) use crate::kernels::portable::{
    add, average_pool2d, concat, max_pool2d, mean, pad, softmax, table, transpose,
};

#[cfg(test)]
mod tests;
