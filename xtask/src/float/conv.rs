//! Convolution in f32: a product of matrices (im2col), or, depthwise, one plane at a time.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewMut2, linalg::general_mat_mul};

use crate::graph::Window;

/// x `[n, c_in, (h,) w]`, weights `[c_out, c_in / groups, (kh,) kw]`, optional bias `[c_out]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn conv(operands: &[&ArrayD<f32>], window: &Window, groups: usize, shape: &[usize]) -> ArrayD<f32> {
    let [n, c_in, h, w] = planes(operands[0].shape());
    let [_, c_out, out_h, out_w] = planes(shape);
    let (x, weights) = (operands[0].as_standard_layout(), operands[1].as_standard_layout());
    let (x, weights) = (x.as_slice().expect("row-major"), weights.as_slice().expect("row-major"));
    let (per_group, filters) = (c_in / groups, c_out / groups);
    let (taps, pixels) = (window.kernel[0] * window.kernel[1], out_h * out_w);
    let mut output = vec![0f32; n * c_out * pixels];
    if let Some(bias) = operands.get(2) {
        for (plane, &bias) in output.chunks_exact_mut(pixels).zip(bias.iter().cycle()) {
            plane.fill(bias);
        }
    }
    let pointwise = window.kernel == [1, 1] && window.stride == [1, 1] && window.padding == [0; 4];
    let mut columns = Vec::new();
    for b in 0..n {
        for g in 0..groups {
            let input = &x[(b * c_in + g * per_group) * h * w..][..per_group * h * w];
            let weights = &weights[g * filters * per_group * taps..][..filters * per_group * taps];
            let output = &mut output[(b * c_out + g * filters) * pixels..][..filters * pixels];
            if per_group == 1 {
                for (filter, plane) in weights.chunks_exact(taps).zip(output.chunks_exact_mut(pixels)) {
                    depthwise(input, [h, w], filter, window, plane, [out_h, out_w]);
                }
                continue;
            }
            let k = per_group * taps;
            let columns: &[f32] = if pointwise {
                input
            } else {
                columns.clear();
                im2col(input, [h, w], window, [out_h, out_w], &mut columns);
                &columns
            };
            let a = ArrayView2::from_shape((filters, k), weights).expect("filters of k weights");
            let x = ArrayView2::from_shape((k, pixels), columns).expect("k rows");
            let mut y = ArrayViewMut2::from_shape((filters, pixels), output).expect("one row a filter");
            general_mat_mul(1.0, &a, &x, 1.0, &mut y);
        }
    }
    ArrayD::from_shape_vec(shape, output).expect("one value an output position")
}

/// Input elements under each weight of a filter (all channels, all taps) at each output position: `[c_in · taps, positions]`,
/// padding as 0. `shape` is the output's; one image.
///
/// # Panics
/// If the shapes do not fit.
pub fn columns(x: &ArrayD<f32>, window: &Window, shape: &[usize]) -> Array2<f32> {
    let [_, c_in, h, w] = planes(x.shape());
    let [_, _, out_h, out_w] = planes(shape);
    let x = x.as_standard_layout();
    let mut columns = Vec::new();
    im2col(x.as_slice().expect("row-major"), [h, w], window, [out_h, out_w], &mut columns);
    let rows = c_in * window.kernel[0] * window.kernel[1];
    Array2::from_shape_vec((rows, out_h * out_w), columns).expect("one column a position")
}

/// `[n, c, h, w]` of a shape with one or two spatial axes.
fn planes(shape: &[usize]) -> [usize; 4] {
    match *shape {
        [n, c, w] => [n, c, 1, w],
        [n, c, h, w] => [n, c, h, w],
        _ => panic!("{shape:?} has no one or two spatial axes"),
    }
}

/// Output positions along an axis whose tap `k` lies inside the input, and the input position of the first.
fn inside(
    window: &Window,
    axis: usize,
    k: usize,
    size: usize,
    out: usize,
) -> (std::ops::Range<usize>, usize) {
    let (stride, offset) = (window.stride[axis], k * window.dilation[axis]);
    let padding = window.padding[axis];
    let first = padding.saturating_sub(offset).div_ceil(stride);
    let end = (size + padding).saturating_sub(offset).div_ceil(stride).min(out);
    let first = first.min(end);
    (first..end, (first * stride + offset).saturating_sub(padding))
}

/// Appends, for each input channel and tap, the input elements under that tap at all output positions.
fn im2col(
    x: &[f32],
    [h, w]: [usize; 2],
    window: &Window,
    [out_h, out_w]: [usize; 2],
    columns: &mut Vec<f32>,
) {
    for plane in x.chunks_exact(h * w) {
        for ky in 0..window.kernel[0] {
            let (rows, first_y) = inside(window, 0, ky, h, out_h);
            for kx in 0..window.kernel[1] {
                let (across, first_x) = inside(window, 1, kx, w, out_w);
                let start = columns.len();
                columns.resize(start + out_h * out_w, 0.0);
                let column = &mut columns[start..];
                for (i, oy) in rows.clone().enumerate() {
                    let line = &plane[(first_y + i * window.stride[0]) * w..][..w];
                    let out = &mut column[oy * out_w..][across.clone()];
                    let from = line.get(first_x..).unwrap_or_default().iter().step_by(window.stride[1]);
                    out.iter_mut().zip(from).for_each(|(out, &x)| *out = x);
                }
            }
        }
    }
}

fn depthwise(
    x: &[f32],
    [h, w]: [usize; 2],
    filter: &[f32],
    window: &Window,
    output: &mut [f32],
    [out_h, out_w]: [usize; 2],
) {
    for ky in 0..window.kernel[0] {
        let (rows, first_y) = inside(window, 0, ky, h, out_h);
        for kx in 0..window.kernel[1] {
            let (across, first_x) = inside(window, 1, kx, w, out_w);
            let weight = filter[ky * window.kernel[1] + kx];
            for (i, oy) in rows.clone().enumerate() {
                let line = x[(first_y + i * window.stride[0]) * w..][..w].get(first_x..).unwrap_or_default();
                let out = &mut output[oy * out_w..][across.clone()];
                if window.stride[1] == 1 {
                    out.iter_mut().zip(line).for_each(|(out, x)| *out += weight * x);
                } else {
                    let from = line.iter().step_by(window.stride[1]);
                    out.iter_mut().zip(from).for_each(|(out, x)| *out += weight * x);
                }
            }
        }
    }
}
