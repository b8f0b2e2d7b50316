//! Pad with a constant, or with elements of the value itself.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad};
use crate::import::ops::movement::{Picks, bounded, emit_picked, padded, picked};
use crate::import::shapes;

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
    let amounts = |i: usize| {
        pads[i].min(pads[i + axes.len()]) < -(1 << 31) || pads[i].max(pads[i + axes.len()]) > 1 << 31
    };
    if value.is_nan() || (0..axes.len()).any(amounts) {
        return bad(format!("amounts {pads:?} of {value}"));
    }
    let mode = call.text("mode")?.unwrap_or_else(|| "constant".to_owned());
    let mut picks = Picks::new();
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        let (low, high) = (pads[i], pads[i + axes.len()]);
        let size = shape[axis] as i64;
        if low + size + high < 1 {
            return bad(format!("amounts {pads:?} leave nothing of the shape {shape:?}"));
        }
        shape[axis] = (low + size + high) as usize;
        bounded(&shape)?;
        if mode != "constant" {
            if (low, high) != (0, 0) {
                picks.push((axis, padded(&mode, size as usize, low, high)?));
            }
            continue;
        }
        // What negative amounts crop, and what is added to the rest.
        if low < 0 || high < 0 {
            picks.push((axis, ((-low).max(0) as usize..(size + high.min(0)) as usize).collect()));
        }
        (before[axis], after[axis]) = (low.max(0) as usize, high.max(0) as usize);
    }
    if before.iter().chain(&after).all(|&amount| amount == 0) {
        return emit_picked(call, 0, x, picks);
    }
    let x = picked(call, x, &picks)?;
    call.emit(Op::Pad { before, after, value }, vec![x], shape)
}
