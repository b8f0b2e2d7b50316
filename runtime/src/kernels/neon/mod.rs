//! Kernels for AArch64: NEON, and the dot-product instructions where the core has them.
//!
//! Written over the instructions of [`lanes`], [`memory`] and [`steps`], which have portable models, so that the same code runs under
//! property tests and address checks on any host. Each kernel computes what its namesake in
//! [`portable`](super::portable) computes, bit for bit, and calls it for what it has no faster way for.
//!
//! A build cannot know whether the core that it will run on has dot product: kernels named
//! `…_dotprod` stand beside those for every core, and whoever builds the operator table chooses (`ops::all_dotprod`).

#![allow(unsafe_code)]

mod conv2d;
mod depthwise_conv2d;
mod depthwise_run;
mod elementwise;
mod fully_connected;
mod gather;
mod lanes;
mod matrix;
mod memory;
mod pool2d;
mod requantize;
mod steps;

pub(crate) use conv2d::{conv2d, conv2d_dotprod};
pub(crate) use depthwise_conv2d::{depthwise_conv2d, depthwise_conv2d_dotprod};
pub(crate) use elementwise::add;
pub(crate) use fully_connected::{fully_connected, fully_connected_dotprod};
pub(crate) use pool2d::average_pool2d;

// On the host, only tests reach a variant.
#[allow(unused_imports)]
pub(crate) use crate::kernels::portable::{
    concat, conv2d16, max_pool2d, mean, pad, softmax, table, transpose,
};

#[cfg(test)]
mod tests;
