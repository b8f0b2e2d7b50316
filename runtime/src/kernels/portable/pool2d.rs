//! Pools; the formulas are in [`crate::ops::AveragePool2d`] and [`crate::ops::MaxPool2d`].
//!
//! One output at a time: a few instructions an element, and little code.

use super::sum::sum;
use crate::format::Pool2dParams;
use crate::kernels::window::Window;

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
    for_each_output(window, channels, input, output, |view| {
        let inside = (view.rows * view.columns) as i32;
        let padding = if params.count_padding == 1 { taps - inside } else { 0 };
        let count = inside + padding;
        let sum = view.sum() + padding * i32::from(zero_point);
        clamp(if count == 0 { zero_point.into() } else { average(sum, count, params) }, params)
    });
}

/// sum ⁄ count in one rounding; count > 0.
#[inline(always)]
pub(in crate::kernels) fn average(sum: i32, count: i32, params: &Pool2dParams) -> i32 {
    let down = params.ties_away == 1 && sum < 0;
    (2 * sum + count - i32::from(down)).div_euclid((2 * count).max(1))
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
    for_each_output(window, channels, input, output, |view| {
        let max = if view.rows * view.columns == 0 { zero_point } else { view.max() };
        clamp(max.into(), params)
    });
}

#[inline]
fn clamp(q: i32, params: &Pool2dParams) -> i8 {
    q.max(params.activation_min.into()).min(params.activation_max.into()) as i8
}

/// One channel of the part of a window that lies inside the image.
struct View<'a> {
    /// From the image on.
    input: &'a [i8],
    /// Place of the first element.
    start: usize,
    rows: usize,
    columns: usize,
    /// Elements of an image row and of a pixel.
    pitch: (usize, usize),
}

impl View<'_> {
    #[inline(always)]
    fn sum(&self) -> i32 {
        sum(self.input, self.start, (self.rows, self.pitch.0), (self.columns, self.pitch.1))
    }

    #[inline(always)]
    fn max(&self) -> i8 {
        let mut max = i8::MIN;
        for row in 0..self.rows {
            let mut at = self.start + row * self.pitch.0;
            for _ in 0..self.columns {
                // Every place inside the image exists; so put, it costs no panic.
                max = max.max(self.input.get(at).copied().unwrap_or(max));
                at += self.pitch.1;
            }
        }
        max
    }
}

/// Writes every output with what `f` makes of its window.
#[inline(always)]
fn for_each_output(
    window: &Window,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
    mut f: impl FnMut(View<'_>) -> i8,
) {
    let Window { y, x } = *window;
    let pitch = (x.input * channels, channels);
    let mut outputs = output.iter_mut();
    let mut input = input;
    while !input.is_empty() {
        for oy in 0..y.output {
            let rows = y.positions(oy);
            for ox in 0..x.output {
                let columns = x.positions(ox);
                let start = rows.start * pitch.0 + columns.start * pitch.1;
                for start in start..start + channels {
                    let Some(out) = outputs.next() else { return };
                    *out = f(View { input, start, rows: rows.len(), columns: columns.len(), pitch });
                }
            }
        }
        input = input.get(window.image(channels)..).unwrap_or_default();
    }
}
