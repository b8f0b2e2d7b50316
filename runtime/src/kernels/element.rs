//! One output element of a convolution, in any order of weights: what is left over where the dsp kernels have no
//! fast way. Short rather than fast, since every image holds it.

use crate::kernels::convolution::Convolution;
use crate::kernels::window::Window;
use crate::packing::MatrixOrder;
use crate::requantize::requantize;

/// How the weights of a convolution lie.
#[derive(Clone, Copy)]
pub(crate) enum Weights {
    /// A matrix a group.
    Matrix(MatrixOrder),
    /// A [`WindowOrder`](crate::packing::WindowOrder).
    Window,
}

/// Every output of output channels `first..first + count`. `input` is `[n, h, w, c_in]`, `output` is `[n, h, w, c_out]`.
#[inline]
pub(crate) fn channels(
    conv: &Convolution<'_>,
    weights: Weights,
    input: &[i8],
    (first, count): (usize, usize),
    output: &mut [i8],
) {
    let Window { y, x } = conv.window;
    let mut image = input;
    let (mut oy, mut ox) = (0, 0);
    for pixel in output.chunks_exact_mut(conv.c_out.max(1)) {
        for (i, out) in pixel.iter_mut().enumerate().skip(first).take(count) {
            *out = element(conv, weights, image, (y.start(oy), x.start(ox)), i);
        }
        ox += 1;
        if ox == x.output {
            (ox, oy) = (0, oy + 1);
        }
        if oy == y.output {
            oy = 0;
            image = image.get(conv.window.image(conv.c_in)..).unwrap_or_default();
        }
    }
}

/// Output channel `channel` of the pixel whose window starts at `start` (y, x).
#[inline]
fn element(conv: &Convolution<'_>, weights: Weights, image: &[i8], start: (i32, i32), channel: usize) -> i8 {
    let Window { y, x } = conv.window;
    let c_group = conv.c_in / conv.groups.max(1);
    let group = channel / (conv.c_out / conv.groups.max(1)).max(1);
    let Some(record) = conv.channels.get(channel) else { return 0 };
    let (mut stored, mut row, mut count, mut folded) = (conv.weights, channel, conv.window.taps(), 0);
    if let Weights::Matrix(order) = weights {
        stored = stored.get(group * order.bytes()..).unwrap_or_default();
        row -= group * order.rows;
        count = order.padded_k();
        folded = if order.folds() { 128 } else { 0 };
    }
    let mut acc = record.bias;
    let (mut ky, mut kx, mut i) = (0, 0, 0);
    for k in 0..count {
        let mut value = 0;
        if ky < y.kernel {
            // What is negative is large as `usize`.
            let py = (start.0 + (ky * y.dilation) as i32) as usize;
            let px = (start.1 + (kx * x.dilation) as i32) as usize;
            let place = py.wrapping_mul(x.input).wrapping_add(px).wrapping_mul(conv.c_in);
            let inside = py < y.input && px < x.input;
            let place = if inside { place.wrapping_add(group * c_group + i) } else { usize::MAX };
            value = image.get(place).copied().unwrap_or(conv.zero_point).into();
        }
        value -= folded * (k as i32 & 1);
        acc = acc.wrapping_add(value * i32::from(weight(conv, weights, stored, row, k)));
        i += 1;
        if i == c_group {
            (i, kx) = (0, kx + 1);
        }
        if kx == x.kernel {
            (kx, ky) = (0, ky + 1);
        }
    }
    requantize(acc, record, conv.activation.0, conv.activation.1)
}

/// Weight `k` of `row`. Out of line: code for every order in the loop above would be several times as long.
#[inline]
fn weight(conv: &Convolution<'_>, weights: Weights, stored: &[i8], row: usize, k: usize) -> i8 {
    let (place, flips) = match weights {
        Weights::Window => (conv.window_order().index(k, row), [0; 2]),
        Weights::Matrix(order) => (order.index(row, k), order.flips()),
    };
    stored.get(place).copied().unwrap_or_default() ^ flips[place % 2]
}
