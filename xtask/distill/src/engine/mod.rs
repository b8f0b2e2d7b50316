//! The training engine: networks of a few kinds of layers over batches in NHWC, with gradients written out by hand.
//!
//! A step's samples are divided into shards of a fixed size; each is run by one thread, and their gradients are summed in
//! order, so that the same seed gives the same bits on any number of threads.

pub mod batch;
pub mod conv;
pub mod fake;
pub mod net;
pub mod norm;
pub mod optimizer;
mod pool;
mod tiles;

#[cfg(test)]
mod tests;
