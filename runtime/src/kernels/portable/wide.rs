//! Kernels on int16 tensors; the formulas are with their operators in [`crate::ops`].

use crate::format::{Add16Params, Conv2d16Params, Mean16Params, WideRecord};
use crate::kernels::window::Window;
use crate::wide::{bias, requantize};

/// Terms of a sum in 32 bits: 511 · 2¹⁵ · 127 < 2³¹.
const BLOCK: usize = 511;

/// int8 to int16.
pub(crate) fn widen(record: &WideRecord, input: &[i8], output: &mut [i16]) {
    for (x, out) in input.iter().zip(output) {
        *out = requantize(bias(record) + i64::from(*x), record, -i16::MAX, i16::MAX);
    }
}

/// int16 to int8.
pub(crate) fn narrow(record: &WideRecord, zero_point: i8, input: &[i16], output: &mut [i8]) {
    for (x, out) in input.iter().zip(output) {
        let q = requantize(i64::from(*x), record, -i16::MAX, i16::MAX);
        *out = (i32::from(q) + i32::from(zero_point)).clamp(-128, 127) as i8;
    }
}

/// int16 to int16 of another scale.
pub(crate) fn rescale(record: &WideRecord, input: &[i16], output: &mut [i16]) {
    for (x, out) in input.iter().zip(output) {
        *out = requantize(i64::from(*x), record, -i16::MAX, i16::MAX);
    }
}

/// Convolution, also depthwise and of one pixel.
pub(crate) fn conv2d16(
    params: &Conv2d16Params,
    window: &Window,
    channels: [usize; 2],
    weights: (&[i8], &[WideRecord]),
    input: &[i16],
    output: &mut [i16],
) {
    conv2d16_by(params, window, channels, weights, (input, output), dot);
}

/// [`conv2d16`] whose sums of products, exact in 64 bits, are `dot`'s.
#[inline(always)]
pub(in crate::kernels) fn conv2d16_by(
    params: &Conv2d16Params,
    window: &Window,
    [c_in, c_out]: [usize; 2],
    (weights, channels): (&[i8], &[WideRecord]),
    (input, output): (&[i16], &mut [i16]),
    dot: impl Fn(&[i16], &[i8]) -> i64,
) {
    let Window { y, x } = *window;
    let groups = (params.groups as usize).max(1);
    let (c_group, rows) = (c_in / groups, (c_out / groups).max(1));
    let k = y.kernel * x.kernel * c_group;
    if groups == 1 && window.is_pointwise() {
        for (x, out) in input.chunks_exact(c_in.max(1)).zip(output.chunks_exact_mut(c_out.max(1))) {
            for ((out, row), channel) in out.iter_mut().zip(weights.chunks_exact(k.max(1))).zip(channels) {
                let acc = bias(channel).wrapping_add(dot(x, row));
                *out = requantize(acc, channel, params.activation_min, params.activation_max);
            }
        }
        return;
    }
    let mut pixels = output.chunks_exact_mut(c_out.max(1));
    for image in input.chunks_exact((y.input * x.input * c_in).max(1)) {
        for oy in 0..y.output {
            let top = y.start(oy);
            let taps_y = y.taps_inside(top);
            for ox in 0..x.output {
                let left = x.start(ox);
                let taps_x = x.taps_inside(left);
                let Some(pixel) = pixels.next() else { return };
                // Where taps of a row lie together in the input, they are one sum.
                let run = if x.dilation == 1 && groups == 1 { taps_x.len().max(1) } else { 1 };
                let outputs = pixel.iter_mut().zip(weights.chunks_exact(k.max(1))).zip(channels);
                for (o, ((out, row), channel)) in outputs.enumerate() {
                    let mut acc = bias(channel);
                    for ky in taps_y.clone() {
                        let line = (top + (ky * y.dilation) as i32) as usize * x.input;
                        let mut kx = taps_x.start;
                        while kx < taps_x.end {
                            let column = (left + (kx * x.dilation) as i32) as usize;
                            let from = (line + column) * c_in + o / rows * c_group;
                            let at = (ky * x.kernel + kx) * c_group;
                            // Every place exists; so read, it costs no panic.
                            if c_group == 1 && run == 1 {
                                let x = image.get(from).copied().unwrap_or_default();
                                let w = row.get(at).copied().unwrap_or_default();
                                acc = acc.wrapping_add((i32::from(x) * i32::from(w)).into());
                            } else {
                                let x = image.get(from..from + run * c_group).unwrap_or_default();
                                let w = row.get(at..at + run * c_group).unwrap_or_default();
                                acc = acc.wrapping_add(dot(x, w));
                            }
                            kx += run;
                        }
                    }
                    *out = requantize(acc, channel, params.activation_min, params.activation_max);
                }
            }
        }
    }
}

/// Σ x · w, in blocks that 32 bits hold.
fn dot(x: &[i16], w: &[i8]) -> i64 {
    let mut sum = 0i64;
    for (x, w) in x.chunks(BLOCK).zip(w.chunks(BLOCK)) {
        let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x).wrapping_mul(i32::from(w)));
        sum += i64::from(products.fold(0i32, i32::wrapping_add));
    }
    sum
}

/// Sum of two tensors.
pub(crate) fn add16(params: &Add16Params, a: &[i16], b: &[i16], output: &mut [i16]) {
    let [m0, m1] = params.multipliers.map(i64::from);
    let (low, high) = (i64::from(params.activation_min), i64::from(params.activation_max));
    let shift = u32::from(params.shift & 63);
    let half = 1i64 << shift.saturating_sub(1);
    for ((a, b), out) in a.iter().zip(b).zip(output) {
        let q = (m0 * i64::from(*a) + m1 * i64::from(*b) + half) >> shift;
        *out = q.max(low).min(high) as i16;
    }
}

/// Mean over the axes of the mask.
pub(crate) fn mean16(params: &Mean16Params, shape: [usize; 4], input: &[i16], output: &mut [i16]) {
    let reduced = |axis: usize| params.axes >> axis & 1 == 1;
    let strides = {
        let mut stride = 1;
        let mut strides = [0; 4];
        for axis in (0..4).rev().filter(|&axis| !reduced(axis)) {
            strides[axis] = stride;
            stride *= shape[axis];
        }
        strides
    };
    let [_, h, w, c] = shape;
    let pitch = [h * w * c, w * c, c, 1];
    for (index, out) in output.iter_mut().enumerate() {
        let mut first = 0;
        for axis in (0..4).filter(|&axis| !reduced(axis)) {
            first += index / strides[axis].max(1) % shape[axis].max(1) * pitch[axis];
        }
        let count = |axis: usize| if reduced(axis) { shape[axis] } else { 1 };
        let mut acc = 0i64;
        for n in 0..count(0) {
            for h in 0..count(1) {
                for w in 0..count(2) {
                    for c in 0..count(3) {
                        let at = first + n * pitch[0] + h * pitch[1] + w * pitch[2] + c * pitch[3];
                        acc += i64::from(input.get(at).copied().unwrap_or_default());
                    }
                }
            }
        }
        *out = requantize(acc, &params.record, params.activation_min, params.activation_max);
    }
}

/// A function of one element.
pub(crate) fn table16(table: &[i16], input: &[i16], output: &mut [i16]) {
    for (x, out) in input.iter().zip(output) {
        let place = (i32::from(*x) + 32768) as usize;
        let entry = |j: usize| table.get(j).map_or(0, |&entry| i32::from(entry));
        let (low, high) = (entry(place >> 7), entry((place >> 7) + 1));
        *out = (low + (((high - low) * (place & 127) as i32 + 64) >> 7)) as i16;
    }
}
