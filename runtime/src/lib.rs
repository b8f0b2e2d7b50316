#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![doc = include_str!("../README.md")]

pub mod arena;
pub mod crc32;
pub mod error;
pub mod format;
pub mod include;
pub mod kernels;
pub mod operator;
pub mod ops;
pub mod packing;
pub mod plan;
pub mod quantize;
pub mod requantize;
#[cfg(any(test, feature = "selftest"))]
#[doc(hidden)]
pub mod selftest;
pub mod session;
#[cfg(test)]
mod tests;
pub mod wide;

pub use arena::Align16;
pub use error::{ArenaTooSmall, OpFault, PlanError};
pub use operator::{OpEntry, OpTable, Operator};
pub use plan::Plan;
pub use quantize::{InputReport, QuantParams, dequantize_output, quantize_input};
pub use session::Session;
