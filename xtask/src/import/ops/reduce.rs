//! ReduceMean.

use still8_validation::Result;

use crate::graph::{Op, Reduction};
use crate::import::call::Call;
use crate::import::shapes;

/// The mean over axes: an attribute before operator set 18, input 1 since; none means all.
pub fn mean(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let named = call.integers_or_attribute(1, "axes")?.filter(|axes| !axes.is_empty());
    let axes = match named {
        Some(named) => shapes::axes(&named, shape.len())?,
        None if call.int("noop_with_empty_axes")?.unwrap_or(0) != 0 => {
            return call.emit(Op::Reshape, vec![x], shape);
        }
        None => (0..shape.len()).collect(),
    };
    for &axis in axes.iter().rev() {
        if call.int("keepdims")?.unwrap_or(1) == 0 {
            shape.remove(axis);
        } else {
            shape[axis] = 1;
        }
    }
    call.emit(Op::Reduce { reduction: Reduction::Mean, axes }, vec![x], shape)
}
