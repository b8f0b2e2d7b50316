//! Concat of activations.

use still8_validation::Result;

use crate::graph::{Op, ValueId};
use crate::import::call::{Call, bad};
use crate::import::shapes;

/// Joins all inputs along an axis.
pub fn concat(call: &mut Call<'_>) -> Result<()> {
    let inputs = (0..call.node.input.len()).map(|i| call.activation(i)).collect::<Result<Vec<_>>>()?;
    joined(call, inputs)
}

/// The node's output out of these values.
pub(super) fn joined(call: &mut Call<'_>, inputs: Vec<ValueId>) -> Result<()> {
    let Some(&first) = inputs.first() else {
        return bad("it has no input");
    };
    let mut shape = call.shape(first);
    let Some(axis) = call.int("axis")? else {
        return bad("attribute axis is missing");
    };
    let axis = shapes::axis(axis, shape.len())?;
    shape[axis] = 0;
    for &input in &inputs {
        let mut part = call.shape(input);
        let Some(size) = part.get_mut(axis).map(std::mem::take) else {
            return bad(format!("inputs of ranks {} and {}", shape.len(), part.len()));
        };
        let total = shape[axis];
        shape[axis] = 0;
        if part != shape {
            return bad(format!("input of shape {:?} does not fit along axis {axis}", call.shape(input)));
        }
        shape[axis] = total + size;
    }
    call.emit(Op::Concat { axis }, inputs, shape)
}
