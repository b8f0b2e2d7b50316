//! Fake quantization: floats rounded to the integers of the numbers contract, with straight-through gradients
//! (Jacob et al., arXiv:1712.05877) and learned ranges (PACT: Choi et al., arXiv:1805.06085).

use xtask::quantization::Quantization;

/// Rounds activations to int8 over `[low, high]`: half up, as the runtime's requantization rounds.
pub fn activations(x: &mut [f32], low: f32, high: f32) {
    let quantization = Quantization::int8(low, high);
    let (scale, zero_point) = (quantization.scale, quantization.zero_point as f32);
    let inverse = 1.0 / scale;
    for x in x {
        let q = ((*x * inverse + 0.5).floor() + zero_point).clamp(-128.0, 127.0);
        *x = (q - zero_point) * scale;
    }
}

/// The gradient of x, in place: passed where x lies in the range, and given to the range's end where it is cut off.
/// Returns the gradients of low and high.
pub fn activations_backward(x: &[f32], dy: &mut [f32], low: f32, high: f32) -> [f32; 2] {
    let (low, high) = Quantization::int8(low, high).range();
    let [mut d_low, mut d_high] = [0.0; 2];
    for (&x, dy) in x.iter().zip(dy) {
        if x < low {
            d_low += std::mem::take(dy);
        } else if x > high {
            d_high += std::mem::take(dy);
        }
    }
    [d_low, d_high]
}

/// The scale of each output channel of weights `[k, channels]`, symmetric: the largest magnitude for eight bits, for four
/// that of a few shares of it which leaves the least squared error.
pub fn weight_scales(weights: &[f32], channels: usize, bits: u8) -> Vec<f32> {
    let limit = limit(bits);
    let mut largest = vec![0f32; channels];
    for row in weights.chunks_exact(channels) {
        largest.iter_mut().zip(row).for_each(|(most, w)| *most = most.max(w.abs()));
    }
    let scale = |most: f32| if most / limit < f32::MIN_POSITIVE { 1.0 } else { most / limit };
    if bits == 8 {
        return largest.into_iter().map(scale).collect();
    }
    let error = |channel: usize, scale: f32| -> f32 {
        weights.iter().skip(channel).step_by(channels).map(|w| (w - rounded(*w, scale, limit)).powi(2)).sum()
    };
    let best = |channel: usize, most: f32| {
        let shares = (8..=20).map(|share| scale(most * share as f32 / 20.0));
        let cost = |s: &f32| error(channel, *s);
        shares.min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("some shares")
    };
    largest.into_iter().enumerate().map(|(channel, most)| best(channel, most)).collect()
}

/// Weights `[k, channels]` on their grids.
pub fn weights(weights: &[f32], scales: &[f32], bits: u8) -> Vec<f32> {
    let limit = limit(bits);
    let rounded = |(w, scale): (&f32, &f32)| rounded(*w, *scale, limit);
    weights.chunks_exact(scales.len()).flat_map(|row| row.iter().zip(scales).map(rounded)).collect()
}

/// The integer of a weight.
pub fn integer(weight: f32, scale: f32, bits: u8) -> i32 {
    (rounded(weight, scale, limit(bits)) / scale).round() as i32
}

fn limit(bits: u8) -> f32 {
    if bits == 4 { 7.0 } else { 127.0 }
}

fn rounded(weight: f32, scale: f32, limit: f32) -> f32 {
    (weight / scale).round().clamp(-limit, limit) * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_multiples_of_the_step_and_cut_off() {
        let mut x = [-1.0, 0.0, 0.011, 2.55, 9.0];
        activations(&mut x, 0.0, 2.55);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5;
        assert!(x.iter().zip([0.0, 0.0, 0.01, 2.55, 2.55]).all(|(a, b)| near(*a, b)), "{x:?}");
        let mut dy = [1.0; 5];
        let ends = activations_backward(&[-1.0, 0.0, 0.011, 2.54, 9.0], &mut dy, 0.0, 2.55);
        assert_eq!((dy, ends), ([0.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0]));
    }

    #[test]
    fn weights_of_four_bits_have_fifteen_values() {
        let floats: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin()).collect();
        let scales = weight_scales(&floats, 2, 4);
        let fake = weights(&floats, &scales, 4);
        for (i, (w, f)) in floats.iter().zip(&fake).enumerate() {
            let q = integer(*w, scales[i % 2], 4);
            assert!((-7..=7).contains(&q) && (q as f32 * scales[i % 2] - f).abs() < 1e-6);
        }
    }
}
