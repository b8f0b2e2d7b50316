//! Pools; the formulas are in [`crate::ops::AveragePool2d`] and [`crate::ops::MaxPool2d`].
//!
//! Works on blocks of channels: those of one input pixel lie together.

use core::ops::Range;

use crate::format::Pool2dParams;
use crate::kernels::window::{Axis, Window};

/// Channels in a block.
const BLOCK: usize = 8;

/// Averages over windows of `input` `[n, h, w, channels]`.
#[inline]
pub(crate) fn average_pool2d(
    window: &Window,
    params: &Pool2dParams,
    zero_point: i8,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
) {
    let taps = window.taps() as i32;
    for_each_window(window, channels, input, output, |view, out| {
        let mut sums = [0i32; BLOCK];
        view.for_each_pixel(out.len(), |pixel| {
            for (sum, &x) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(x);
            }
        });
        let inside = (view.rows.len() * view.columns.len()) as i32;
        let padding = if params.count_padding == 1 { taps - inside } else { 0 };
        let count = inside + padding;
        for (out, sum) in out.iter_mut().zip(sums) {
            let sum = sum + padding * i32::from(zero_point);
            let q =
                if count == 0 { zero_point.into() } else { (2 * sum + count).div_euclid((2 * count).max(1)) };
            *out = clamp(q, params);
        }
    });
}

/// Maxima over windows of `input` `[n, h, w, channels]`.
#[inline]
pub(crate) fn max_pool2d(
    window: &Window,
    params: &Pool2dParams,
    zero_point: i8,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
) {
    for_each_window(window, channels, input, output, |view, out| {
        let empty = view.rows.is_empty() || view.columns.is_empty();
        let mut maxima = [if empty { zero_point } else { i8::MIN }; BLOCK];
        view.for_each_pixel(out.len(), |pixel| {
            for (max, &x) in maxima.iter_mut().zip(pixel) {
                *max = (*max).max(x);
            }
        });
        for (out, max) in out.iter_mut().zip(maxima) {
            *out = clamp(max.into(), params);
        }
    });
}

#[inline]
fn clamp(q: i32, params: &Pool2dParams) -> i8 {
    q.max(params.activation_min.into()).min(params.activation_max.into()) as i8
}

/// The part of one window that lies inside the image, for one block of channels.
struct View<'a> {
    image: &'a [i8],
    /// Elements of an image row and of a pixel.
    pitch: (usize, usize),
    rows: Range<usize>,
    columns: Range<usize>,
    first_channel: usize,
}

impl View<'_> {
    /// Calls `f` with the block's channels (`len`) of every pixel.
    #[inline(always)]
    fn for_each_pixel(&self, len: usize, mut f: impl FnMut(&[i8])) {
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let at = y * self.pitch.0 + x * self.pitch.1 + self.first_channel;
                f(&self.image[at..at + len]);
            }
        }
    }
}

/// Calls `f` for every window and block of channels, with the outputs to write.
#[inline(always)]
fn for_each_window(
    window: &Window,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
    mut f: impl FnMut(View<'_>, &mut [i8]),
) {
    let Window { y, x } = *window;
    let mut pixels = output.chunks_exact_mut(channels);
    for image in input.chunks_exact(window.image(channels)) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let (rows, columns) = (positions(&y, oy), positions(&x, ox));
                let Some(pixel) = pixels.next() else { return };
                for (i, out) in pixel.chunks_mut(BLOCK).enumerate() {
                    let pitch = (x.input * channels, channels);
                    let (rows, columns) = (rows.clone(), columns.clone());
                    f(View { image, pitch, rows, columns, first_channel: i * BLOCK }, out);
                }
            }
        }
    }
}

/// Input positions inside the window of output position `o`, of an axis without dilation.
#[inline]
fn positions(axis: &Axis, o: usize) -> Range<usize> {
    let start = axis.start(o);
    let taps = axis.taps_inside(start);
    if taps.is_empty() {
        return 0..0;
    }
    let at = |tap: usize| (start + tap as i32) as usize;
    at(taps.start)..at(taps.end)
}
