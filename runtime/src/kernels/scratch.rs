//! Scratch memory of the convolution kernels, by family. The compiler reserves it, the plan's check demands it, the
//! kernels use it: one rule for all.

use crate::format::Family;
use crate::kernels::accepts;
use crate::kernels::convolution::{VectorWords, vector_pitch, vector_windows};
use crate::kernels::window::Window;
use crate::ops::DepthwiseConv2d;

/// Bytes for a convolution. A family that this build does not run costs no code.
///
/// The portable kernel gathers the window of an output pixel, k elements of one group; none where an output pixel reads just
/// the input pixel at its own place, in one group. The others, for one group:
///
/// - dsp: the windows of four output pixels, each rounded up to a multiple of four elements of two bytes, and one as int8;
/// - scalar: the windows of four pixels, two in a word of four bytes, of k rounded up to even, and a pixel of zero points;
/// - helium: the windows of up to 32 pixels, an even number that fits 2304 bytes, two at least, each rounded up to a
///   multiple of 16 bytes; none for a pointwise convolution whose c_in is one;
/// - neon: the windows of four pixels, each rounded up to a multiple of four bytes, with 16 bytes behind the last; none for a
///   pointwise convolution whose c_in is one;
/// - dsp1: as release 0.1 did, two windows rounded up to a multiple of four bytes, none for a pointwise convolution whose
///   c_in is one.
pub(crate) fn conv2d(family: Family, window: &Window, c_in: usize, groups: usize) -> usize {
    let k = window.y.kernel.saturating_mul(window.x.kernel).saturating_mul(c_in / groups.max(1));
    let pointwise = window.is_pointwise() && groups == 1;
    if groups == 1 {
        match family {
            Family::Dsp if accepts(Family::Dsp) => return k.div_ceil(4).saturating_mul(36),
            Family::Scalar if accepts(Family::Scalar) => {
                let k = k.checked_next_multiple_of(2).unwrap_or(usize::MAX);
                return k.saturating_mul(8).saturating_add(c_in);
            }
            Family::Helium if accepts(Family::Helium) => {
                if pointwise && c_in.is_multiple_of(16) {
                    return 0;
                }
                let pixels = window.y.output.saturating_mul(window.x.output);
                return vector_pitch(k).saturating_mul(vector_windows(k, pixels));
            }
            Family::Neon if accepts(Family::Neon) => {
                if pointwise && c_in.is_multiple_of(4) {
                    return 0;
                }
                let pitch = k.checked_next_multiple_of(4).unwrap_or(usize::MAX);
                return pitch.saturating_mul(4).saturating_add(16);
            }
            Family::Dsp1 if accepts(Family::Dsp1) => {
                if pointwise && c_in.is_multiple_of(4) {
                    return 0;
                }
                return k.checked_next_multiple_of(4).unwrap_or(usize::MAX).saturating_mul(2);
            }
            _ => (),
        }
    }
    if pointwise { 0 } else { k }
}

/// Bytes for a depthwise convolution. Only where there are as many output as input channels is there any:
///
/// - dsp, without dilation and up to [`DepthwiseConv2d::TAPS`] taps in [`DepthwiseConv2d::ROWS`] rows: of four channels,
///   kernel_h ⁄ 2 + 1 pairs of padded rows at 16 bytes a column, and 2 · (kernel_h ⁄ 2 + 1) arrangements of the weights; h
///   stands for w in an image that is one column wide;
/// - scalar and dsp1: a pixel of zero points;
/// - neon, without dilation downwards: as many lines as the kernel has, with their padding, and a line of zero points;
/// - helium: a line of zero points of the input's width; for windows of up to 4 × 4 taps and multiples of four channels also
///   words, one a channel for every column that a line of windows reads, padding included, and for every tap of a row and one
///   more; for others, 16 weights a tap where there are fewer than 16 channels.
pub(crate) fn depthwise_conv2d(family: Family, window: &Window, c_in: usize, c_out: usize) -> usize {
    if c_in != c_out {
        return 0;
    }
    let taps = window.y.kernel.saturating_mul(window.x.kernel);
    match family {
        Family::Dsp if accepts(Family::Dsp) => {
            let Window { y, x } = window.lengthwise();
            let dilated = (y.dilation, x.dilation) != (1, 1);
            if taps > DepthwiseConv2d::TAPS || y.kernel > DepthwiseConv2d::ROWS || dilated {
                return 0;
            }
            let slots = y.kernel / 2 + 1;
            let columns = x.output.saturating_sub(1).saturating_mul(x.stride).saturating_add(x.kernel);
            columns.saturating_add(2 * slots * x.kernel).saturating_mul(16 * slots)
        }
        Family::Neon if accepts(Family::Neon) && window.y.dilation == 1 => {
            let x = &window.x;
            let kernel = x.kernel.saturating_sub(1).saturating_mul(x.dilation).saturating_add(1);
            let reach = x.output.saturating_sub(1).saturating_mul(x.stride).saturating_add(kernel);
            window.y.kernel.saturating_add(1).saturating_mul(reach.saturating_mul(c_in))
        }
        Family::Dsp1 | Family::Scalar => c_in,
        Family::Helium if accepts(Family::Helium) => {
            if let Some(need) = VectorWords::new(window.y.kernel, &window.x, c_in) {
                return need.bytes();
            }
            let line = window.x.input.saturating_mul(c_in).checked_next_multiple_of(16).unwrap_or(usize::MAX);
            line.saturating_add(if c_in < 16 { taps.saturating_mul(16) } else { 0 })
        }
        _ => 0,
    }
}
