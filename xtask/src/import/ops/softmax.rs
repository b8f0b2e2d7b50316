//! Softmax along an axis.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::Call;
use crate::import::shapes;

/// Before operator set 13 it ran over all axes from `axis` on, as one.
pub fn softmax(call: &mut Call<'_>) -> Result<()> {
    let opset = call.scope.opset;
    by_opset(call, opset)
}

/// [`softmax`] by the rules of another operator set than the file's.
pub(super) fn by_opset(call: &mut Call<'_>, opset: i64) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let flattens = opset < 13;
    let axis = shapes::axis(call.int("axis")?.unwrap_or(if flattens { 1 } else { -1 }), shape.len())?;
    let mut long = (axis..shape.len()).filter(|&i| shape[i] != 1);
    let only = if flattens { long.next().unwrap_or(axis) } else { axis };
    if !flattens || long.next().is_none() {
        return call.emit(Op::Softmax { axis: only }, vec![x], shape);
    }
    let rows = shapes::flattened(&shape, axis as i64)?;
    let x = call.emit_step("rows", Op::Reshape, vec![x], rows.clone())?;
    let y = call.emit_step("softmax", Op::Softmax { axis: 1 }, vec![x], rows)?;
    call.emit(Op::Reshape, vec![y], shape)
}
