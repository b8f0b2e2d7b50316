//! Operators that pick elements along axes: each becomes gathers with constant indices.

use still8_validation::Result;

use crate::graph::{Op, ValueId};
use crate::import::call::{Call, bad, refuse};
use crate::import::fold::MAX_FOLDED;
use crate::import::shapes::{self, axis};

/// For each axis that is not taken whole, the indices of the elements that are.
pub type Picks = Vec<(usize, Vec<usize>)>;

/// Gathers along one axis after the other; the value that comes out.
pub fn picked(call: &mut Call<'_>, mut x: ValueId, picks: &[(usize, Vec<usize>)]) -> Result<ValueId> {
    for (axis, indices) in picks {
        let mut shape = call.shape(x);
        shape[*axis] = indices.len();
        x = call.emit_step("picked", Op::Gather { axis: *axis, indices: indices.clone() }, vec![x], shape)?;
    }
    Ok(x)
}

/// [`picked`] as output `i` of the node.
pub fn emit_picked(call: &mut Call<'_>, i: usize, x: ValueId, mut picks: Picks) -> Result<()> {
    if let Some((axis, _)) = picks.iter().find(|(_, indices)| indices.is_empty()) {
        return refuse(format!("nothing is left of axis {axis}"));
    }
    let Some((axis, indices)) = picks.pop() else {
        let shape = call.shape(x);
        return call.emit_output(i, Op::Reshape, vec![x], shape);
    };
    let x = picked(call, x, &picks)?;
    let mut shape = call.shape(x);
    shape[axis] = indices.len();
    call.emit_output(i, Op::Gather { axis, indices }, vec![x], shape)
}

/// Ranges of axes, as attributes before operator set 10 and as inputs since.
pub fn slice(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let starts = call.integers_or_attribute(1, "starts")?.unwrap_or_default();
    let ends = call.integers_or_attribute(2, "ends")?.unwrap_or_default();
    let named = call.integers_or_attribute(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), named.len(), steps.len()] != [starts.len(); 3] {
        return bad("starts, ends, axes and steps are not of one length");
    }
    shapes::axes(&named, shape.len())?;
    let mut picks = Picks::new();
    for (i, &named) in named.iter().enumerate() {
        let at = axis(named, shape.len())?;
        let indices = range(shape[at], starts[i], ends[i], steps[i])?;
        if indices.len() != shape[at] || indices.first() != Some(&0) {
            picks.push((at, indices));
        }
    }
    emit_picked(call, 0, x, picks)
}

/// The indices of `start..end` by `step` on an axis of `size` elements; negative ones count from the end.
fn range(size: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>> {
    let size = size as i64;
    let position = |to: i64| if to < 0 { to.saturating_add(size) } else { to };
    let (start, end) = (position(start), position(end));
    let indices: Vec<i64> = match step {
        0 => return bad("a step is 0"),
        1.. => (start.clamp(0, size)..end.clamp(0, size)).step_by(step as usize).collect(),
        _ => {
            let (first, last) = (start.clamp(0, size - 1), end.clamp(-1, size - 1));
            (last + 1..first + 1).rev().step_by(step.unsigned_abs() as usize).collect()
        }
    };
    Ok(indices.into_iter().map(|index| index as usize).collect())
}

/// Constant indices along an axis, whose own shape takes the axis' place.
pub fn gather(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let at = axis(call.int("axis")?.unwrap_or(0), shape.len())?;
    let (Some(indices), Some(own)) = (call.integers(1)?, call.numbers(1)?) else {
        return bad("the indices are missing");
    };
    let indices: Vec<usize> = indices.iter().map(|&index| axis(index, shape[at])).collect::<Result<_>>()?;
    if indices.is_empty() {
        return bad("there are no indices");
    }
    if own.ndim() == 1 {
        return emit_picked(call, 0, x, vec![(at, indices)]);
    }
    let x = picked(call, x, &[(at, indices)])?;
    call.emit(Op::Reshape, vec![x], [&shape[..at], own.shape(), &shape[at + 1..]].concat())
}

/// Parts along an axis, of given sizes (attribute before operator set 13, input 1 since) or as equal as can be.
pub fn split(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let at = axis(call.int("axis")?.unwrap_or(0), shape.len())?;
    let outputs = call.node.output.len();
    let sizes = match call.integers_or_attribute(1, "split")? {
        Some(sizes) => shapes::sizes(&sizes, "sizes")?,
        None => {
            let parts = call.int("num_outputs")?.map_or(Ok(outputs), usize::try_from).unwrap_or(0).max(1);
            let size = shape[at].div_ceil(parts);
            (0..parts).map(|i| size.min(shape[at].saturating_sub(i * size))).collect()
        }
    };
    if sizes.len() != outputs || sizes.iter().sum::<usize>() != shape[at] {
        return bad(format!("sizes {sizes:?} of {outputs} outputs do not fit an axis of {}", shape[at]));
    }
    let mut start = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        if !call.node.output[i].is_empty() {
            emit_picked(call, i, x, vec![(at, (start..start + size).collect())])?;
        }
        start += size;
    }
    Ok(())
}

/// x repeated along axes of size 1 up to a constant shape.
pub fn expand(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let Some(target) = call.integers(1)? else {
        return bad("the target shape is missing");
    };
    let own = call.shape(x);
    let shape = shapes::broadcast(&own, &shapes::sizes(&target, "target shape")?)?;
    bounded(&shape)?;
    let aligned = [&vec![1; shape.len() - own.len()][..], &own].concat();
    let picks = (0..shape.len())
        .filter(|&axis| aligned[axis] != shape[axis])
        .map(|axis| (axis, vec![0; shape[axis]]))
        .collect();
    let x = if aligned == own { x } else { call.emit_step("aligned", Op::Reshape, vec![x], aligned)? };
    emit_picked(call, 0, x, picks)
}

/// x repeated a constant number of times along each axis.
pub fn tile(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let Some(times) = call.integers(1)? else {
        return bad("the repeats are missing");
    };
    let times = shapes::sizes(&times, "repeats")?;
    if times.len() != shape.len() || times.contains(&0) {
        return bad(format!("repeats {times:?} of a value of shape {shape:?}"));
    }
    let repeated: Option<Vec<usize>> = shape.iter().zip(&times).map(|(a, b)| a.checked_mul(*b)).collect();
    bounded(&repeated.unwrap_or_else(|| vec![usize::MAX]))?;
    let picks = (0..shape.len())
        .filter(|&axis| times[axis] > 1)
        .map(|axis| (axis, (0..shape[axis] * times[axis]).map(|i| i % shape[axis]).collect()))
        .collect();
    emit_picked(call, 0, x, picks)
}

/// Refuses more elements than are gathered at once.
pub fn bounded(shape: &[usize]) -> Result<()> {
    match shapes::element_count(shape) {
        Some(0..=MAX_FOLDED) => Ok(()),
        _ => bad(format!("a value of shape {shape:?} has more than {MAX_FOLDED} elements")),
    }
}

/// The indices that a pad of mode reflect, edge or wrap reads; negative amounts crop.
pub fn padded(mode: &str, size: usize, before: i64, after: i64) -> Result<Vec<usize>> {
    let signed = size as i64;
    let place = |i: i64| match mode {
        "edge" => Ok(i.clamp(0, signed - 1)),
        "wrap" => Ok(i.rem_euclid(signed)),
        "reflect" if size == 1 => Ok(0),
        "reflect" => {
            let period = 2 * (signed - 1);
            let i = i.rem_euclid(period);
            Ok(i.min(period - i))
        }
        mode => refuse(format!("attribute mode={mode} is not known")),
    };
    (-before..signed + after).map(|i| Ok(place(i)? as usize)).collect()
}
