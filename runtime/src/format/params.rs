//! The parameters of each operator, and what they refer to.

use bytemuck::{Pod, Zeroable};

#[cfg(doc)]
use super::{ALIGNMENT, OpCode};

/// Bytes in the data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DataRef {
    /// Byte offset in the data section, a multiple of [`ALIGNMENT`].
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// Bias and requantization of one output channel; see [`crate::requantize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ChannelRecord {
    /// Start value of the accumulator: bias − input zero point · Σ weights, plus what the order of the weights
    /// folds into it ([`MatrixOrder::folded`](crate::packing::MatrixOrder::folded)).
    pub bias: i32,
    /// m.
    pub multiplier: i32,
    /// (output zero point << (n − 32)) + 2ⁿ⁻³³.
    pub offset: i32,
    /// n − 32, in 1..=23.
    pub shift: u8,
    /// L, in 0..=31.
    pub left: u8,
    /// Zero.
    pub reserved: u16,
}

/// Window, weights and bounds of [`OpCode::Conv2d`] and [`OpCode::DepthwiseConv2d`], and of the two with weights of four bits.
///
/// Padding below and to the right follows from the output's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Conv2dParams {
    /// Kernel height and width.
    pub kernel: [u16; 2],
    /// Stride down and right.
    pub stride: [u16; 2],
    /// Dilation down and right.
    pub dilation: [u16; 2],
    /// Padding above and to the left, in elements that read as the input's zero point.
    pub padding: [u16; 2],
    /// Number of groups; 1 for an ordinary convolution, c_in for a depthwise one.
    pub groups: u32,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
    /// Zero.
    pub reserved: u16,
    /// Weights in the order of the plan's family, see [`crate::packing`].
    pub weights: DataRef,
    /// One [`ChannelRecord`] an output channel.
    pub channels: DataRef,
    /// Arena bytes that the family's kernel may use while it runs.
    pub scratch: DataRef,
}

/// Weights and bounds of [`OpCode::FullyConnected`]: every element of the input against every output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FullyConnectedParams {
    /// Weights `[c_out][k]` in the order of the plan's family.
    pub weights: DataRef,
    /// One [`ChannelRecord`] an output.
    pub channels: DataRef,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
    /// Zero.
    pub reserved: u16,
}

/// Weights and bounds of [`OpCode::FullyConnectedInt4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FullyConnectedInt4Params {
    /// Weights and bounds, as with eight bits.
    pub dense: FullyConnectedParams,
    /// Arena bytes in which weights are unpacked.
    pub scratch: DataRef,
}

/// [`OpCode::Add`]: two tensors of one shape; the formula is in [`crate::ops::Add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AddParams {
    /// Factor of either input.
    pub multipliers: [i32; 2],
    /// Zero points and rounding, folded.
    pub offset: i32,
    /// Right shift, in 1..=30.
    pub shift: u8,
    /// Zero.
    pub reserved: u8,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
}

/// [`OpCode::AveragePool2d`] and [`OpCode::MaxPool2d`]. Input and output share their quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Pool2dParams {
    /// Window height and width.
    pub kernel: [u16; 2],
    /// Stride down and right.
    pub stride: [u16; 2],
    /// Padding above and to the left.
    pub padding: [u16; 2],
    /// 1: padding counts as elements that read as the zero point (average only).
    pub count_padding: u8,
    /// 1: a mean halfway between two integers goes to the one away from 0, not to the upper one (average only). Zero
    /// before format 3.
    pub ties_away: u8,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
}

/// [`OpCode::Mean`] over some axes of `[n, h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MeanParams {
    /// Requantization with scale s_in ⁄ (s_out · count); `bias` is −count · zero point.
    pub channel: ChannelRecord,
    /// Bit i: axis i is reduced.
    pub axes: u8,
    /// Zero.
    pub reserved: u8,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
}

/// [`OpCode::Pad`] with one value. Input and output share their quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PadParams {
    /// Elements before each of n, h, w, c; those behind follow from the output's shape.
    pub before: [u16; 4],
    /// The value.
    pub value: i8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// [`OpCode::Concat`] of inputs that share the output's quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ConcatParams {
    /// Axis of `[n, h, w, c]`.
    pub axis: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// [`OpCode::Softmax`] over c; the formula is in [`crate::ops::Softmax`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SoftmaxParams {
    /// At most 256 `u32`s: entry d is round(2²⁰ · exp(−scale · d)). Those past the end are 0 (in format 1 all are
    /// there).
    pub table: DataRef,
}

/// [`OpCode::Transpose`]: output axis i is input axis `permutation[i]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TransposeParams {
    /// A permutation of 0..4.
    pub permutation: [u8; 4],
}

/// [`OpCode::Table`]: any function of one int8 element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TableParams {
    /// 256 `i8`s: the output for inputs −128, −127, … 127.
    pub table: DataRef,
}

/// [`OpCode::Mul`]; the formula is in [`crate::ops::Mul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MulParams {
    /// Requantization with scale s_a · s_b ⁄ s_out; `bias` is 0.
    pub channel: ChannelRecord,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
    /// Zero.
    pub reserved: u16,
}

/// [`OpCode::PRelu`]; the formula is in [`crate::ops::PRelu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PReluParams {
    /// One `i32` a channel: the factor of what is below the zero point.
    pub slopes: DataRef,
    /// The factor of all else.
    pub multiplier: i32,
    /// Zero point of the output and rounding, folded.
    pub offset: i32,
    /// Right shift, in 1..=22.
    pub shift: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// [`OpCode::MatMul`]; the formula is in [`crate::ops::MatMul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MatMulParams {
    /// Requantization with scale s_a · s_b ⁄ s_out; `bias` is 0.
    pub channel: ChannelRecord,
    /// Lowest output.
    pub activation_min: i8,
    /// Highest output.
    pub activation_max: i8,
    /// Zero.
    pub reserved: u16,
}

/// Factor and offset of one channel of [`OpCode::LayerNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct NormRecord {
    /// scale ⁄ s_out · 2ˢʰⁱᶠᵗ⁺¹.
    pub multiplier: i32,
    /// (output zero point + offset ⁄ s_out + ½) · 2ˢʰⁱᶠᵗ.
    pub offset: i32,
}

/// [`OpCode::LayerNorm`] over c; the formula is in [`crate::ops::LayerNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LayerNormParams {
    /// One [`NormRecord`] a channel.
    pub channels: DataRef,
    /// ε · c² ⁄ s_in² · 2¹⁶: lower word, upper word.
    pub epsilon: [u32; 2],
    /// Right shift, in 1..=20.
    pub shift: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// [`OpCode::Constant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ConstantParams {
    /// The elements of the output.
    pub contents: DataRef,
}

/// [`OpCode::Gather`]. Input and output share their quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct GatherParams {
    /// `u16`s: the input's index along the axis for each of the output's.
    pub indices: DataRef,
    /// Axis of `[n, h, w, c]`.
    pub axis: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Where an output row (or column) of [`OpCode::ResizeLinear`] lies between two of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TapRecord {
    /// Index of the one before.
    pub low: u16,
    /// Index of the one behind.
    pub high: u16,
    /// Share of the one behind in 1 ⁄ 2048, in 0..=2048.
    pub share: u16,
    /// Zero.
    pub reserved: u16,
}

/// [`OpCode::ResizeLinear`]; the formula is in [`crate::ops::ResizeLinear`]. Input and output share their quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ResizeLinearParams {
    /// One [`TapRecord`] an output row.
    pub rows: DataRef,
    /// One [`TapRecord`] an output column.
    pub columns: DataRef,
}

/// [`OpCode::ArgMax`] over c; the formula is in [`crate::ops::ArgMax`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ArgMaxParams {
    /// 1: of equal elements the last one counts, not the first.
    pub last: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
