//! Weights rounded for the layer's output, not each for itself, and biases that keep the output's mean.
//!
//! With input covariance C, rounding weights w to s · q costs the output the variance eᵀCe, e = w − s · q. Its minimum over the
//! integers q is sought as optimal brain quantization does it (Frantar et al., GPTQ, 2022): one weight after the other is
//! rounded, and those behind make up for its error; then single integers are moved as long as that helps, which is the
//! objective of AdaRound (Nagel et al., 2020) without its relaxation. Inputs that are wrong already are made up for by the
//! weights that bring the float output back, as far as it is linear in them, before these are rounded. The mean of the
//! error goes into the bias (Nagel et al., Data-Free Quantization, 2019), which has 32 bits.

use ndarray::{Array1, Array2, ArrayD, IxDyn};
use rayon::prelude::*;

use super::Refined;
use super::moments::Group;
use crate::graph::Graph;
use crate::quantize::fuse::Fused;
use crate::quantize::scheme::{Channels, Weights};

/// Added to the covariance's diagonal, relative to its mean, with as much for each position a weight that was seen: what so
/// few samples cannot tell.
const DAMPING: f64 = 0.01;
/// Fewer positions a weight do not tell how to make up for wrong inputs.
const POSITIONS_FOR_SHIFT: f64 = 16.0;
/// Most passes over a channel's weights.
const PASSES: usize = 20;

/// Rounds a layer's weights for its output's sake.
pub fn round(refined: &mut Refined<'_>, step: &Fused, groups: &[Group]) {
    let Refined { graph, scheme, .. } = refined;
    let node = &graph.nodes[step.node];
    let (Some(weights), Some(channels), Some(floats)) =
        (scheme.weights.get_mut(&step.output), Channels::of(graph, node), graph.constant(node.inputs[1]))
    else {
        return;
    };
    let floats: Vec<f32> = floats.iter().copied().collect();
    weights.integers = rounded(&floats, weights, channels, groups);
}

/// Integers for the weights `floats` of a layer.
fn rounded(floats: &[f32], weights: &Weights, channels: Channels, groups: &[Group]) -> Vec<i8> {
    let per_group = channels.count / groups.len();
    let solved: Vec<Vec<(usize, i8)>> = groups
        .par_iter()
        .enumerate()
        .map(|(g, group)| {
            let k = group.mean.len();
            let mean = group.covariance.diag().sum() / k as f64;
            let damping = ((DAMPING + k as f64 / group.count) * mean).max(f64::MIN_POSITIVE);
            let covariance = &group.covariance + Array2::<f64>::eye(k) * damping;
            let inverse = inverse(&covariance);
            // What brings the float output back out of inputs that are wrong already: wᵀ(cross − C)C⁻¹ is added to w.
            let known = inverse.as_ref().filter(|_| group.count >= POSITIONS_FOR_SHIFT * k as f64);
            let shift = known.map(|inverse| (&group.cross - &group.covariance).dot(inverse));
            let compensation = inverse.and_then(|inverse| cholesky(&inverse));
            let of_channel = |c: usize| {
                let scale = f64::from(weights.scales[c]);
                let limit = f64::from(Weights::limit(weights.bits));
                let row: Array1<f64> =
                    channels.gather(floats, c).iter().map(|&w| f64::from(w) / scale).collect();
                let row = match &shift {
                    Some(shift) => &row + &row.dot(shift),
                    None => row,
                };
                let nearest = row.mapv(|w| w.round().clamp(-limit, limit));
                let candidates = compensation.iter().map(|lower| compensated(&row, lower, limit));
                let candidates =
                    candidates.chain([nearest]).map(|start| descended(&row, start, &covariance, limit));
                let cost = |q: &Array1<f64>| {
                    let e = &row - q;
                    e.dot(&covariance.dot(&e))
                };
                let best = candidates.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or_default();
                best.iter().enumerate().map(|(i, &q)| (channels.index(c, i), q as i8)).collect::<Vec<_>>()
            };
            (g * per_group..(g + 1) * per_group).flat_map(of_channel).collect()
        })
        .collect();
    let mut integers = weights.integers.clone();
    solved.into_iter().flatten().for_each(|(place, q)| integers[place] = q);
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

/// Adds to a layer's biases what the int8 network took from its output's mean; `original` has the float weights and biases.
pub fn correct_bias(refined: &mut Refined<'_>, original: &Graph, step: &Fused, groups: &[Group]) {
    let node = &original.nodes[step.node];
    let (Some(weights), Some(channels), Some(floats)) = (
        refined.scheme.weights.get(&step.output),
        Channels::of(original, node),
        original.constant(node.inputs[1]),
    ) else {
        return;
    };
    let floats: Vec<f32> = floats.iter().copied().collect();
    let per_group = channels.count / groups.len();
    let correction = |c: usize| {
        let group = &groups[c / per_group];
        let integers = channels.gather(&weights.integers, c);
        let terms = channels.gather(&floats, c).into_iter().zip(integers).enumerate().map(|(i, (w, q))| {
            let int8 = f64::from(q) * f64::from(weights.scales[c]);
            f64::from(w) * group.mean[i] - int8 * group.int8_mean[i]
        });
        terms.sum::<f64>()
    };
    let old = node.inputs.get(2).and_then(|&bias| original.constant(bias));
    let bias: Vec<f32> = (0..channels.count)
        .map(|c| (old.map_or(0.0, |old| f64::from(old[c])) + correction(c)) as f32)
        .collect();
    let name = format!("{}#bias", original.values[step.output].name);
    let shape = IxDyn(&[bias.len()]);
    let constant = ArrayD::from_shape_vec(shape, bias).expect("one an output channel");
    let bias = refined.graph.add_constant(name, constant);
    let inputs = &mut refined.graph.nodes[step.node].inputs;
    inputs.truncate(2);
    inputs.push(bias);
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
            let group = Group {
                count: 1e9,
                mean: Array1::zeros(k),
                int8_mean: Array1::zeros(k),
                covariance: covariance.clone(),
                cross: covariance.clone(),
            };
            let nearest = row.mapv(f64::round);
            let weights =
                Weights { bits: 8, scales: vec![1.0], integers: nearest.iter().map(|&q| q as i8).collect() };
            let floats: Vec<f32> = row.iter().map(|&w| w as f32).collect();
            let row: Array1<f64> = floats.iter().map(|&w| f64::from(w)).collect();
            let channels = Channels::rows(1, k);
            let rounded = rounded(&floats, &weights, channels, &[group]);
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
