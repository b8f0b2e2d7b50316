//! Where a sliding window lies on its input, one axis at a time.
//!
//! Tap t of output position o reads input position `o · stride − padding + t · dilation`; positions outside the
//! input are padding. A window may lie wholly in padding.

use core::ops::Range;

use crate::error::OpFault;

/// Largest position on an axis: sums of two positions stay within `i32`.
const POSITION_LIMIT: u64 = 1 << 30;

/// One axis of a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Size of the input.
    pub input: usize,
    /// Size of the output.
    pub output: usize,
    /// Number of taps.
    pub kernel: usize,
    /// Input positions from one output position to the next.
    pub stride: usize,
    /// Input positions from one tap to the next.
    pub dilation: usize,
    /// Positions of padding before the input.
    pub padding: usize,
}

impl Axis {
    /// Refuses zero sizes and steps, and positions past the limit.
    #[inline]
    pub fn check(&self) -> Result<(), OpFault> {
        if self.kernel == 0 || self.stride == 0 || self.dilation == 0 || self.padding > u16::MAX.into() {
            return Err(OpFault::Value);
        }
        if self.input == 0 || self.output == 0 {
            return Err(OpFault::Shape);
        }
        // Sizes are below 2³², steps below 2¹⁶.
        let last_start = (self.output - 1) as u64 * self.stride as u64;
        let reach = last_start + (self.kernel - 1) as u64 * self.dilation as u64;
        if reach.max(self.input as u64) > POSITION_LIMIT { Err(OpFault::Shape) } else { Ok(()) }
    }

    /// Input position of the first tap of output position `o`; negative in padding.
    #[inline]
    pub fn start(&self, o: usize) -> i32 {
        (o * self.stride) as i32 - self.padding as i32
    }

    /// Output positions whose taps all lie inside the input.
    #[cfg(any(kernels_dsp, kernels_helium, kernels_neon, test))]
    pub fn inside(&self) -> Range<usize> {
        let low = self.padding.div_ceil(self.stride.max(1)).min(self.output);
        let room = (self.input + self.padding).checked_sub((self.kernel - 1) * self.dilation + 1);
        let high = room.map_or(0, |room| (room / self.stride.max(1) + 1).min(self.output));
        low..high.max(low)
    }

    /// Taps of a window that starts at `start` which lie inside the input.
    #[inline(never)]
    pub fn taps_inside(&self, start: i32) -> Range<usize> {
        let input = self.input as i32;
        let last = start + ((self.kernel - 1) * self.dilation) as i32;
        let low = if start >= 0 { 0 } else { self.steps(-start) };
        let high = if last < input { self.kernel } else { self.steps((input - start).max(0)) };
        low.min(high)..high
    }

    /// Whether all taps of a window that starts at `start` lie inside the input.
    #[cfg(any(kernels_scalar, test))]
    #[inline]
    pub fn is_inside(&self, start: i32) -> bool {
        start >= 0 && start + (((self.kernel - 1) * self.dilation) as i32) < self.input as i32
    }

    /// Input positions inside the window of output position `o`, without dilation.
    #[inline]
    pub fn positions(&self, o: usize) -> Range<usize> {
        let start = self.start(o);
        let taps = self.taps_inside(start);
        if taps.is_empty() {
            return 0..0;
        }
        let at = |tap: usize| (start + tap as i32) as usize;
        at(taps.start)..at(taps.end)
    }

    /// Number of taps before one that lies `distance` or more past the first.
    #[inline]
    fn steps(&self, distance: i32) -> usize {
        // A division is a library call on Armv6-M, and dilation is rare.
        if self.dilation == 1 {
            distance as usize
        } else {
            (distance as usize).div_ceil(self.dilation.max(1))
        }
    }
}

/// A window on an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Downwards.
    pub y: Axis,
    /// To the right.
    pub x: Axis,
}

impl Window {
    /// Refuses what [`Axis::check`] refuses.
    #[inline]
    pub fn check(&self) -> Result<(), OpFault> {
        self.y.check()?;
        self.x.check()
    }

    /// Whether an output position reads just the input position at its own place.
    #[inline]
    pub fn is_pointwise(&self) -> bool {
        let axis = |a: Axis| a.kernel == 1 && a.stride == 1 && a.padding == 0 && a.input == a.output;
        axis(self.y) && axis(self.x)
    }

    /// The same window with an image that is one column wide laid on its side: elements and taps keep their order, and a
    /// kernel that goes along rows finds a long one.
    pub fn lengthwise(self) -> Self {
        let Self { y, x } = self;
        let column = x.input == 1 && x.output == 1 && x.kernel == 1 && x.padding == 0;
        if column { Self { y: x, x: y } } else { self }
    }

    /// Number of taps; fits 32 bits, since either kernel size comes from 16.
    #[inline]
    pub fn taps(&self) -> usize {
        self.y.kernel * self.x.kernel
    }

    /// Elements of an image with `channels` channels.
    #[inline]
    pub fn image(&self, channels: usize) -> usize {
        self.y.input * self.x.input * channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::kernels::cases::config())]

        #[test]
        fn taps_inside_are_those_that_read_the_input(
            input in 1usize..12, output in 1usize..8, kernel in 1usize..9, stride in 1usize..4,
            dilation in 1usize..4, padding in 0usize..14,
        ) {
            let axis = Axis { input, output, kernel, stride, dilation, padding };
            prop_assert!(axis.check().is_ok());
            for o in 0..output {
                let start = axis.start(o);
                let inside = axis.taps_inside(start);
                prop_assert_eq!(axis.inside().contains(&o), inside.len() == kernel);
                prop_assert_eq!(axis.is_inside(start), inside == (0..kernel));
                for tap in 0..kernel {
                    let position = (o * stride + tap * dilation) as i32 - padding as i32;
                    prop_assert_eq!(inside.contains(&tap), (0..input as i32).contains(&position));
                }
            }
        }
    }
}
