//! Tests of the crate as a whole: plans built in memory, read, run and damaged.

mod activation_examples;
mod builder;
mod cases;
mod examples;
mod hostile;
mod model;
pub(crate) mod random;
mod reader;
mod single_kernel_cases;
mod wide_cases;
mod window_cases;
