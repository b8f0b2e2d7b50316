//! Weights rounded for the layer's output, not each for itself, and biases that keep the output's mean.
//!
//! With input covariance C, rounding weights w to s · q costs the output the variance eᵀCe, e = w − s · q. Its minimum over the
//! integers q is sought as optimal brain quantization does it (Frantar et al., GPTQ, 2022): one weight after the other is
//! rounded, and those behind make up for its error; then single integers are moved as long as that helps, which is the
//! objective of AdaRound (Nagel et al., 2020) without its relaxation. The mean of the error goes into the bias (Nagel et al.,
//! Data-Free Quantization, 2019), which has 32 bits.

use ndarray::{Array1, Array2, ArrayD, IxDyn};
use rayon::prelude::*;

use super::Refined;
use super::moments::{Group, Moments, rounds};
use crate::graph::{Op, ValueId};
use crate::quantize::scheme::{Channels, Weights};

/// Added to the covariance's diagonal, relative to its mean: what so few samples cannot tell.
const DAMPING: f64 = 0.01;
/// Most passes over a channel's weights.
const PASSES: usize = 20;

/// Rounds the weights of all layers for the output's sake.
pub fn round(refined: &mut Refined<'_>, moments: &Moments) {
    let Refined { graph, steps, scheme } = refined;
    let layers: Vec<_> = steps.iter().filter(|step| rounds(graph, &graph.nodes[step.node])).collect();
    let rounded: Vec<(ValueId, Vec<i8>)> = layers
        .par_iter()
        .filter_map(|step| {
            let node = &graph.nodes[step.node];
            let (groups, weights) = (moments.get(&step.output)?, scheme.weights.get(&step.output)?);
            let channels = Channels::of(graph, node)?;
            let floats: Vec<f32> = graph.constant(node.inputs[1])?.iter().copied().collect();
            Some((step.output, layer(&floats, weights, channels, groups)))
        })
        .collect();
    for (output, integers) in rounded {
        if let Some(weights) = scheme.weights.get_mut(&output) {
            weights.integers = integers;
        }
    }
}

fn layer(floats: &[f32], weights: &Weights, channels: Channels, groups: &[Group]) -> Vec<i8> {
    let per_group = channels.count / groups.len();
    let mut integers = weights.integers.clone();
    for (g, group) in groups.iter().enumerate() {
        let k = group.mean.len();
        let mean = group.covariance.diag().sum() / k as f64;
        let damping = (DAMPING * mean).max(f64::MIN_POSITIVE);
        let covariance = &group.covariance + Array2::<f64>::eye(k) * damping;
        let compensation = inverse(&covariance).and_then(|inverse| cholesky(&inverse));
        for c in g * per_group..(g + 1) * per_group {
            let scale = f64::from(weights.scales[c]);
            let limit = f64::from(Weights::limit(weights.bits));
            let row: Array1<f64> = channels.gather(floats, c).iter().map(|&w| f64::from(w) / scale).collect();
            let nearest: Array1<f64> =
                channels.gather(&weights.integers, c).iter().map(|&q| f64::from(q)).collect();
            let candidates = compensation.iter().map(|lower| compensated(&row, lower, limit));
            let candidates =
                candidates.chain([nearest]).map(|start| descended(&row, start, &covariance, limit));
            let cost = |q: &Array1<f64>| {
                let e = &row - q;
                e.dot(&covariance.dot(&e))
            };
            let best = candidates.min_by(|a, b| cost(a).total_cmp(&cost(b)));
            for (i, q) in best.into_iter().flatten().enumerate() {
                integers[channels.index(c, i)] = q as i8;
            }
        }
    }
    integers
}

/// Weights in steps, rounded one after the other; `lower` is the Cholesky factor of the inverse covariance, whose column i
/// says how the weights behind i make up for its error.
fn compensated(row: &Array1<f64>, lower: &Array2<f64>, limit: f64) -> Array1<f64> {
    let mut rest = row.clone();
    let mut rounded = Array1::zeros(row.len());
    for i in 0..row.len() {
        rounded[i] = rest[i].round().clamp(-limit, limit);
        let error = (rest[i] - rounded[i]) / lower[[i, i]];
        for j in i + 1..row.len() {
            rest[j] -= error * lower[[j, i]];
        }
    }
    rounded
}

/// Moves single integers by one as long as that lowers eᵀCe.
fn descended(row: &Array1<f64>, start: Array1<f64>, covariance: &Array2<f64>, limit: f64) -> Array1<f64> {
    let mut q = start;
    let mut gradient = covariance.dot(&(row - &q));
    for _ in 0..PASSES {
        let mut moved = false;
        for i in 0..q.len() {
            let step = gradient[i].signum();
            let stays = 2.0 * gradient[i].abs() <= covariance[[i, i]];
            if stays || (q[i] + step).abs() > limit || (row[i] - q[i] - step).abs() > 2.0 {
                continue;
            }
            q[i] += step;
            gradient.scaled_add(-step, &covariance.column(i));
            moved = true;
        }
        if !moved {
            break;
        }
    }
    q
}

/// The lower Cholesky factor of a positive definite matrix.
fn cholesky(a: &Array2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    let mut lower: Array2<f64> = Array2::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let products = lower.row(i).slice(ndarray::s![..j]).dot(&lower.row(j).slice(ndarray::s![..j]));
            let rest = a[[i, j]] - products;
            if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                lower[[i, i]] = rest.sqrt();
            } else {
                lower[[i, j]] = rest / lower[[j, j]];
            }
        }
    }
    Some(lower)
}

/// The inverse of a positive definite matrix, by its Cholesky factor.
fn inverse(a: &Array2<f64>) -> Option<Array2<f64>> {
    let lower = cholesky(a)?;
    let n = a.nrows();
    // L⁻¹ row by row, then A⁻¹ = L⁻ᵀ · L⁻¹.
    let mut inverse: Array2<f64> = Array2::zeros((n, n));
    for i in 0..n {
        let mut row: Array1<f64> = Array1::zeros(n);
        row[i] = 1.0;
        for j in 0..i {
            row.scaled_add(-lower[[i, j]], &inverse.row(j));
        }
        inverse.row_mut(i).assign(&(row / lower[[i, i]]));
    }
    Some(inverse.t().dot(&inverse))
}

/// Adds to each bias what rounding took from the output's mean.
pub fn correct_biases(refined: &mut Refined<'_>, moments: &Moments) {
    for step in refined.steps {
        let node = &refined.graph.nodes[step.node];
        let (Some(groups), Some(weights), Some(channels)) = (
            moments.get(&step.output),
            refined.scheme.weights.get(&step.output),
            Channels::of(&refined.graph, node),
        ) else {
            continue;
        };
        let Some(floats) = refined.graph.constant(node.inputs[1]) else { continue };
        let floats: Vec<f32> = floats.iter().copied().collect();
        let per_group = channels.count / groups.len();
        let correction = |c: usize| {
            let group = &groups[c / per_group];
            let rounded = channels.gather(&weights.integers, c);
            let terms =
                channels.gather(&floats, c).into_iter().zip(rounded).enumerate().map(|(i, (w, q))| {
                    let rounded = f64::from(q) * f64::from(weights.scales[c]);
                    f64::from(w) * group.mean[i] - rounded * group.rounded_mean[i]
                });
            terms.sum::<f64>()
        };
        let old = node.inputs.get(2).and_then(|&bias| refined.graph.constant(bias)).cloned();
        let bias: Vec<f32> = (0..channels.count)
            .map(|c| (old.as_ref().map_or(0.0, |old| f64::from(old[c])) + correction(c)) as f32)
            .collect();
        let name = format!("{}#bias", refined.graph.values[step.output].name);
        debug_assert!(matches!(node.op, Op::Conv { .. } | Op::MatMul));
        let index = step.node;
        let shape = IxDyn(&[bias.len()]);
        let constant = ArrayD::from_shape_vec(shape, bias).expect("one an output channel");
        let bias = refined.graph.add_constant(name, constant);
        refined.graph.nodes[index].inputs.truncate(2);
        refined.graph.nodes[index].inputs.push(bias);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use still8_validation::random::SplitMix64;

    use super::*;

    fn covariance(seed: u64, k: usize) -> Array2<f64> {
        let mut random = SplitMix64::new(seed);
        let factor = Array2::from_shape_simple_fn((k, k + 2), || f64::from(random.uniform([-1.0, 1.0])));
        factor.dot(&factor.t())
    }

    proptest! {
        #[test]
        fn rounding_for_the_output_is_never_worse_than_to_nearest(seed in any::<u64>(), k in 1usize..12) {
            let covariance = covariance(seed, k);
            let mut random = SplitMix64::new(seed ^ 1);
            let row = Array1::from_shape_simple_fn(k, || f64::from(random.uniform([-100.0, 100.0])));
            let group =
                Group { mean: Array1::zeros(k), rounded_mean: Array1::zeros(k), covariance: covariance.clone() };
            let nearest = row.mapv(f64::round);
            let weights =
                Weights { bits: 8, scales: vec![1.0], integers: nearest.iter().map(|&q| q as i8).collect() };
            let floats: Vec<f32> = row.iter().map(|&w| w as f32).collect();
            let row: Array1<f64> = floats.iter().map(|&w| f64::from(w)).collect();
            let channels = Channels::rows(1, k);
            let rounded = layer(&floats, &weights, channels, &[group]);
            let cost = |q: &Array1<f64>| {
                let mean = covariance.diag().sum() / k as f64;
                let e = &row - q;
                e.dot(&covariance.dot(&e)) + DAMPING * mean * e.dot(&e)
            };
            let rounded: Array1<f64> = rounded.iter().map(|&q| f64::from(q)).collect();
            prop_assert!(cost(&rounded) <= cost(&nearest) * (1.0 + 1e-9));
        }

        #[test]
        fn inverses_invert(seed in any::<u64>(), k in 1usize..12) {
            let a = covariance(seed, k) + Array2::<f64>::eye(k) * 0.1;
            let product = a.dot(&inverse(&a).unwrap());
            prop_assert!((&product - &Array2::<f64>::eye(k)).iter().all(|x| x.abs() < 1e-6));
        }
    }
}
