//! Whether a case is right in float and in int8.

use std::collections::HashMap;
use std::path::Path;

use ndarray::ArrayD;
use still8::format::Family;
use still8_validation::data::{Dataset, Sample, Tensor, Values, sample_shape};
use still8_validation::host::HostRunner;
use still8_validation::{Failure, Result};

use super::Outcome;
use super::case::Case;
use crate::emit::emit;
use crate::evaluate::{evaluate, evaluate_node};
use crate::graph::{Graph, Op, ValueId};
use crate::import::Constant;
use crate::quantize::fuse::{Fused, fuse_activations};
use crate::quantize::isolate::layers;
use crate::quantize::params::moves;
use crate::quantize::{Quantized, Settings, Silent, Source};

/// Tolerances of the package's own runner.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-7;

/// Steps that a result may be off by rounding alone: one half, and what multipliers of 31 bits and f32 leave.
const ROUNDED: f32 = 0.51;

/// Runs the case both ways; files go to `scratch`.
pub fn judge(case: &Case, scratch: &Path) -> Outcome {
    match run(case, scratch) {
        Ok(None) => Outcome::Passed,
        Ok(Some(wrong)) => Outcome::Wrong(wrong),
        Err(Failure::Unsupported(why)) => {
            let path = scratch.display().to_string();
            Outcome::Refused(why.replace(&path, "").lines().collect::<Vec<_>>().join(" "))
        }
        Err(other) => Outcome::Wrong(format!("not a refusal: {other}")),
    }
}

/// What is wrong with the case, if anything.
fn run(case: &Case, scratch: &Path) -> Result<Option<String>> {
    let path = scratch.join(format!("{}.onnx", case.name));
    std::fs::write(&path, &case.model).map_err(|error| Failure::data(&path, error))?;
    let source = Source::open(&path, &[])?;
    let inputs: Vec<ArrayD<f32>> = case.inputs.iter().map(floats).collect();
    let wrong = float(source.graph(), &inputs, &case.outputs);
    if wrong.is_some() {
        return Ok(wrong);
    }
    int8(&source, &inputs)
}

fn floats(constant: &Constant) -> ArrayD<f32> {
    match constant {
        Constant::Float(array) => array.clone(),
        Constant::Int(array) => array.mapv(|i| i as f32),
    }
}

/// The float graph against the case's own outputs.
fn float(graph: &Graph, inputs: &[ArrayD<f32>], expected: &[Constant]) -> Option<String> {
    let values = evaluate(graph, inputs);
    for (&id, expected) in graph.outputs.iter().zip(expected) {
        let (name, expected) = (&graph.values[id].name, floats(expected));
        let Some(found) = &values[id] else { return Some(format!("output `{name}` is not computed")) };
        if found.shape() != expected.shape() {
            let shapes = (found.shape(), expected.shape());
            return Some(format!("float: output `{name}` has shape {:?}, not {:?}", shapes.0, shapes.1));
        }
        for (&found, &expected) in found.iter().zip(&expected) {
            let close = (found - expected).abs() <= ABSOLUTE + RELATIVE * expected.abs();
            // Infinities are no distance apart.
            let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
            if !(close || same) {
                return Some(format!("float: output `{name}`: {found}, not {expected}"));
            }
        }
    }
    None
}

/// The int8 network: each layer alone against the float operator on the very same inputs, and the whole plan against its
/// layers.
fn int8(source: &Source, inputs: &[ArrayD<f32>]) -> Result<Option<String>> {
    let names = source.graph().inputs.iter().map(|&id| source.graph().values[id].name.clone());
    let tensor = |input: &ArrayD<f32>| {
        let shape = [&[1], sample_shape(input.shape())].concat();
        Tensor::new(shape, Values::Float(input.iter().copied().collect()))
    };
    let data = Dataset {
        inputs: names.zip(inputs.iter().map(tensor)).collect(),
        labels: None,
        targets: None,
        origin: "an operator case".to_owned(),
    };
    let settings =
        Settings { method: Some(crate::calibrate::Method::MinMax), recover: vec![], ..Settings::default() };
    let quantized = source.quantize(&data, &settings, &Silent)?;
    let graph = &quantized.graph;
    let mut integers: HashMap<ValueId, Vec<i8>> = HashMap::new();
    for (&id, input) in graph.inputs.iter().zip(inputs) {
        let quantization = quantized.scheme.values[&id];
        integers.insert(id, input.iter().map(|&x| quantization.quantize(x) as i8).collect());
    }
    let mut layers = layers(&quantized)?;
    for step in &fuse_activations(graph) {
        let node = &graph.nodes[step.node];
        let output = match layers.iter().position(|layer| layer.output == step.output) {
            Some(at) => {
                let layer = layers.remove(at);
                let inputs: Vec<&[i8]> = layer.inputs.iter().map(|id| integers[id].as_slice()).collect();
                layer.run(&inputs)?
            }
            None if matches!(node.op, Op::Reshape | Op::Transpose { .. }) => {
                match moved(graph, step, &integers[&node.inputs[0]]) {
                    Some(moved) => moved,
                    None => return Ok(Some(format!("int8: `{}` is not computed", node.name))),
                }
            }
            None => return Ok(Some(format!("int8: `{}` is not computed", node.name))),
        };
        if let Some(wrong) = layer(&quantized, step, &integers, &output) {
            return Ok(Some(wrong));
        }
        integers.insert(step.output, output);
    }
    whole(&quantized, &integers)
}

/// Elements that only move, as no op of the network does it.
fn moved(graph: &Graph, step: &Fused, input: &[i8]) -> Option<Vec<i8>> {
    let node = &graph.nodes[step.node];
    let floats = input.iter().map(|&q| q.into()).collect();
    let input = ArrayD::from_shape_vec(graph.values[node.inputs[0]].shape.clone(), floats).ok()?;
    let output = evaluate_node(node, &[&input], &graph.values[step.output].shape);
    Some(output.iter().map(|&q| q as i8).collect())
}

/// What is wrong with a step's integers, given those that it reads.
///
/// The bound: half a step of the output, and half a step of the bias (the input's scale times the weights') where there is
/// one. Where an operator that moves elements has another quantization at its input, those are rounded once more.
fn layer(
    quantized: &Quantized,
    step: &Fused,
    integers: &HashMap<ValueId, Vec<i8>>,
    output: &[i8],
) -> Option<String> {
    let (graph, scheme) = (&quantized.graph, &quantized.scheme);
    let node = &graph.nodes[step.node];
    let weights = scheme.weights.get(&step.output);
    let operands: Vec<ArrayD<f32>> = node
        .inputs
        .iter()
        .enumerate()
        .map(|(i, &id)| {
            let value = &graph.values[id];
            let quantization = scheme.values.get(&id);
            let array = |values: Vec<f32>| {
                ArrayD::from_shape_vec(value.shape.clone(), values).expect("as many as the value has")
            };
            match (&value.constant, weights) {
                (None, _) => {
                    let quantization = quantization.expect("every value has one");
                    array(integers[&id].iter().map(|&q| quantization.dequantize(q.into())).collect())
                }
                (Some(_), Some(weights)) if i == 1 => array(weights.dequantized(graph, node)),
                (Some(constant), None) if quantization.is_some() => {
                    let quantization = quantization.expect("just asked for");
                    constant.mapv(|x| quantization.dequantize(quantization.quantize(x)))
                }
                (Some(constant), _) => constant.clone(),
            }
        })
        .collect();
    let to = scheme.values[&step.output];
    let mut real =
        evaluate_node(node, &operands.iter().collect::<Vec<_>>(), &graph.values[step.output].shape);
    if let Some((low, high)) = step.clip {
        real.mapv_inplace(|x| x.max(low).min(high));
    }
    let requantized =
        moves(&node.op) && node.inputs.iter().any(|id| scheme.values.get(id).is_some_and(|from| *from != to));
    let mut steps = ROUNDED;
    if requantized || matches!(node.op, Op::Softmax { .. } | Op::LayerNorm { .. }) {
        steps += 0.5;
    }
    let bias = match (weights, node.inputs.get(2)) {
        (Some(weights), Some(_)) => {
            let largest = weights.scales.iter().copied().fold(0.0, f32::max);
            0.5 * largest * scheme.values[&node.inputs[0]].scale
        }
        _ => 0.0,
    };
    let (low, high) = to.range();
    for (i, (&q, &real)) in output.iter().zip(&real).enumerate() {
        let found = to.dequantize(q.into());
        let real = real.clamp(low, high);
        let off = (found - real).abs();
        if off > steps * to.scale + bias + RELATIVE * ABSOLUTE {
            return Some(format!(
                "int8: `{}` ({}), element {i}: {found}, not {real}: off by {:.2} steps",
                node.name,
                node.op.name(),
                off / to.scale
            ));
        }
    }
    None
}

/// What is wrong with the plan's outputs, given the integers of its layers.
fn whole(quantized: &Quantized, integers: &HashMap<ValueId, Vec<i8>>) -> Result<Option<String>> {
    let graph = &quantized.graph;
    let tensor = |id: &ValueId| {
        let shape = [&[1], sample_shape(&graph.values[*id].shape)].concat();
        (graph.values[*id].name.clone(), Tensor::new(shape, Values::Int8(integers[id].clone())))
    };
    let inputs = graph.inputs.iter().map(tensor).collect();
    let data = Dataset { inputs, labels: None, targets: None, origin: "an operator case".to_owned() };
    let plan = emit(&quantized.network, Family::Portable)?.bytes;
    let runner = HostRunner::new(&plan).map_err(|error| Failure::Data(format!("its own plan: {error}")))?;
    let (outputs, _) = runner.run(&data, |_| ())?;
    for ((name, tensor), id) in outputs.quantized.iter().zip(&quantized.graph.outputs) {
        let Sample::Int8(found) = tensor.sample(0) else {
            return Ok(Some(format!("int8: output `{name}` is not int8")));
        };
        if found != integers[id] {
            return Ok(Some(format!("int8: output `{name}` of the plan is not what its layers give")));
        }
    }
    Ok(None)
}
