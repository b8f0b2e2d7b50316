//! Operators that give the same elements another shape, or the same one.

use still8_validation::Result;
use still8_validation::onnx::pb::tensor_proto::DataType;

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

/// x where it stays what it is: floats as floats, and an index as any integer.
pub fn cast(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let kind = call.int("to")?.and_then(|to| DataType::try_from(i32::try_from(to).ok()?).ok());
    let writer = call.scope.graph.writer(x);
    let index = writer.is_some_and(|i| matches!(call.scope.graph.nodes[i].op, Op::ArgMax { .. }));
    match kind {
        Some(DataType::Float) => identity(call),
        Some(DataType::Int64 | DataType::Int32) if index => identity(call),
        kind => {
            let kind = kind.map_or("nothing", |kind| kind.as_str_name());
            refuse(format!("a cast of activations to {kind} is not supported"))
        }
    }
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
