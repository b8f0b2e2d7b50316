//! First and second moments of what each weighted layer multiplies, over sample data.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayD, ArrayView2};
use rayon::prelude::*;

use crate::float::{FloatRunner, columns};
use crate::graph::{Graph, Node, Op, ValueId};
use crate::quantization::Quantization;
use crate::quantize::fuse::Fused;
use crate::quantize::scheme::Scheme;

/// Output positions of a sample that count: more of them say little that is new.
const POSITIONS: usize = 192;

/// Moments of one group of a layer: its inputs as the integers hold them, and as the float graph has them.
#[derive(Clone, Debug)]
pub struct Group {
    /// Mean of the float inputs, one for each weight of a channel.
    pub mean: Array1<f64>,
    /// Mean of the inputs after rounding and clipping.
    pub rounded_mean: Array1<f64>,
    /// Covariance of the inputs after rounding and clipping.
    pub covariance: Array2<f64>,
}

/// Moments of all weighted layers, by the value that their steps produce. One group, or one a group of a convolution.
pub type Moments = HashMap<ValueId, Vec<Group>>;

/// Sums over positions.
#[derive(Clone)]
struct Sums {
    count: f64,
    float: Array1<f64>,
    rounded: Array1<f64>,
    products: Array2<f64>,
}

impl Sums {
    fn new(k: usize) -> Self {
        Self {
            count: 0.0,
            float: Array1::zeros(k),
            rounded: Array1::zeros(k),
            products: Array2::zeros((k, k)),
        }
    }

    /// Adds the columns of `x` `[k, positions]`.
    fn add(&mut self, x: ArrayView2<'_, f32>, quantization: Quantization) {
        let rounded = x.mapv(|x| quantization.dequantize(quantization.quantize(x)));
        self.count += x.ncols() as f64;
        for (i, (row, rounded)) in x.rows().into_iter().zip(rounded.rows()).enumerate() {
            self.float[i] += row.iter().map(|&x| f64::from(x)).sum::<f64>();
            self.rounded[i] += rounded.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        self.products += &rounded.dot(&rounded.t()).mapv(f64::from);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.float += &other.float;
        self.rounded += &other.rounded;
        self.products += &other.products;
    }

    fn moments(&self) -> Group {
        let n = self.count.max(1.0);
        let rounded_mean = &self.rounded / n;
        let k = rounded_mean.len();
        let outer = Array2::from_shape_fn((k, k), |(i, j)| rounded_mean[i] * rounded_mean[j]);
        Group { mean: &self.float / n, covariance: &self.products / n - outer, rounded_mean }
    }
}

/// Observes the inputs of all layers whose weights may be rounded otherwise, over samples that `inputs` gives.
pub fn observe(
    graph: &Graph,
    steps: &[Fused],
    scheme: &Scheme,
    samples: usize,
    inputs: impl Fn(usize) -> Vec<ArrayD<f32>> + Sync,
    progress: impl Fn() + Sync,
) -> Moments {
    let layers: Vec<(&Fused, &Node)> = steps
        .iter()
        .map(|step| (step, &graph.nodes[step.node]))
        .filter(|(_, node)| rounds(graph, node))
        .collect();
    let wanted: Vec<ValueId> = layers.iter().map(|(_, node)| node.inputs[0]).collect();
    let float = FloatRunner::new(graph, &wanted);
    // Samples in parallel; sums are merged in the order of the samples, so that threads decide nothing.
    let chunk = rayon::current_num_threads().max(1) * 2;
    let mut sums: Vec<Vec<Sums>> = vec![Vec::new(); layers.len()];
    for start in (0..samples).step_by(chunk) {
        let of_samples: Vec<Vec<Vec<Sums>>> = (start..samples.min(start + chunk))
            .into_par_iter()
            .map(|i| {
                let values = float.run(&inputs(i));
                progress();
                let layer = |((_, node), x): (&(&Fused, &Node), &ArrayD<f32>)| {
                    let shape = graph.values[node.output].shape.as_slice();
                    let weights = graph.values[node.inputs[1]].shape.as_slice();
                    layer_sums(node, x, weights, shape, scheme.values[&node.inputs[0]])
                };
                layers.iter().zip(&values).map(layer).collect()
            })
            .collect();
        for sample in of_samples {
            for (sums, sample) in sums.iter_mut().zip(sample) {
                if sums.is_empty() {
                    *sums = sample;
                } else {
                    sums.iter_mut().zip(&sample).for_each(|(sums, sample)| sums.merge(sample));
                }
            }
        }
    }
    let moments = |sums: &Vec<Sums>| sums.iter().map(Sums::moments).collect();
    layers.iter().zip(&sums).map(|((step, _), sums)| (step.output, moments(sums))).collect()
}

/// Whether a node has weights that the source file does not fix.
pub fn rounds(graph: &Graph, node: &Node) -> bool {
    let one_image = match node.op {
        Op::Conv { .. } => graph.values[node.inputs[0]].shape[0] == 1,
        Op::MatMul => true,
        _ => false,
    };
    one_image && graph.values[node.inputs[1]].given.is_none()
}

fn layer_sums(
    node: &Node,
    x: &ArrayD<f32>,
    weights: &[usize],
    shape: &[usize],
    quantization: Quantization,
) -> Vec<Sums> {
    match &node.op {
        Op::Conv { window, groups } => {
            let k: usize = weights[1..].iter().product();
            let all = columns(x, window, shape);
            let kept = every(all.ncols());
            let all = all.select(ndarray::Axis(1), &kept);
            let group = |g: usize| {
                let mut sums = Sums::new(k);
                sums.add(all.slice(ndarray::s![g * k..(g + 1) * k, ..]), quantization);
                sums
            };
            (0..*groups).map(group).collect()
        }
        _ => {
            let k = weights[0];
            let rows = x.as_standard_layout();
            let rows = rows.view().into_shape_with_order((x.len() / k, k)).expect("rows of k elements");
            let kept = every(rows.nrows());
            let mut sums = Sums::new(k);
            sums.add(rows.select(ndarray::Axis(0), &kept).t(), quantization);
            vec![sums]
        }
    }
}

/// At most [`POSITIONS`] of so many positions, spread evenly.
fn every(positions: usize) -> Vec<usize> {
    let kept = positions.min(POSITIONS);
    (0..kept).map(|i| i * positions / kept).collect()
}
