//! What the integers of a network stand for: a quantization for every value, integers and scales for all weights.
//!
//! Calibration and the source file decide on it, recovery refines it, and lowering does what it says.

use std::collections::{HashMap, HashSet};

use still8_validation::recipe::Precision;
use still8_validation::{Failure, Result};

use super::channel;
use super::fuse::Fused;
use crate::graph::{Given, Graph, Node, Op, ValueId};
use crate::quantization::Quantization;

/// The integers of a network.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    /// Of every value that a step reads or writes, constants apart.
    pub values: HashMap<ValueId, Quantization>,
    /// Of every node with weights, by the value that its step produces.
    pub weights: HashMap<ValueId, Weights>,
    /// Outputs of the steps that run on int16, over the range of their int8 quantization.
    pub wide: HashSet<ValueId>,
}

/// Integer weights of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// 8 or 4.
    pub bits: u8,
    /// One an output channel.
    pub scales: Vec<f32>,
    /// In the order of the float constant; symmetric, in ±(2ᵇⁱᵗˢ⁻¹ − 1).
    pub integers: Vec<i8>,
}

impl Weights {
    /// The real numbers that the integers of `node`'s weights stand for, in the order of the float constant.
    pub fn dequantized(&self, graph: &Graph, node: &Node) -> Vec<f32> {
        let mut real = vec![0.0; self.integers.len()];
        if let Some(channels) = Channels::of(graph, node) {
            for (c, &scale) in self.scales.iter().enumerate() {
                for i in 0..channels.elements {
                    let at = channels.index(c, i);
                    real[at] = scale * f32::from(self.integers[at]);
                }
            }
        }
        real
    }

    /// What an integer counts in the network: 16 where it has four bits.
    pub fn unit(&self) -> i8 {
        if self.bits == 4 { 16 } else { 1 }
    }

    /// The largest integer.
    pub fn limit(bits: u8) -> i8 {
        if bits == 4 { 7 } else { 127 }
    }
}

/// How the elements of a node's weights belong to its output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Number of output channels.
    pub count: usize,
    /// Elements of a channel.
    pub elements: usize,
    /// Whether a channel's elements lie next to each other, or `count` apart.
    contiguous: bool,
}

impl Channels {
    /// Of `node`, which has weights; `None` for others.
    pub fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let shape = graph.constant(*node.inputs.get(1)?)?.shape();
        match (&node.op, shape) {
            (Op::Conv { .. }, &[count, ref rest @ ..]) => {
                Some(Self { count, elements: rest.iter().product(), contiguous: true })
            }
            (Op::MatMul, &[elements, count]) => Some(Self { count, elements, contiguous: false }),
            (Op::ScaleOffset, &[count]) => Some(Self { count, elements: 1, contiguous: true }),
            _ => None,
        }
    }

    /// Rows of a matrix, one a channel.
    pub fn rows(count: usize, elements: usize) -> Self {
        Self { count, elements, contiguous: true }
    }

    /// Place of element `i` of channel `c`.
    pub fn index(&self, c: usize, i: usize) -> usize {
        if self.contiguous { c * self.elements + i } else { i * self.count + c }
    }

    /// The elements of channel `c` of `all`.
    pub fn gather<T: Copy>(&self, all: &[T], c: usize) -> Vec<T> {
        (0..self.elements).map(|i| all[self.index(c, i)]).collect()
    }
}

impl Scheme {
    /// The scheme of `values` with steps of these precisions (int8 where they say nothing), weights rounded to nearest.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] names the node whose weights are not constant.
    pub fn new(
        graph: &Graph,
        steps: &[Fused],
        values: HashMap<ValueId, Quantization>,
        precisions: &HashMap<ValueId, Precision>,
    ) -> Result<Self> {
        let wide = precisions.iter().filter(|(_, precision)| **precision == Precision::Int16);
        let mut scheme =
            Self { values, weights: HashMap::new(), wide: wide.map(|(&value, _)| value).collect() };
        for step in steps {
            let node = &graph.nodes[step.node];
            // Another shape is the same value.
            if node.op == Op::Reshape
                && scheme.wide.contains(&node.inputs[0])
                && scheme.values.get(&node.inputs[0]) == scheme.values.get(&step.output)
            {
                scheme.wide.insert(step.output);
            }
            if !matches!(node.op, Op::Conv { .. } | Op::MatMul | Op::ScaleOffset) {
                continue;
            }
            let bits = if precisions.get(&step.output) == Some(&Precision::Int4) { 4 } else { 8 };
            let weights = scheme.nearest(graph, step, bits).ok_or_else(|| {
                Failure::Unsupported(format!(
                    "node `{}` ({}): its weights and its bias must be constants",
                    node.name,
                    node.op.name()
                ))
            })?;
            scheme.weights.insert(step.output, weights);
        }
        Ok(scheme)
    }

    /// The step's weights, rounded to nearest; `None` where they are not constant.
    fn nearest(&self, graph: &Graph, step: &Fused, bits: u8) -> Option<Weights> {
        let node = &graph.nodes[step.node];
        let channels = Channels::of(graph, node)?;
        let &value = node.inputs.get(1)?;
        let floats: Vec<f32> = graph.constant(value)?.iter().copied().collect();
        let bias = match node.inputs.get(2) {
            Some(&bias) => Some(graph.constant(bias)?),
            None => None,
        };
        let (input, output) = (self.values.get(node.inputs.first()?)?, self.values.get(&step.output)?);
        let given = match &graph.values[value].given {
            Some(Given::Weights(scales)) if scales.len() == channels.count => Some(scales),
            _ => None,
        };
        let mut weights = Weights { bits, scales: vec![], integers: vec![0; floats.len()] };
        for c in 0..channels.count {
            let row = channels.gather(&floats, c);
            let bias = bias.map_or(0.0, |bias| bias[c]);
            let scale = match given {
                Some(scales) => scales[c],
                None => channel::scale(&row, bias, bits, input, output),
            };
            for (i, q) in channel::round(&row, scale, bits).into_iter().enumerate() {
                weights.integers[channels.index(c, i)] = q;
            }
            weights.scales.push(scale);
        }
        Some(weights)
    }
}
