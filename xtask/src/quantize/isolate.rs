//! Layers one by one: small networks that compute one value of the graph from the integers of the values before it.

use std::collections::HashMap;

use still8_validation::{Failure, Result};

use super::Quantized;
use super::fuse::fuse_activations;
use super::golden::Reference;
use super::layout::Layout;
use super::lower::{Lowered, lower_apart};
use crate::graph::{Graph, ValueId};
use crate::network::{Network, Op, Port, Tensor};

/// A layer that runs alone: an op that computes a value of the graph, and the ops that only bring its inputs into shape.
pub struct Layer {
    /// Index of the op in the network.
    pub op: usize,
    /// The op's name.
    pub name: String,
    /// The values that it reads.
    pub inputs: Vec<ValueId>,
    /// The value that it computes.
    pub output: ValueId,
    /// For each input, the source index of each device element.
    input_indices: Vec<Vec<usize>>,
    output_indices: Vec<usize>,
    reference: Reference,
}

impl Layer {
    /// The output's integers, in the source's order, of the inputs' integers, in that order too.
    ///
    /// # Errors
    /// [`Failure::Data`] where an input has too few elements.
    pub fn run(&self, inputs: &[&[i8]]) -> Result<Vec<i8>> {
        let mut bytes = Vec::new();
        for (input, indices) in inputs.iter().zip(&self.input_indices) {
            for &index in indices {
                let too_short =
                    || Failure::Data(format!("{}: an input of {} elements", self.name, input.len()));
                bytes.push(*input.get(index).ok_or_else(too_short)?);
            }
        }
        let outputs = self.reference.run(&bytes)?;
        let device = outputs.ops.last().map(Vec::as_slice).unwrap_or_default();
        let mut output = vec![0; device.len()];
        for (&index, &q) in self.output_indices.iter().zip(device) {
            output[index] = q;
        }
        Ok(output)
    }
}

/// Every layer of a quantized network, in order.
///
/// # Errors
/// As quantization itself.
pub fn layers(quantized: &Quantized) -> Result<Vec<Layer>> {
    let steps = fuse_activations(&quantized.graph);
    let lowered = lower_apart(&quantized.graph, &steps, &quantized.scheme)?;
    let named = lowered.op_values.iter().enumerate().filter_map(|(op, value)| Some((op, value.as_ref()?)));
    named.map(|(op, (value, layout))| cut(&quantized.graph, &lowered, op, *value, layout)).collect()
}

/// The layer of a lowered graph that computes `value`; `None` where no op does.
///
/// # Errors
/// As quantization itself.
pub fn layer(graph: &Graph, lowered: &Lowered, value: ValueId) -> Result<Option<Layer>> {
    let found = lowered.op_values.iter().enumerate().find_map(|(op, of)| {
        let (of, layout) = of.as_ref()?;
        (*of == value).then_some((op, layout))
    });
    found.map(|(op, layout)| cut(graph, lowered, op, value, layout)).transpose()
}

fn cut(graph: &Graph, lowered: &Lowered, index: usize, output: ValueId, layout: &Layout) -> Result<Layer> {
    let network = &lowered.network;
    let mut part = Part {
        lowered,
        tensors: Vec::new(),
        renumbered: HashMap::new(),
        ops: Vec::new(),
        inputs: Vec::new(),
    };
    part.add(index);
    let (inputs, tensors): (Vec<_>, Vec<_>) = part.inputs.iter().copied().unzip();
    let input_indices = inputs.iter().map(|&source| match source {
        Source::Op(op) => {
            lowered.op_values[op].as_ref().map_or_else(Vec::new, |(_, layout)| layout.source_indices())
        }
        Source::Input(i) => {
            let port = &network.inputs[i];
            Layout::permuted(&port.shape, &port.permutation).source_indices()
        }
    });
    let input_indices = input_indices.collect();
    let values = inputs.iter().map(|&source| match source {
        Source::Op(op) => lowered.op_values[op].as_ref().map_or(output, |(value, _)| *value),
        Source::Input(i) => graph.inputs[i],
    });
    let values = values.collect();
    let port = |tensor: usize| Port {
        name: format!("tensor{tensor}"),
        shape: part.tensors[tensor].shape.to_vec(),
        permutation: vec![0, 1, 2, 3],
        tensor,
    };
    let small = Network {
        name: network.ops[index].name.clone(),
        inputs: tensors.iter().map(|&tensor| port(tensor)).collect(),
        outputs: part.ops.last().map(|op| port(op.output)).into_iter().collect(),
        tensors: part.tensors.clone(),
        ops: part.ops.clone(),
        ..Network::default()
    };
    Ok(Layer {
        op: index,
        name: network.ops[index].name.clone(),
        inputs: values,
        output,
        input_indices,
        output_indices: layout.source_indices(),
        reference: Reference::new(&small)?,
    })
}

/// Where a layer's input comes from: an op that computes a value, or an input of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Op(usize),
    Input(usize),
}

/// A part of a network under construction.
struct Part<'a> {
    lowered: &'a Lowered,
    tensors: Vec<Tensor>,
    /// Tensor of the whole network → tensor of the part.
    renumbered: HashMap<usize, usize>,
    ops: Vec<Op>,
    inputs: Vec<(Source, usize)>,
}

impl Part<'_> {
    /// Adds an op behind those that bring its inputs into shape.
    fn add(&mut self, index: usize) {
        let network = &self.lowered.network;
        let op = &network.ops[index];
        for &input in &op.inputs {
            let storage = network.storage(input);
            let writer = network.ops.iter().position(|op| op.output == storage);
            let source = match writer {
                Some(writer) if self.lowered.op_values[writer].is_none() => {
                    if !self.renumbered.contains_key(&storage) {
                        self.add(writer);
                    }
                    continue;
                }
                Some(writer) => Source::Op(writer),
                None => {
                    let port = network.inputs.iter().position(|port| port.tensor == storage);
                    Source::Input(port.unwrap_or(0))
                }
            };
            let tensor = self.tensor(storage);
            if !self.inputs.contains(&(source, tensor)) {
                self.inputs.push((source, tensor));
            }
        }
        let inputs = op.inputs.iter().map(|&input| self.tensor(input)).collect();
        let output = self.tensor(op.output);
        self.ops.push(Op { name: op.name.clone(), kind: op.kind.clone(), inputs, output });
    }

    /// The part's tensor for one of the whole network's.
    fn tensor(&mut self, whole: usize) -> usize {
        if let Some(&tensor) = self.renumbered.get(&whole) {
            return tensor;
        }
        let mut tensor = self.lowered.network.tensors[whole].clone();
        tensor.view_of = tensor.view_of.map(|owner| self.tensor(owner));
        self.tensors.push(tensor);
        self.renumbered.insert(whole, self.tensors.len() - 1);
        self.tensors.len() - 1
    }
}
