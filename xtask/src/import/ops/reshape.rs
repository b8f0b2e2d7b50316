//! Operators that give the same elements another shape, or the same one.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes;

/// The constant shape of input 1.
pub fn reshape(call: &mut Call<'_>) -> Result<()> {
    let Some(target) = call.integers(1)? else {
        return bad("the target shape is missing");
    };
    let allow_zero = call.int("allowzero")?.unwrap_or(0) != 0;
    emit(call, |shape| shapes::reshaped(shape, &target, allow_zero))
}

/// Two axes.
pub fn flatten(call: &mut Call<'_>) -> Result<()> {
    let axis = call.int("axis")?.unwrap_or(1);
    emit(call, |shape| shapes::flattened(shape, axis))
}

/// Without axes of size 1.
pub fn squeeze(call: &mut Call<'_>) -> Result<()> {
    let axes = call.integers_or_attribute(1, "axes")?;
    emit(call, |shape| shapes::squeezed(shape, axes.as_deref()))
}

/// With axes of size 1.
pub fn unsqueeze(call: &mut Call<'_>) -> Result<()> {
    let Some(axes) = call.integers_or_attribute(1, "axes")? else {
        return bad("the axes are missing");
    };
    emit(call, |shape| shapes::unsqueezed(shape, &axes))
}

/// x.
pub fn identity(call: &mut Call<'_>) -> Result<()> {
    emit(call, |shape| Ok(shape.to_vec()))
}

/// x, unless it is told to drop.
pub fn dropout(call: &mut Call<'_>) -> Result<()> {
    if call.number(2)?.is_some_and(|training| training != 0.0) {
        return refuse("it drops at inference: export with training_mode off");
    }
    identity(call)
}

fn emit(call: &mut Call<'_>, reshape: impl FnOnce(&[usize]) -> Result<Vec<usize>>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = reshape(&call.shape(x))?;
    call.emit(Op::Reshape, vec![x], shape)
}
