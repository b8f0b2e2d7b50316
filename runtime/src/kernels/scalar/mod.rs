//! Kernels for cores that multiply one pair of 32-bit words at a time: Armv6-M and Armv7-M.
//!
//! One product of words computes two of bytes where one factor holds two numbers 16 bits apart. Each kernel computes what
//! its namesake in [`portable`](super::portable) computes, bit for bit, and calls it for what it has no faster way for.
//! The inner loops are naked functions, since compiled ones spill; each has a model, over which the same drivers run
//! under property tests and address checks on the host.

#![allow(unsafe_code)]

mod blocks;
mod conv2d;
mod depthwise_conv2d;
mod fully_connected;
mod requantize;
mod rows;
mod windows;

pub(crate) use conv2d::conv2d;
pub(crate) use depthwise_conv2d::depthwise_conv2d;
pub(crate) use fully_connected::fully_connected;

// On the host, only tests reach a variant.
#[allow(unused_imports)]
pub(crate) use crate::kernels::portable::{
    add, average_pool2d, concat, conv2d16, max_pool2d, mean, pad, softmax, table, transpose,
};

#[cfg(test)]
mod tests;
