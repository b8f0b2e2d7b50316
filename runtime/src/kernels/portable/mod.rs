//! Portable kernels: plain loops in safe Rust. They define what every operator computes and are never tuned at the
//! cost of being read.

mod fully_connected;

pub(crate) use fully_connected::fully_connected;
