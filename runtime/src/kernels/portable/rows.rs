//! Rows of channels: [`crate::ops::LayerNorm`], [`crate::ops::PRelu`] and [`crate::ops::ArgMax`].

use core::cell::Cell;

use crate::format::{NormRecord, PReluParams};

/// Normalizes rows of as many elements as there are `channels`.
pub(crate) fn layer_norm(epsilon: u64, shift: u8, channels: &[NormRecord], input: &[i8], output: &mut [i8]) {
    let c = channels.len();
    let rows = input.chunks_exact(c.max(1)).zip(output.chunks_exact_mut(c.max(1)));
    for (input, output) in rows {
        let sum = input.iter().fold(0i64, |sum, &x| sum + i64::from(x));
        let squares = input.iter().fold(0i64, |sum, &x| sum + i64::from(x) * i64::from(x));
        let v = (c as i64 * squares - sum * sum) as u64 + epsilon;
        // 62 bits: v is below 2⁶².
        let e = v.leading_zeros().saturating_sub(2) / 2;
        let inverse = match root(v << (2 * e)) {
            0 => 0,
            root => ((1u64 << 62) / root) as i64,
        };
        // With v = 0 every difference is 0, whatever the shift.
        let down = 47u32.saturating_sub(e);
        for ((x, out), channel) in input.iter().zip(output).zip(channels) {
            let norm = ((c as i64 * i64::from(*x) - sum) * inverse) >> down;
            let q =
                (((norm * i64::from(channel.multiplier)) >> 16) + i64::from(channel.offset)) >> (shift & 31);
            *out = q.clamp(-128, 127) as i8;
        }
    }
}

/// ⌊√v⌋ of v < 2⁶², bit by bit.
fn root(v: u64) -> u64 {
    let (mut rest, mut root, mut bit) = (v, 0u64, 1u64 << 60);
    while bit != 0 {
        if rest >= root + bit {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    root
}

/// Rectifies with a slope for each channel.
pub(crate) fn prelu(
    params: &PReluParams,
    slopes: &[i32],
    zero_point: i8,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let c = slopes.len().max(1);
    for (input, output) in input.chunks_exact(c).zip(output.chunks_exact(c)) {
        for ((x, out), &slope) in input.iter().zip(output).zip(slopes) {
            let x = i32::from(x.get()) - i32::from(zero_point);
            let m = if x < 0 { slope } else { params.multiplier };
            let q = m.wrapping_mul(x).wrapping_add(params.offset) >> (params.shift & 31);
            out.set(q.clamp(-128, 127) as i8);
        }
    }
}

/// Place of the largest element of each row of `c`.
pub(crate) fn arg_max(last: bool, c: usize, input: &[i8], output: &mut [i8]) {
    for (row, out) in input.chunks_exact(c.max(1)).zip(output) {
        let (mut index, mut largest) = (0usize, i32::MIN);
        for (i, &x) in row.iter().enumerate() {
            if i32::from(x) > largest || (last && i32::from(x) == largest) {
                (index, largest) = (i, x.into());
            }
        }
        *out = (index as i32 - 128) as i8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roots_are_exact(v in 0u64..1 << 62, bits in 0u32..62) {
            let v = v >> bits;
            let root = root(v);
            prop_assert!(root * root <= v && (root + 1) * (root + 1) > v);
        }
    }
}
