//! What the integers of a network stand for: a quantization for every value, integers and scales for all weights.
//!
//! Calibration and the source file decide on it, recovery refines it, and lowering does what it says.

use std::collections::{HashMap, HashSet};

use still8::format::DataType;
use still8_validation::recipe::Precision;
use still8_validation::{Failure, Result};

use super::channel;
use super::fuse::Fused;
use super::lower_wide::has_int16;
use super::pins::has_int4;
use crate::graph::{Given, Graph, Node, Op, ValueId};
use crate::quantization::Quantization;

/// The integers of a network.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    /// Of every value that a step reads or writes, constants apart.
    pub values: HashMap<ValueId, Quantization>,
    /// Of every node with weights, by the value that its step produces.
    pub weights: HashMap<ValueId, Weights>,
    /// Outputs of the steps that run on int16.
    pub wide: HashSet<ValueId>,
    /// The int16 quantizations that the source file gives; others are over the range of the value's int8 one.
    pub given16: HashMap<ValueId, Quantization>,
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
        let int16 = graph.values.iter().enumerate().filter_map(|(value, held)| match held.given {
            Some(Given::Activation(given)) if given.dtype == DataType::Int16 => Some((value, given)),
            _ => None,
        });
        let mut scheme = Self {
            values,
            weights: HashMap::new(),
            wide: wide.map(|(&value, _)| value).collect(),
            given16: int16.collect(),
        };
        // What is rounded to int16 in another shape was computed for that.
        for step in steps.iter().rev() {
            let Node { op, inputs, .. } = &graph.nodes[step.node];
            if *op == Op::Reshape
                && graph.values[inputs[0]].given.is_none()
                && let Some(&given) = scheme.given16.get(&step.output)
            {
                scheme.given16.entry(inputs[0]).or_insert(given);
            }
        }
        for step in steps {
            let node = &graph.nodes[step.node];
            if node.op == Op::Reshape {
                scheme.reshape(graph, node.inputs[0], step.output);
            } else if scheme.given16.contains_key(&step.output) && has_int16(graph, step) {
                scheme.wide.insert(step.output);
            }
            if !matches!(node.op, Op::Conv { .. } | Op::MatMul | Op::ScaleOffset) {
                continue;
            }
            let weights = scheme.nearest(graph, step, precisions.get(&step.output)).ok_or_else(|| {
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

    /// Another shape is the same value, in as many bits, unless the source gives either integers of its own.
    fn reshape(&mut self, graph: &Graph, input: ValueId, output: ValueId) {
        let given = graph.values[output].given.is_some();
        let same = self.values.get(&input) == self.values.get(&output);
        let int16 = self.given16.contains_key(&output);
        let narrow = graph.values[input].given.is_some() && !self.given16.contains_key(&input);
        if self.wide.contains(&input) && (int16 || !given && same) || int16 && narrow {
            self.wide.insert(output);
            if let Some(&given) = self.given16.get(&input).filter(|_| !int16) {
                self.given16.insert(output, given);
            }
        }
    }

    /// A warning of the values that the source holds in int16 and a plan cannot, `None` where there are none.
    pub fn held_in_int8(&self, graph: &Graph, steps: &[Fused]) -> Option<String> {
        let inputs = graph.inputs.iter().map(|&input| (input, "input"));
        let computed = steps.iter().map(|step| (step.output, graph.nodes[step.node].op.name()));
        let held: Vec<String> = inputs
            .chain(computed)
            .filter(|(value, _)| self.given16.contains_key(value) && !self.wide.contains(value))
            .map(|(value, what)| format!("`{}` ({what})", graph.values[value].name))
            .collect();
        (!held.is_empty()).then(|| {
            format!(
                "int16 in the file, but without a form on int16 in a plan, and so held in int8 over the same range: {}",
                held.join(", ")
            )
        })
    }

    /// The int16 quantization of a value.
    pub fn int16(&self, value: ValueId) -> Quantization {
        let over_int8 = || {
            let (low, high) = self.values[&value].range();
            Quantization::int16(low, high)
        };
        self.given16.get(&value).copied().unwrap_or_else(over_int8)
    }

    /// The step's weights, rounded to nearest; `None` where they are not constant.
    fn nearest(&self, graph: &Graph, step: &Fused, precision: Option<&Precision>) -> Option<Weights> {
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
            Some(Given::Weights { bits, scales }) if scales.len() == channels.count => Some((*bits, scales)),
            _ => None,
        };
        let bits = match (precision, given) {
            (Some(Precision::Int4), _) => 4,
            // What fits four bits fits eight.
            (None, Some((4, _))) if has_int4(graph, step) => 4,
            _ => 8,
        };
        let mut weights = Weights { bits, scales: vec![], integers: vec![0; floats.len()] };
        for c in 0..channels.count {
            let row = channels.gather(&floats, c);
            let bias = bias.map_or(0.0, |bias| bias[c]);
            let scale = match given {
                Some((_, scales)) => scales[c],
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
