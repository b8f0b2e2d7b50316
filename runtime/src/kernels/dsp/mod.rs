//! Kernels for the DSP extension of Armv7E-M and Armv8-M: two 16-bit products an instruction.
//!
//! Written over the single instructions of [`lanes`], which have portable models, so that the same code runs under
//! property tests and address checks on the host.

pub(crate) mod lanes;
