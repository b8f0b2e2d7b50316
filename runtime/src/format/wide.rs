//! The parameters of operators on int16 tensors, which are symmetric: zero point 0, values in −32767..=32767.

use bytemuck::{Pod, Zeroable};

use super::DataRef;
#[cfg(doc)]
use super::OpCode;

/// Bias and requantization of an accumulator of 64 bits; see [`crate::wide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct WideRecord {
    /// Start value of the accumulator: lower word, upper word.
    pub bias: [u32; 2],
    /// m, below 2²⁴.
    pub multiplier: i32,
    /// n, in 1..=62.
    pub shift: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// [`OpCode::Convert`]; the formula is in [`crate::ops::Convert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ConvertParams {
    /// Scales by s_in ⁄ s_out; `bias` is −(input zero point).
    pub record: WideRecord,
}

/// Window, weights and bounds of [`OpCode::Conv2d16`].
///
/// Padding below and to the right follows from the output's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Conv2d16Params {
    /// Kernel height and width.
    pub kernel: [u16; 2],
    /// Stride down and right.
    pub stride: [u16; 2],
    /// Dilation down and right.
    pub dilation: [u16; 2],
    /// Padding above and to the left, in elements that read as 0.
    pub padding: [u16; 2],
    /// Number of groups; c_in for a depthwise convolution.
    pub groups: u32,
    /// Lowest output.
    pub activation_min: i16,
    /// Highest output.
    pub activation_max: i16,
    /// int8 weights `[c_out][kernel_h][kernel_w][c_in ⁄ groups]`, row-major in every family.
    pub weights: DataRef,
    /// One [`WideRecord`] an output channel.
    pub channels: DataRef,
}

/// [`OpCode::Add16`]; the formula is in [`crate::ops::Add16`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Add16Params {
    /// Factor of either input.
    pub multipliers: [i32; 2],
    /// Right shift, in 1..=40.
    pub shift: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Lowest output.
    pub activation_min: i16,
    /// Highest output.
    pub activation_max: i16,
}

/// [`OpCode::Mean16`] over some axes of `[n, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Mean16Params {
    /// Scales by s_in ⁄ (s_out · count); `bias` is 0.
    pub record: WideRecord,
    /// Bit i: axis i is reduced.
    pub axes: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Lowest output.
    pub activation_min: i16,
    /// Highest output.
    pub activation_max: i16,
}

/// [`OpCode::Table16`]: any function of one int16 element, linear between 513 points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Table16Params {
    /// 513 `i16`s: the outputs for inputs −32768, −32640, … 32768.
    pub table: DataRef,
}
