//! Smooth random samples: for networks whose own data are not there, something nearer to images and spectra than noise.
//!
//! A sample is a sum of a few plane waves over all axes, of random direction and phase and at most a few periods long, with
//! some noise, a brightness and a contrast of its own, within the input's range.

use crate::data::{Dataset, InputSpec, RANDOM_RANGE, Tensor, Values};
use crate::random::SplitMix64;

/// Plane waves in a sample.
const WAVES: usize = 5;
/// Most periods of a wave along an axis.
const PERIODS: f32 = 4.0;
/// Share of noise.
const NOISE: f32 = 0.05;

/// Smooth random samples for `inputs`; the seed fixes them.
pub fn smooth(seed: u64, inputs: &[InputSpec], samples: usize) -> Dataset {
    let mut random = SplitMix64::new(seed);
    let tensor = |spec: &InputSpec| {
        let shape = spec.sample_shape();
        let elements = shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(samples * elements);
        for _ in 0..samples {
            sample(&mut random, shape, spec.range.unwrap_or(RANDOM_RANGE), &mut values);
        }
        (spec.name.clone(), Tensor::new([&[samples], shape].concat(), Values::Float(values)))
    };
    let inputs = inputs.iter().map(tensor).collect();
    Dataset { inputs, labels: None, targets: None, origin: format!("smooth:{seed}") }
}

fn sample(random: &mut SplitMix64, shape: &[usize], [low, high]: [f32; 2], values: &mut Vec<f32>) {
    let turn = std::f32::consts::TAU;
    let waves: Vec<(f32, f32, Vec<f32>)> = (0..WAVES)
        .map(|_| {
            let (amplitude, phase) = (random.uniform([0.2, 1.0]), random.uniform([0.0, turn]));
            let per_step = |&size: &usize| random.uniform([-PERIODS, PERIODS]) * turn / size.max(2) as f32;
            (amplitude, phase, shape.iter().map(per_step).collect())
        })
        .collect();
    let total: f32 = waves.iter().map(|(amplitude, ..)| amplitude).sum();
    let (brightness, contrast) = (random.uniform([0.2, 0.8]), random.uniform([0.3, 1.5]));
    for i in 0..shape.iter().product::<usize>() {
        let mut sum = 0.0;
        for (amplitude, phase, per_step) in &waves {
            let mut rest = i;
            let mut angle = *phase;
            for (&size, step) in shape.iter().zip(per_step).rev() {
                angle += step * (rest % size) as f32;
                rest /= size;
            }
            sum += amplitude * angle.cos();
        }
        let noise = random.uniform([-NOISE, NOISE]);
        let unit = (brightness + contrast * 0.5 * sum / total + noise).clamp(0.0, 1.0);
        values.push(low + unit * (high - low));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sample;

    #[test]
    fn samples_are_smooth_within_their_range_and_the_seed_s_own() {
        let spec = InputSpec { name: "x".into(), shape: vec![1, 3, 32, 32], range: Some([0.0, 255.0]) };
        let data = smooth(1, std::slice::from_ref(&spec), 8);
        assert_eq!(data, smooth(1, std::slice::from_ref(&spec), 8));
        assert_ne!(data, smooth(2, std::slice::from_ref(&spec), 8));
        for i in 0..8 {
            let Sample::Float(x) = data.inputs[0].1.sample(i) else { panic!("float") };
            assert!(x.iter().all(|x| (0.0..=255.0).contains(x)));
            let steps: f32 = x.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f32>() / 3071.0;
            assert!(steps < 60.0, "{steps}");
        }
    }
}
