//! Layer by layer through the network: each layer is refined on the inputs that the int8 network gives it, errors of
//! earlier layers included, against the output that the float graph has.

use std::collections::HashMap;

use ndarray::ArrayD;
use rayon::prelude::*;
use still8_validation::{Failure, Result};

use super::Refined;
use super::moments::{self, Group, Sums};
use super::rounding;
use crate::float::run_node;
use crate::graph::{Graph, Node, Op, ValueId};
use crate::quantize::fuse::Fused;
use crate::quantize::isolate;
use crate::quantize::lower::lower_apart;

/// What is refined in a layer.
#[derive(Clone, Copy, Debug)]
pub struct What {
    /// Its weights, rounded for the output's sake.
    pub weights: bool,
    /// Its biases, by the output's mean.
    pub biases: bool,
}

/// A value of one sample: what the float graph has, and the int8 network's integers in the source's order.
struct Both {
    float: ArrayD<f32>,
    int8: Vec<i8>,
}

/// Refines every layer in order, on samples that are the float graph's inputs.
///
/// # Errors
/// As quantization itself.
pub fn refine(refined: &mut Refined<'_>, samples: &[Vec<ArrayD<f32>>], what: What) -> Result<()> {
    let original = refined.original;
    let last_use = last_uses(original, refined.steps);
    let mut values: HashMap<ValueId, Vec<Both>> = HashMap::new();
    for (i, &input) in original.inputs.iter().enumerate() {
        let quantization = refined.scheme.values[&input];
        let both = |sample: &Vec<ArrayD<f32>>| Both {
            int8: sample[i].iter().map(|&x| quantization.quantize_i8(x)).collect(),
            float: sample[i].clone(),
        };
        values.insert(input, samples.iter().map(both).collect());
    }
    for (index, step) in refined.steps.iter().enumerate() {
        let node = &original.nodes[step.node];
        if moments::rounds(original, node) {
            let groups = groups(refined, original, step, &values[&node.inputs[0]]);
            if what.weights {
                rounding::round(refined, step, &groups);
            }
            if what.biases {
                rounding::correct_bias(refined, original, step, &groups);
            }
        }
        let output = computed(refined, original, step, &values, samples.len())?;
        values.insert(step.output, output);
        values.retain(|value, _| last_use.get(value).is_some_and(|&last| last > index));
    }
    Ok(())
}

/// Moments of a layer's inputs over all samples, merged in their order, so that threads decide nothing.
fn groups(refined: &Refined<'_>, original: &Graph, step: &Fused, input: &[Both]) -> Vec<Group> {
    let node = &original.nodes[step.node];
    let quantization = refined.scheme.values[&node.inputs[0]];
    let of_sample = |both: &Both| {
        let int8 = both.int8.iter().map(|&q| quantization.dequantize(q.into())).collect();
        let int8 = ArrayD::from_shape_vec(both.float.raw_dim(), int8).expect("the value's own elements");
        moments::sums(original, node, &both.float, &int8)
    };
    let mut total: Vec<Sums> = Vec::new();
    for part in input.chunks(2 * rayon::current_num_threads().max(1)) {
        for sums in part.par_iter().map(of_sample).collect::<Vec<_>>() {
            if total.is_empty() {
                total = sums;
            } else {
                total.iter_mut().zip(&sums).for_each(|(total, sums)| total.merge(sums));
            }
        }
    }
    total.iter().map(Sums::moments).collect()
}

/// What a step makes of all samples, in float and in int8.
fn computed(
    refined: &Refined<'_>,
    original: &Graph,
    step: &Fused,
    values: &HashMap<ValueId, Vec<Both>>,
    samples: usize,
) -> Result<Vec<Both>> {
    let lowered = lower_apart(&refined.graph, refined.steps, &refined.scheme)?;
    let layer = isolate::layer(&refined.graph, &lowered, step.output)?;
    let node = &original.nodes[step.node];
    let missing = |value: ValueId| {
        Failure::Unsupported(format!("`{}` is not computed in order", original.values[value].name))
    };
    (0..samples)
        .into_par_iter()
        .map(|i| {
            let both = |value: ValueId| values.get(&value).map(|all| &all[i]).ok_or_else(|| missing(value));
            let operands = node
                .inputs
                .iter()
                .map(|&input| match original.constant(input) {
                    Some(constant) => Ok(constant),
                    None => both(input).map(|both| &both.float),
                })
                .collect::<Result<Vec<_>>>()?;
            let mut float = run_node(node, &operands, &original.values[node.output].shape);
            if let Some((low, high)) = step.clip {
                float.mapv_inplace(|x| x.max(low).min(high));
            }
            let int8 = match &layer {
                Some(layer) => {
                    let inputs = layer.inputs.iter().map(|&input| Ok(both(input)?.int8.as_slice()));
                    layer.run(&inputs.collect::<Result<Vec<_>>>()?)?
                }
                // Reshape and Transpose move nothing; where they do, the source's order is the float one's.
                None => {
                    let [from, to] = [node.inputs[0], step.output].map(|value| refined.scheme.values[&value]);
                    let moved = moved(node, &both(node.inputs[0])?.int8, original);
                    let requantized = |q: i8| to.quantize_i8(from.dequantize(q.into()));
                    if from == to { moved } else { moved.into_iter().map(requantized).collect() }
                }
            };
            Ok(Both { float, int8 })
        })
        .collect()
}

/// The integers of a value that only has another shape or order.
fn moved(node: &Node, int8: &[i8], graph: &Graph) -> Vec<i8> {
    let shape = graph.values[node.inputs[0]].shape.as_slice();
    let floats = int8.iter().map(|&q| f32::from(q)).collect();
    let floats = ArrayD::from_shape_vec(shape, floats).expect("the value's own elements");
    let moved = run_node(node, &[&floats], &graph.values[node.output].shape);
    moved.iter().map(|&q| q as i8).collect()
}

/// For each value, the last step that reads it, be it under another shape.
fn last_uses(graph: &Graph, steps: &[Fused]) -> HashMap<ValueId, usize> {
    let mut last = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        for &input in &graph.nodes[step.node].inputs {
            last.insert(input, index);
        }
    }
    for step in steps.iter().rev() {
        let node = &graph.nodes[step.node];
        if matches!(node.op, Op::Reshape | Op::Transpose { .. })
            && let Some(&behind) = last.get(&step.output)
        {
            let own = last.entry(node.inputs[0]).or_insert(behind);
            *own = behind.max(*own);
        }
    }
    last
}
