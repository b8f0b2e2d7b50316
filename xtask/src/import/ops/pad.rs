//! Pad with a constant.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes;
use crate::import::shapes::MAX_ELEMENTS;

/// Amounts and value as attributes before operator set 11 and as inputs since, on all axes or on those of input 3.
pub fn pad(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let Some(pads) = call.integers_or_attribute(1, "pads")? else {
        return bad("the amounts are missing");
    };
    let value = match call.number(2)? {
        Some(value) => value,
        None => call.float("value")?.unwrap_or(0.0),
    };
    let rank = shape.len();
    let axes: Vec<_> = match call.integers(3)? {
        Some(axes) => {
            shapes::axes(&axes, rank)?;
            axes.iter().map(|&axis| shapes::axis(axis, rank)).collect::<Result<_>>()?
        }
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return bad(format!("{} amounts for {} axes", pads.len(), axes.len()));
    }
    if pads.iter().any(|&pad| pad < 0) {
        return refuse(format!("amounts {pads:?} crop; slice before the export"));
    }
    let pads = shapes::sizes(&pads, "amounts")?;
    if value.is_nan() || pads.iter().any(|&pad| pad > MAX_ELEMENTS) {
        return bad(format!("amounts {pads:?} of {value}"));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        before[axis] = pads[i];
        after[axis] = pads[i + axes.len()];
        shape[axis] += before[axis] + after[axis];
    }
    call.emit(Op::Pad { before, after, value }, vec![x], shape)
}
