//! What the convolution kernels of every variant are given, all of it checked by the operator.

use crate::format::{ChannelRecord, Family};
use crate::kernels::window::{Axis, Window};
use crate::packing::{MatrixOrder, WindowOrder};

/// A convolution of images `[h, w, c_in]` to `[h, w, c_out]`.
#[derive(Clone, Copy)]
pub(crate) struct Convolution<'a> {
    /// Geometry.
    pub window: Window,
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Groups; divides `c_in` and `c_out`.
    pub groups: usize,
    /// Order of the weights.
    pub family: Family,
    /// Weights: one [`MatrixOrder`] a group, or one [`WindowOrder`] for a depthwise convolution.
    pub weights: &'a [i8],
    /// One record an output channel.
    pub channels: &'a [ChannelRecord],
    /// Lowest and highest output.
    pub activation: (i8, i8),
    /// Zero point of the input: the value of padding.
    pub zero_point: i8,
}

impl Convolution<'_> {
    /// Order of one group's weights. Saturates, so that the check refuses what 32 bits cannot count.
    #[inline]
    pub fn matrix_order(&self) -> MatrixOrder {
        let (rows, c_group) = (self.c_out / self.groups.max(1), self.c_in / self.groups.max(1));
        MatrixOrder { family: self.family, rows, k: self.window.taps().saturating_mul(c_group), dense: false }
    }

    /// Order of a depthwise convolution's weights.
    #[inline]
    pub fn window_order(&self) -> WindowOrder {
        WindowOrder { family: self.family, taps: self.window.taps(), channels: self.c_out }
    }
}

/// Scratch bytes in which the helium kernels gather windows, where two windows take no more: 16 of 3 × 3 × 16 elements.
const VECTOR_SCRATCH: usize = 2304;

/// Most windows that the helium kernels gather at once.
const VECTOR_WINDOWS: usize = 32;

/// Bytes of a gathered window of k elements in the helium kernels: whole vectors of 16 bytes.
pub(crate) fn vector_pitch(k: usize) -> usize {
    k.max(1).checked_next_multiple_of(16).unwrap_or(usize::MAX)
}

/// Windows of k elements that the helium kernels gather at once for an output of `pixels` pixels: pairs, which share
/// weights.
pub(crate) fn vector_windows(k: usize, pixels: usize) -> usize {
    (VECTOR_SCRATCH / vector_pitch(k) / 2 * 2).clamp(2, VECTOR_WINDOWS).min(pixels)
}

/// Scratch memory of the helium kernel for small depthwise windows, in bytes.
pub(crate) struct VectorWords {
    /// A word for every channel of the columns that the windows of a line read, and room for a vector of 64 bytes more.
    pub words: usize,
    /// A plane for each tap of a row, and one of zeros: a word for every channel, rounded up to 16 channels.
    pub weights: usize,
    /// A line of zero points.
    pub zeros: usize,
}

impl VectorWords {
    /// For windows of up to 4 × 4 taps, multiples of four channels and padding that does not exceed the line; else the
    /// kernel is not used.
    pub fn new(kernel_h: usize, x: &Axis, c: usize) -> Option<Self> {
        let reach = x
            .output
            .saturating_sub(1)
            .checked_mul(x.stride)?
            .checked_add(x.kernel.checked_mul(x.dilation)?)?;
        let columns = reach.max(x.input.checked_add(x.padding)?);
        if kernel_h > 4 || x.kernel > 4 || !c.is_multiple_of(4) || columns > x.input.checked_mul(4)? {
            return None;
        }
        let plane = c.checked_next_multiple_of(16)?.checked_mul(4)?;
        Some(Self {
            words: columns.checked_mul(c.checked_mul(4)?)?.checked_add(64)?,
            weights: plane.checked_mul(x.kernel + 1)?,
            zeros: x.input.checked_mul(c)?,
        })
    }

    /// All of it, `usize::MAX` for more than that.
    pub fn bytes(&self) -> usize {
        self.words.saturating_add(self.weights).saturating_add(self.zeros)
    }
}
