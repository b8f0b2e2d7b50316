//! Clip and Relu.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad};

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

/// max(x, 0).
pub fn relu(call: &mut Call<'_>) -> Result<()> {
    emit(call, 0.0, f32::INFINITY)
}

fn emit(call: &mut Call<'_>, low: f32, high: f32) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    call.emit(Op::Clip { low, high }, vec![x], shape)
}
