//! Normalization of rows.

use crate::error::OpFault;
use crate::format::{LayerNormParams, NormRecord, OpCode};
use crate::kernels;
use crate::operator::{Node, Operator, check_disjoint, split};

/// (x − mean) ⁄ √(variance + ε) over the c elements of a row, times a scale and plus an offset of each channel, in integers
/// alone:
///
/// ```text
/// sum = Σ x, squares = Σ x²
/// v = (c · squares − sum²) · 2¹⁶ + epsilon                      c² · (variance + ε) · 2¹⁶, in squared input steps
/// e = ⌊leading zeros of v in 62 bits ⁄ 2⌋, root = ⌊√(v · 4ᵉ)⌋     in 2³⁰..2³¹
/// inverse = ⌊2⁶² ⁄ root⌋
/// norm = ((c · x − sum) · inverse) >> (39 − e)                  (x − mean) ⁄ √(variance + ε) · 2¹⁵
/// output = clamp((((norm · multiplier) >> 16) + offset) >> shift)   to int8
/// ```
///
/// The zero point of the input cancels out. A row whose v is 0 has norm 0. `multiplier` = round(scale ⁄ s_out · 2ˢʰⁱᶠᵗ⁺¹), `offset`
/// = round((zp_out + offset ⁄ s_out + ½) · 2ˢʰⁱᶠᵗ), with the largest shift in 1..=20 for which each fits 2³⁰. The result is off
/// by less than one step of the output.
///
/// **Shapes**: input and output are equal; c is at most [`LayerNorm::MOST`]. Input and output share no byte of the arena.
pub struct LayerNorm;

impl LayerNorm {
    /// Most elements of a row, so that no sum leaves 64 bits.
    pub const MOST: usize = 1 << 15;
    /// `epsilon` is below this, so that v stays below 2⁶².
    pub const EPSILON_END: u64 = 1 << 61;
}

impl Operator for LayerNorm {
    const CODE: OpCode = OpCode::LayerNorm;
    const NAME: &'static str = "LayerNorm";
    type Params = LayerNormParams;

    #[inline]
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault> {
        node.expect_int8(1, 1)?;
        let (input, output, params) = (node.input(0), node.output(0), node.params);
        let channels: &[NormRecord] = node.data(params.channels)?;
        let c = output.shape()[3];
        if channels.len() != c {
            return Err(OpFault::Data);
        }
        let large = |value: i32| value.unsigned_abs() > 1 << 30;
        if let Some(channel) = channels.iter().position(|r| large(r.multiplier) || large(r.offset)) {
            return Err(OpFault::Channel { channel });
        }
        if !(1..=20).contains(&params.shift) || epsilon(params) >= Self::EPSILON_END {
            return Err(OpFault::Value);
        }
        if input.shape() != output.shape() || c > Self::MOST {
            return Err(OpFault::Shape);
        }
        check_disjoint(&[input.range(), 0..0, output.range()])
    }

    #[inline]
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]) {
        if let Some((input, _, output)) = split(arena, [node.input(0).range(), 0..0, node.output(0).range()])
            && let Ok(channels) = node.data(node.params.channels)
        {
            kernels::layer_norm(epsilon(node.params), node.params.shift, channels, input, output);
        }
    }
}

fn epsilon(params: &LayerNormParams) -> u64 {
    u64::from(params.epsilon[1]) << 32 | u64::from(params.epsilon[0])
}
