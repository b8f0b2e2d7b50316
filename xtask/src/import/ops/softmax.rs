//! Softmax along an axis.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, refuse};
use crate::import::shapes;

/// Before operator set 13 it ran over all axes from `axis` on, which is the same where only one of them is longer than 1.
pub fn softmax(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let flattens = call.scope.opset < 13;
    let axis = shapes::axis(call.int("axis")?.unwrap_or(if flattens { 1 } else { -1 }), shape.len())?;
    let mut long = (axis..shape.len()).filter(|&i| shape[i] != 1);
    let axis = if flattens { long.next().unwrap_or(axis) } else { axis };
    if flattens && long.next().is_some() {
        let rewrite = "export with operator set 13 or later";
        return refuse(format!(
            "it runs over several axes of the shape {shape:?} before operator set 13; {rewrite}"
        ));
    }
    call.emit(Op::Softmax { axis }, vec![x], shape)
}
