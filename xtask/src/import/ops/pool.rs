//! MaxPool, AveragePool and their global forms.

use still8_validation::Result;

use super::movement::{bounded, picked};
use crate::graph::{Op, Reduction, ValueId, Window};
use crate::import::call::{Call, bad, refuse};
use crate::import::window::{kernel_shape, window};

/// The largest of each window.
pub fn max(call: &mut Call<'_>) -> Result<()> {
    let (x, window, shape) = pool(call)?;
    if window.dilation == [1, 1] {
        return call.emit(Op::MaxPool { window }, vec![x], shape);
    }
    dilated(call, x, window, &shape)
}

/// Along each dilated axis the elements of every window are gathered side by side, and pooled there. What lies in the padding
/// is another element of the same window, which changes no maximum.
fn dilated(call: &mut Call<'_>, mut x: ValueId, window: Window, shape: &[usize]) -> Result<()> {
    let mut rest = Window { dilation: [1, 1], ..window };
    for i in (0..2).filter(|&i| window.dilation[i] > 1 && window.kernel[i] > 1) {
        let axis = shape.len() - 2 + i;
        let mut from = call.shape(x);
        let (kernel, size) = (window.kernel[i], from[axis]);
        bounded(&[shape[axis], kernel])?;
        let mut indices = Vec::with_capacity(shape[axis] * kernel);
        for o in 0..shape[axis] {
            let place =
                |t: usize| (o * window.stride[i] + t * window.dilation[i]).checked_sub(window.padding[i]);
            let places: Vec<Option<usize>> =
                (0..kernel).map(|t| place(t).filter(|&place| place < size)).collect();
            let Some(&inside) = places.iter().flatten().next() else {
                return refuse(format!(
                    "its window {o} along axis {axis} lies in the padding alone; pad less"
                ));
            };
            indices.extend(places.into_iter().map(|place| place.unwrap_or(inside)));
        }
        from[axis] = indices.len();
        bounded(&from)?;
        x = picked(call, x, &[(axis, indices)])?;
        let mut along = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0; 4] };
        (along.kernel[i], along.stride[i]) = (kernel, kernel);
        from[axis] = shape[axis];
        x = call.emit_step("pooled", Op::MaxPool { window: along }, vec![x], from)?;
        (rest.kernel[i], rest.stride[i]) = (1, 1);
        (rest.padding[i], rest.padding[i + 2]) = (0, 0);
    }
    call.emit(Op::MaxPool { window: rest }, vec![x], shape.to_vec())
}

/// The mean of each window.
pub fn average(call: &mut Call<'_>) -> Result<()> {
    let (x, window, shape) = pool(call)?;
    let count_padding = call.int("count_include_pad")?.unwrap_or(0) != 0;
    call.emit(Op::AveragePool { window, count_padding, half_up: false }, vec![x], shape)
}

fn pool(call: &Call<'_>) -> Result<(ValueId, Window, Vec<usize>)> {
    let (x, shape) = spatial_input(call)?;
    let (window, out) = window(call, &kernel_shape(call)?, &shape[2..])?;
    let [top, left, bottom, right] = window.padding;
    let reach = [0, 1].map(|i| (window.kernel[i] - 1) * window.dilation[i] + 1);
    if top.max(bottom) >= reach[0] || left.max(right) >= reach[1] {
        return refuse(format!("padding {:?} is as large as the kernel {:?}", window.padding, window.kernel));
    }
    Ok((x, window, [&shape[..2], &out].concat()))
}

/// The mean over all spatial axes.
pub fn global_average(call: &mut Call<'_>) -> Result<()> {
    let (x, mut shape) = spatial_input(call)?;
    let axes: Vec<_> = (2..shape.len()).collect();
    shape[2..].fill(1);
    call.emit(Op::Reduce { reduction: Reduction::Mean, axes }, vec![x], shape)
}

/// The largest over all spatial axes.
pub fn global_max(call: &mut Call<'_>) -> Result<()> {
    let (x, mut shape) = spatial_input(call)?;
    let kernel = match shape[2..] {
        [h, w] => [h, w],
        _ => [1, shape[2]],
    };
    let window = Window { kernel, stride: [1, 1], dilation: [1, 1], padding: [0; 4] };
    shape[2..].fill(1);
    call.emit(Op::MaxPool { window }, vec![x], shape)
}

/// The input and its shape, which has one or two spatial axes.
fn spatial_input(call: &Call<'_>) -> Result<(ValueId, Vec<usize>)> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    match shape.len() {
        3 | 4 => Ok((x, shape)),
        0..3 => bad(format!("input of shape {shape:?} has no spatial axis")),
        rank => refuse(format!("{} spatial axes; one or two are supported", rank - 2)),
    }
}
