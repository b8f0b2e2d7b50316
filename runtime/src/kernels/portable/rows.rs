//! Rows of channels: [`crate::ops::LayerNorm`], [`crate::ops::PRelu`] and [`crate::ops::ArgMax`].

use core::cell::Cell;

use crate::format::{NormRecord, PReluParams};

/// Normalizes rows of as many elements as there are `channels`.
pub(crate) fn layer_norm(epsilon: u64, shift: u8, channels: &[NormRecord], input: &[i8], output: &mut [i8]) {
    let c = channels.len();
    let rows = input.chunks_exact(c.max(1)).zip(output.chunks_exact_mut(c.max(1)));
    for (input, output) in rows {
        // c is at most 2¹⁵, so that both fit 32 bits, as do c · x − sum and norm below.
        let sum = input.iter().fold(0i32, |sum, &x| sum.wrapping_add(x.into()));
        let squares = input.iter().fold(0i32, |sum, &x| sum.wrapping_add(i32::from(x) * i32::from(x)));
        let variance = (c as i64 * i64::from(squares) - i64::from(sum) * i64::from(sum)) as u64;
        let v = (variance << 16) + epsilon;
        // 62 bits: v is below 2⁶².
        let e = v.leading_zeros().saturating_sub(2) / 2;
        let inverse = match root(v << (2 * e)) {
            0 => 0,
            root => ((1u64 << 62) / root) as i64,
        };
        // With v = 0 every difference is 0, whatever the shift.
        let down = 39u32.saturating_sub(e);
        for ((x, out), channel) in input.iter().zip(output).zip(channels) {
            let difference = (c as i32).wrapping_mul(i32::from(*x)).wrapping_sub(sum);
            let norm = ((i64::from(difference) * inverse) >> down) as i32;
            let q = (((i64::from(norm) * i64::from(channel.multiplier)) >> 16) + i64::from(channel.offset))
                >> (shift & 31);
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
    use std::vec;

    use proptest::collection;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roots_are_exact(v in 0u64..1 << 62, bits in 0u32..62) {
            let v = v >> bits;
            let root = root(v);
            prop_assert!(root * root <= v && (root + 1) * (root + 1) > v);
        }

        // Rows that are nearly constant, where ε counts most.
        #[test]
        fn layer_norm_is_off_by_less_than_a_step(
            row in (2usize..64).prop_flat_map(|c| collection::vec(prop_oneof![3 => Just(0i8), 1 => -2i8..3, 1 => any::<i8>()], c)),
            scale in -10f64..0.0,
        ) {
            let c = row.len() as f64;
            let (scale, to) = (scale.exp(), c.sqrt() / 127.0);
            let epsilon = 1e-5 / (scale * scale);
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / c;
            let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / c;
            let shift = 20;
            let multiplier = (2.0 / to * f64::from(1 << shift)).round() as i32;
            let record = NormRecord { multiplier, offset: 1 << (shift - 1) };
            let mut output = vec![0; row.len()];
            let steps = (epsilon * c * c * 65536.0).round() as u64;
            layer_norm(steps, shift as u8, &vec![record; row.len()], &row, &mut output);
            for (&x, out) in row.iter().zip(output) {
                let exact = (f64::from(x) - mean) / (variance + epsilon).sqrt() / to;
                prop_assert!((f64::from(out) - exact).abs() < 1.0, "{} is not {}", out, exact);
            }
        }
    }
}
