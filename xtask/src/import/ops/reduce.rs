//! ReduceMean, ReduceSum, ReduceMax and ArgMax.

use still8_validation::Result;

use crate::graph::{Op, Reduction};
use crate::import::call::Call;
use crate::import::shapes;

/// The mean over axes.
pub fn mean(call: &mut Call<'_>) -> Result<()> {
    reduce(call, Reduction::Mean)
}

/// The sum over axes.
pub fn sum(call: &mut Call<'_>) -> Result<()> {
    reduce(call, Reduction::Sum)
}

/// The largest over axes.
pub fn max(call: &mut Call<'_>) -> Result<()> {
    reduce(call, Reduction::Max)
}

/// Axes are an attribute in older operator sets (before 18, the sum's before 13), input 1 since; none means all.
fn reduce(call: &mut Call<'_>, reduction: Reduction) -> Result<()> {
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
    call.emit(Op::Reduce { reduction, axes }, vec![x], shape)
}

/// The index of the largest along an axis.
pub fn arg_max(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let axis = shapes::axis(call.int("axis")?.unwrap_or(0), shape.len())?;
    let last = call.int("select_last_index")?.unwrap_or(0) != 0;
    if call.int("keepdims")?.unwrap_or(1) == 0 {
        shape.remove(axis);
    } else {
        shape[axis] = 1;
    }
    call.emit(Op::ArgMax { axis, last }, vec![x], shape)?;
    call.made_floats()
}
