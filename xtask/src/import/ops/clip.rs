//! Clip, Relu, and Max and Min with a constant.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};

/// min(max(x, low), high), limits as attributes before operator set 11 and as inputs since.
pub fn clip(call: &mut Call<'_>) -> Result<()> {
    let limit = |i, name| Ok(if call.scope.opset < 11 { call.float(name)? } else { call.number(i)? });
    let low = limit(1, "min")?.unwrap_or(f32::NEG_INFINITY);
    let high = limit(2, "max")?.unwrap_or(f32::INFINITY);
    if low.is_nan() || high.is_nan() {
        return bad(format!("limits {low} and {high}"));
    }
    // The upper limit is applied last: above it there is nothing.
    emit(call, low.min(high), high)
}

/// max(x, constant).
pub fn max(call: &mut Call<'_>) -> Result<()> {
    let limit = limit(call)?;
    emit(call, limit, f32::INFINITY)
}

/// min(x, constant).
pub fn min(call: &mut Call<'_>) -> Result<()> {
    let limit = limit(call)?;
    emit(call, f32::NEG_INFINITY, limit)
}

/// The one constant number beside the activation of a Max or a Min.
fn limit(call: &Call<'_>) -> Result<f32> {
    let x = usize::from(call.is_constant(0));
    match (call.node.input.len(), call.weights(1 - x)) {
        (2, Ok(Some(numbers))) if numbers.len() == 1 => Ok(numbers.iter().copied().sum()),
        _ => refuse("only one activation and one constant number are supported"),
    }
}

/// max(x, 0).
pub fn relu(call: &mut Call<'_>) -> Result<()> {
    emit(call, 0.0, f32::INFINITY)
}

fn emit(call: &mut Call<'_>, low: f32, high: f32) -> Result<()> {
    let x = call.activation(usize::from(call.is_constant(0)))?;
    let shape = call.shape(x);
    call.emit(Op::Clip { low, high }, vec![x], shape)
}
