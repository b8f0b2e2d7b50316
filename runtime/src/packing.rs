//! The order of weights in a plan, by family: written by the compiler, read by the kernels, decided here alone.
//!
//! | family | matrix `[rows][k]` (convolution, fully connected) | window `[taps][channels]` (depthwise) |
//! | --- | --- | --- |
//! | portable | row-major | row-major |
//! | dsp | rows in pairs, k in fours: `[rows/2][k/4][2][4]`, zero-filled | `[channels/4][taps][4]`, zero-filled |
//!
//! The dsp matrix lets one pointer stream both rows of a 2 × 2 tile; the dsp window lets one pointer stream the taps
//! of four channels.

use crate::format::Family;

/// Order of a weight matrix. k runs over `[kernel_h][kernel_w][c_in / groups]`.
#[derive(Clone, Copy, Debug)]
pub struct MatrixOrder {
    /// Weight order of the plan.
    pub family: Family,
    /// Output channels (of one group).
    pub rows: usize,
    /// Weights of one output channel.
    pub k: usize,
}

impl MatrixOrder {
    /// Bytes that the matrix takes.
    pub const fn bytes(&self) -> usize {
        match self.family {
            Family::Dsp => self.rows.next_multiple_of(2) * self.k.next_multiple_of(4),
            Family::Portable | Family::Helium | Family::Neon => self.rows * self.k,
        }
    }

    /// Bytes that the matrix takes, `None` where that exceeds `usize`.
    pub const fn checked_bytes(&self) -> Option<usize> {
        let Some(rows) = self.rows.checked_next_multiple_of(2) else {
            return None;
        };
        let Some(k) = self.k.checked_next_multiple_of(4) else {
            return None;
        };
        if rows.checked_mul(k).is_some() { Some(self.bytes()) } else { None }
    }

    /// Place of weight `k` of output channel `row`.
    #[inline(always)]
    pub const fn index(&self, row: usize, k: usize) -> usize {
        match self.family {
            Family::Dsp => (row / 2) * 2 * self.k.next_multiple_of(4) + (k / 4) * 8 + (row % 2) * 4 + k % 4,
            Family::Portable | Family::Helium | Family::Neon => row * self.k + k,
        }
    }
}

/// Order of depthwise weights. Taps run over `[kernel_h][kernel_w]`.
#[derive(Clone, Copy, Debug)]
pub struct WindowOrder {
    /// Weight order of the plan.
    pub family: Family,
    /// Kernel height × width.
    pub taps: usize,
    /// Output channels.
    pub channels: usize,
}

impl WindowOrder {
    /// Bytes that the weights take.
    pub const fn bytes(&self) -> usize {
        match self.family {
            Family::Dsp => self.taps * self.channels.next_multiple_of(4),
            Family::Portable | Family::Helium | Family::Neon => self.taps * self.channels,
        }
    }

    /// Bytes that the weights take, `None` where that exceeds `usize`.
    pub const fn checked_bytes(&self) -> Option<usize> {
        let Some(channels) = self.channels.checked_next_multiple_of(4) else {
            return None;
        };
        if self.taps.checked_mul(channels).is_some() { Some(self.bytes()) } else { None }
    }

    /// Place of the weight of `tap` and output channel `channel`.
    #[inline(always)]
    pub const fn index(&self, tap: usize, channel: usize) -> usize {
        match self.family {
            Family::Dsp => (channel / 4) * self.taps * 4 + tap * 4 + channel % 4,
            Family::Portable | Family::Helium | Family::Neon => tap * self.channels + channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_a_place_of_its_own() {
        for family in [Family::Portable, Family::Dsp] {
            for rows in 1..6 {
                for k in 1..11 {
                    let matrix = MatrixOrder { family, rows, k };
                    let window = WindowOrder { family, taps: rows, channels: k };
                    let mut seen = vec![[false; 2]; matrix.bytes().max(window.bytes())];
                    for row in 0..rows {
                        for i in 0..k {
                            for (which, at) in
                                [matrix.index(row, i), window.index(row, i)].into_iter().enumerate()
                            {
                                assert!(at < [matrix.bytes(), window.bytes()][which]);
                                assert!(
                                    !core::mem::replace(&mut seen[at][which], true),
                                    "{matrix:?} {row} {i}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
