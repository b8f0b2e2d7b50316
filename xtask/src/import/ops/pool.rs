//! MaxPool, AveragePool and their global forms.

use still8_validation::Result;

use crate::graph::{Op, Reduction, ValueId, Window};
use crate::import::call::{Call, bad, refuse};
use crate::import::window::{kernel_shape, window};

/// The largest of each window.
pub fn max(call: &mut Call<'_>) -> Result<()> {
    let (x, window, shape) = pool(call)?;
    call.emit(Op::MaxPool { window }, vec![x], shape)
}

/// The mean of each window.
pub fn average(call: &mut Call<'_>) -> Result<()> {
    let (x, window, shape) = pool(call)?;
    let count_padding = call.int("count_include_pad")?.unwrap_or(0) != 0;
    call.emit(Op::AveragePool { window, count_padding }, vec![x], shape)
}

fn pool(call: &Call<'_>) -> Result<(ValueId, Window, Vec<usize>)> {
    let (x, shape) = spatial_input(call)?;
    let (window, out) = window(call, &kernel_shape(call)?, &shape[2..])?;
    let [top, left, bottom, right] = window.padding;
    if top.max(bottom) >= window.kernel[0] || left.max(right) >= window.kernel[1] {
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
