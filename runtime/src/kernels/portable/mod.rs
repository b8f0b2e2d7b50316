//! Portable kernels: plain loops in safe Rust. They define what every operator computes and are never tuned at the
//! cost of being read.

mod conv2d;
mod depthwise_conv2d;
mod dot;
mod elementwise;
mod fully_connected;
mod mean;
mod movement;
mod pool2d;
mod product;
mod rows;
mod sum;
mod wide;

pub(crate) use conv2d::conv2d;
pub(crate) use depthwise_conv2d::depthwise_conv2d;
pub(crate) use elementwise::{add, softmax, table};
pub(crate) use fully_connected::fully_connected;
pub(crate) use mean::mean;
pub(crate) use movement::{concat, gather, pad, resize_linear, transpose};
#[cfg(any(kernels_helium, kernels_neon, test))]
pub(in crate::kernels) use pool2d::average;
pub(crate) use pool2d::{average_pool2d, max_pool2d};
pub(crate) use product::{mat_mul, mul};
pub(crate) use rows::{arg_max, layer_norm, prelu};
#[cfg(any(kernels_dsp, test))]
pub(in crate::kernels) use wide::conv2d16_by;
pub(crate) use wide::{add16, conv2d16, mean16, narrow, rescale, table16, widen};
