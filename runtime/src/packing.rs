//! The order of weights in a plan, by family: written by the compiler, read by the kernels, decided here alone.
//!
//! | family | matrix `[rows][k]` of a convolution | of a fully connected layer | window `[taps][channels]` (depthwise) |
//! | --- | --- | --- | --- |
//! | portable, helium | row-major | row-major | row-major |
//! | scalar | `[rows][k/2][2]` | `[rows/4][k/2][4][2]`, bytes w + 128 | `[channels/4][taps][4]` |
//! | dsp | `[rows/2][k/4][2][4]`, bytes of even k w + 128 | `[rows/4][k/4][4][4]`, likewise | `[channels/4][taps][4]` |
//! | neon | `[rows/4][k/4][4][4]` | `[rows/4][k/4][4][4]` | row-major |
//! | dsp1 | `[rows/2][k/4][2][4]` | `[rows/2][k/4][2][4]` | `[channels/4][taps][4]` |
//!
//! Blocks are filled up with weights of 0. One pointer streams a block of rows.
//!
//! **Bytes w + 128** spare kernels a sign extension. In the scalar order a byte is read as unsigned, and the kernel
//! subtracts 128 · Σ x.
//!
//! **The dsp order** spares half of the extensions. A halfword with bytes (w₀ + 128, w₁) is the number w₀ + 128 + 256·w₁,
//! so that a word of four weights feeds SMLAD as it lies, against (x₀, x₂); what it adds to w₀·x₀ + w₂·x₂ is 256·w₁·x₀ +
//! 256·w₃·x₂ + 128·(x₀ + x₂). A second SMLAD takes the extended (w₁, w₃) against x₁ − 256·x₀ − 128 and x₃ − 256·x₂ − 128,
//! which fit 16 bits for any int8: it adds w₁·x₁ + w₃·x₃ and takes back the first of those terms, and 128·(w₁ + w₃). The
//! sum over a window of 128·(x₀ + x₂) belongs to the window; 128·Σ of the weights of odd k belongs to the row and is
//! folded into its bias by the compiler ([`MatrixOrder::folded`]).

use crate::format::Family;

/// Order of a weight matrix.
#[derive(Clone, Copy, Debug)]
pub struct MatrixOrder {
    /// Weight order of the plan.
    pub family: Family,
    /// Output channels (of one group).
    pub rows: usize,
    /// Weights of one output channel. For a convolution k runs over `[kernel_h][kernel_w][c_in / groups]`.
    pub k: usize,
    /// Whether the matrix is that of a fully connected layer.
    pub dense: bool,
}

impl MatrixOrder {
    /// Rows and k of a block.
    #[inline(always)]
    const fn block(&self) -> (usize, usize) {
        match (self.family, self.dense) {
            (Family::Portable | Family::Helium, _) => (1, 1),
            (Family::Scalar, false) => (1, 2),
            (Family::Scalar, true) => (4, 2),
            (Family::Dsp, false) | (Family::Dsp1, _) => (2, 4),
            (Family::Dsp, true) | (Family::Neon, _) => (4, 4),
        }
    }

    /// k, filled up to whole blocks.
    #[inline(always)]
    pub const fn padded_k(&self) -> usize {
        self.k.next_multiple_of(self.block().1)
    }

    /// Bytes that the matrix takes.
    pub const fn bytes(&self) -> usize {
        self.rows.next_multiple_of(self.block().0) * self.padded_k()
    }

    /// Bytes that the matrix takes, `None` where that exceeds `usize`.
    pub const fn checked_bytes(&self) -> Option<usize> {
        let (block_rows, block_k) = self.block();
        match (self.rows.checked_next_multiple_of(block_rows), self.k.checked_next_multiple_of(block_k)) {
            (Some(rows), Some(k)) => rows.checked_mul(k),
            _ => None,
        }
    }

    /// Place of weight `k` of output channel `row`.
    #[inline(always)]
    pub const fn index(&self, row: usize, k: usize) -> usize {
        let (block_rows, block_k) = self.block();
        (row / block_rows) * block_rows * self.padded_k()
            + (k / block_k) * block_rows * block_k
            + (row % block_rows) * block_k
            + k % block_k
    }

    /// What turns the bytes at even and at odd places into weights and back, by exclusive or: adding 128 flips the
    /// highest bit.
    #[inline(always)]
    pub const fn flips(&self) -> [i8; 2] {
        match (self.family, self.dense) {
            (Family::Scalar, true) => [i8::MIN; 2],
            (Family::Dsp, _) => [i8::MIN, 0],
            _ => [0; 2],
        }
    }

    /// Weight `k` of output channel `row` out of the stored bytes.
    #[inline(always)]
    pub const fn weight(&self, stored: &[i8], row: usize, k: usize) -> i8 {
        let place = self.index(row, k);
        stored[place] ^ self.flips()[place % 2]
    }

    /// What the order folds into the bias of `row`: in the dsp order 128 · Σ of the weights of odd k, fillings included.
    pub const fn folded(&self, stored: &[i8], row: usize) -> i32 {
        let mut sum = 0i32;
        if matches!(self.family, Family::Dsp) {
            let mut k = 1;
            while k < self.padded_k() {
                sum = sum.wrapping_add(self.weight(stored, row, k) as i32);
                k += 2;
            }
        }
        sum.wrapping_mul(128)
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
            Family::Dsp | Family::Dsp1 | Family::Scalar => self.taps * self.channels.next_multiple_of(4),
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
            Family::Dsp | Family::Dsp1 | Family::Scalar => {
                (channel / 4) * self.taps * 4 + tap * 4 + channel % 4
            }
            Family::Portable | Family::Helium | Family::Neon => tap * self.channels + channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_a_place_of_its_own() {
        for family in Family::ALL {
            for (rows, k) in (1..6).flat_map(|rows| (1..11).map(move |k| (rows, k))) {
                let matrices = [false, true].map(|dense| MatrixOrder { family, rows, k, dense });
                for matrix in matrices {
                    require_distinct(matrix.bytes(), rows, k, |row, k| matrix.index(row, k));
                    assert_eq!(matrix.checked_bytes(), Some(matrix.bytes()));
                }
                let window = WindowOrder { family, taps: rows, channels: k };
                require_distinct(window.bytes(), rows, k, |tap, channel| window.index(tap, channel));
            }
        }
    }

    fn require_distinct(bytes: usize, rows: usize, columns: usize, index: impl Fn(usize, usize) -> usize) {
        let mut seen = vec![false; bytes];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            assert!(!core::mem::replace(&mut seen[index(row, column)], true), "{row} {column}");
        }
    }
}
