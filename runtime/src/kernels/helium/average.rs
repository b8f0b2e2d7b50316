//! Averages: sums of eight channels at a time. What becomes of a sum is scalar, as in the portable kernels.

use core::ops::Range;

#[cfg(target_arch = "arm")]
use super::helium_core;
use crate::format::{MeanParams, Pool2dParams};
use crate::kernels::portable;
use crate::kernels::window::Window;
use crate::requantize::requantize;

/// Channels of a sum.
const LANES: usize = 8;

/// Pixels that fit a sum of 16 bits: 256 · 128 = 2¹⁵.
const PIXELS: usize = 256;

/// Averages over windows of `input` `[n, h, w, channels]`.
pub(crate) fn average_pool2d(
    window: &Window,
    params: &Pool2dParams,
    zero_point: i8,
    channels: usize,
    input: &[i8],
    output: &mut [i8],
) {
    let Window { y, x } = *window;
    if channels < LANES / 2 {
        // Most of a vector would be empty.
        return portable::average_pool2d(window, params, zero_point, channels, input, output);
    }
    let taps = window.taps() as i32;
    let mut pixels = output.chunks_exact_mut(channels);
    for image in input.chunks_exact(window.image(channels)) {
        for oy in 0..y.output {
            for ox in 0..x.output {
                let (rows, columns) = (y.positions(oy), x.positions(ox));
                let Some(pixel) = pixels.next() else { return };
                let inside = (rows.len() * columns.len()) as i32;
                let padding = if params.count_padding == 1 { taps - inside } else { 0 };
                let count = inside + padding;
                for (i, out) in pixel.chunks_mut(LANES).enumerate() {
                    let sums = sum(image, [x.input, channels], &rows, &columns, i * LANES);
                    for (out, sum) in out.iter_mut().zip(sums) {
                        let sum = sum + padding * i32::from(zero_point);
                        let q = match count {
                            0 => zero_point.into(),
                            count => portable::average(sum, count, params),
                        };
                        *out = q.max(params.activation_min.into()).min(params.activation_max.into()) as i8;
                    }
                }
            }
        }
    }
}

/// Mean of `input` over the axes of its `shape` that `params` names. Fast for h and w; the portable kernel does the rest.
pub(crate) fn mean(params: &MeanParams, shape: [usize; 4], input: &[i8], output: &mut [i8]) {
    let [_, h, w, c] = shape;
    if params.axes != 0b0110 {
        return portable::mean(params, shape, input, output);
    }
    for (image, pixel) in input.chunks_exact(h * w * c).zip(output.chunks_exact_mut(c)) {
        for (i, out) in pixel.chunks_mut(LANES).enumerate() {
            let sums = sum(image, [w, c], &(0..h), &(0..w), i * LANES);
            for (out, sum) in out.iter_mut().zip(sums) {
                let acc = params.channel.bias.wrapping_add(sum);
                *out = requantize(acc, &params.channel, params.activation_min, params.activation_max);
            }
        }
    }
}

/// Sums over rows and columns of an image of `[w, channels]` lines: those of the channels from `first` on.
#[inline(always)]
fn sum(
    image: &[i8],
    [w, channels]: [usize; 2],
    rows: &Range<usize>,
    columns: &Range<usize>,
    first: usize,
) -> [i32; LANES] {
    let lanes = LANES.min(channels - first);
    let mut sums = [0; LANES];
    if columns.is_empty() {
        return sums;
    }
    // Whole lines lie one behind the other.
    let whole = columns.len() == w;
    let (lines, len) = if whole { (rows.len().min(1), rows.len() * w) } else { (rows.len(), columns.len()) };
    for line in 0..lines {
        let mut at = ((rows.start + line) * w + columns.start) * channels + first;
        let mut left = len;
        while left > 0 {
            let now = left.min(PIXELS);
            let pixels = &image[at..at + (now - 1) * channels + lanes];
            // SAFETY: `now` is in range, and the slice holds as many pixels.
            unsafe { add_pixels(pixels.as_ptr(), channels, now, lanes, &mut sums) };
            (at, left) = (at + now * channels, left - now);
        }
    }
    sums
}

/// Adds `lanes` channels of `count` pixels, which lie `pitch` bytes apart.
///
/// # Safety
/// `from` is valid for reads of `lanes` bytes of each pixel; `count` is in 1..=[`PIXELS`], `lanes` no more than [`LANES`].
#[inline(always)]
unsafe fn add_pixels(from: *const i8, pitch: usize, count: usize, lanes: usize, sums: &mut [i32; LANES]) {
    #[cfg(target_arch = "arm")]
    // SAFETY: each round reads the lanes that count of one pixel; sums are written whole. The registers that change are
    // declared.
    unsafe {
        core::arch::asm!(
            helium_core!(),
            "vctp.16 {lanes}",
            "vmov.i32 q0, #0",
            "dls lr, {count}",
            "2:",
            "vpst",
            "vldrbt.s16 q1, [r0]",
            "add r0, {pitch}",
            "vadd.i16 q0, q0, q1",
            "le lr, 2b",
            "vmovlb.s16 q2, q0",
            "vmovlt.s16 q3, q0",
            "vld20.32 {{q0, q1}}, [{sums}]",
            "vld21.32 {{q0, q1}}, [{sums}]",
            "vadd.i32 q0, q0, q2",
            "vadd.i32 q1, q1, q3",
            "vst20.32 {{q0, q1}}, [{sums}]",
            "vst21.32 {{q0, q1}}, [{sums}]",
            lanes = in(reg) lanes,
            count = in(reg) count,
            pitch = in(reg) pitch,
            sums = in(reg) sums.as_mut_ptr(),
            // A load that widens takes its address in r0 to r7 only.
            inout("r0") from => _,
            out("lr") _,
            out("q0") _,
            out("q1") _,
            out("q2") _,
            out("q3") _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "arm"))]
    for pixel in 0..count {
        for (lane, sum) in sums.iter_mut().enumerate().take(lanes) {
            // SAFETY: the caller's promise.
            *sum += i32::from(unsafe { *from.add(pixel * pitch + lane) });
        }
    }
}
