//! The order of weights in a plan, by family: written by the compiler, read by the kernels, decided here alone.
//!
//! | family | matrix `[rows][k]` of a convolution | of a fully connected layer | window `[taps][channels]` (depthwise) |
//! | --- | --- | --- | --- |
//! | portable | row-major | row-major | row-major |
//! | scalar | `[rows][k/2][2]` | `[rows/4][k/2][4][2]`, bytes w + 128 | `[channels/4][taps][4]` |
//! | dsp | `[rows/2][k/4][2][4]`, bytes of even k w + 128 | `[rows/4][k/4][4][4]`, likewise | `[channels/4][taps][4]` |
//! | helium | `[rows/4][k/16][4][16]` | `[rows/4][k/16][4][16]` | `[channels/16][taps][16]` |
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

/// Rows and k of a block by family, of a convolution and of a fully connected layer, as powers of two.
const BLOCKS: [[(u8, u8); 2]; Family::ALL.len()] = {
    let mut blocks = [[(0, 0); 2]; Family::ALL.len()];
    blocks[Family::Scalar as usize] = [(0, 1), (2, 1)];
    blocks[Family::Dsp as usize] = [(1, 2), (2, 2)];
    blocks[Family::Dsp1 as usize] = [(1, 2), (1, 2)];
    blocks[Family::Helium as usize] = [(2, 4), (2, 4)];
    blocks[Family::Neon as usize] = [(2, 2), (2, 2)];
    blocks
};

/// The next multiple of a power of two, 0 where that exceeds `usize`.
#[inline(always)]
const fn fill_up(count: usize, power: u32) -> usize {
    let mask = (1 << power) - 1;
    count.wrapping_add(mask) & !mask
}

impl MatrixOrder {
    /// Rows and k of a block, as powers of two.
    #[inline(always)]
    const fn block(&self) -> (u32, u32) {
        let (rows, k) = BLOCKS[self.family as usize][self.dense as usize];
        (rows as u32, k as u32)
    }

    /// k, filled up to whole blocks.
    #[inline(always)]
    pub const fn padded_k(&self) -> usize {
        fill_up(self.k, self.block().1)
    }

    /// Bytes that the matrix takes.
    pub const fn bytes(&self) -> usize {
        fill_up(self.rows, self.block().0) * self.padded_k()
    }

    /// Bytes that the matrix takes, `None` where that exceeds `usize`.
    pub const fn checked_bytes(&self) -> Option<usize> {
        let (block_rows, block_k) = self.block();
        let (rows, k) = (fill_up(self.rows, block_rows), fill_up(self.k, block_k));
        // Filling up wraps to zero.
        if rows < self.rows || k < self.k { None } else { rows.checked_mul(k) }
    }

    /// Place of weight `k` of output channel `row`.
    #[inline(always)]
    pub const fn index(&self, row: usize, k: usize) -> usize {
        let (block_rows, block_k) = self.block();
        let first_row = row >> block_rows << block_rows;
        let first_k = k >> block_k << block_k;
        first_row * self.padded_k() + (first_k << block_rows) + ((row - first_row) << block_k) + (k - first_k)
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

    /// Whether the order folds 128 · Σ of the weights of odd k into the bias.
    #[inline(always)]
    pub const fn folds(&self) -> bool {
        matches!(self.family, Family::Dsp)
    }

    /// What the order folds into the bias of `row`: in the dsp order 128 · Σ of the weights of odd k, fillings included.
    pub const fn folded(&self, stored: &[i8], row: usize) -> i32 {
        let mut sum = 0i32;
        if self.folds() {
            let mut k = 1;
            while k < self.padded_k() {
                sum = sum.wrapping_add(self.weight(stored, row, k) as i32);
                k += 2;
            }
        }
        sum.wrapping_mul(128)
    }
}

/// Bytes of stored weights that are packed at a time: two words become one.
pub const NIBBLE_BLOCK: usize = 8;

/// Bytes that stored weights take at four bits each; `None` where that exceeds `usize`.
///
/// Weights of four bits are stored as those of eight bits that are sixteen times as large, in the order of the family, so
/// that only the upper half of each stored byte counts. Of eight bytes, the upper halves of the first four become the lower
/// halves of four packed bytes, those of the last four stay the upper halves.
pub const fn nibble_bytes(stored: usize) -> Option<usize> {
    match stored.checked_next_multiple_of(NIBBLE_BLOCK) {
        Some(bytes) => Some(bytes / 2),
        None => None,
    }
}

/// Unpacks weights of four bits: `stored` takes twice as many bytes.
pub fn unpack_nibbles(packed: &[i8], stored: &mut [i8]) {
    const UPPER: u32 = 0xf0f0_f0f0;
    let (words, _) = packed.as_chunks::<4>();
    let (pairs, _) = stored.as_chunks_mut::<NIBBLE_BLOCK>();
    for (word, pair) in words.iter().zip(pairs) {
        let word = u32::from_le_bytes(word.map(|byte| byte as u8));
        let both = u64::from((word << 4) & UPPER) | u64::from(word & UPPER) << 32;
        *pair = both.to_le_bytes().map(|byte| byte as i8);
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
    /// Channels of a block, whose weights of one tap lie together; 1 stands for row-major.
    #[inline(always)]
    const fn block(&self) -> usize {
        match self.family {
            Family::Dsp | Family::Dsp1 | Family::Scalar => 4,
            Family::Helium => 16,
            Family::Portable | Family::Neon => 1,
        }
    }

    /// Bytes that the weights take.
    pub const fn bytes(&self) -> usize {
        self.taps * self.channels.next_multiple_of(self.block())
    }

    /// Bytes that the weights take, `None` where that exceeds `usize`.
    pub const fn checked_bytes(&self) -> Option<usize> {
        match self.channels.checked_next_multiple_of(self.block()) {
            Some(channels) => self.taps.checked_mul(channels),
            None => None,
        }
    }

    /// Place of the weight of `tap` and output channel `channel`.
    #[inline(always)]
    pub const fn index(&self, tap: usize, channel: usize) -> usize {
        match self.block() {
            1 => tap * self.channels + channel,
            block => (channel / block) * self.taps * block + tap * block + channel % block,
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
