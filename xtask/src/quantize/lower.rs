//! Lowers the float graph, by a scheme of its integers, to the int8 network in the device's layout.
//!
//! This file places values and moves them between layouts; `lower_ops.rs` holds the operators.

use std::collections::{HashMap, HashSet};

use still8::format::TransposeParams;
use still8_validation::{Failure, Result};

use super::fuse::Fused;
use super::layout::Layout;
use super::scheme::Scheme;
use crate::graph::{Graph, Node, Op, ValueId};
use crate::network::{self, Kind, Network, Port, Tensor};
use crate::quantization::Quantization;

/// A value in the int8 network.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The tensor that holds it.
    pub tensor: usize,
    /// In which order.
    pub layout: Layout,
}

/// The network with, for each op, the value that it computes.
pub struct Lowered {
    /// The int8 network.
    pub network: Network,
    /// For each op, the value that its output is, where it is one of the graph's.
    pub op_values: Vec<Option<(ValueId, Layout)>>,
}

/// Lowers `steps` of `graph`.
///
/// # Errors
/// [`Failure::Unsupported`] names the nodes that have no int8 form, and why.
pub fn lower(graph: &Graph, steps: &[Fused], scheme: &Scheme) -> Result<Lowered> {
    lower_with(graph, steps, scheme, (&graph.outputs, false))
}

/// [`lower`] so that every value is computed in int8, also those that layers on int16 hand to each other: what layers are
/// taken out of one by one.
///
/// # Errors
/// As [`lower`].
pub fn lower_apart(graph: &Graph, steps: &[Fused], scheme: &Scheme) -> Result<Lowered> {
    lower_with(graph, steps, scheme, (&graph.outputs, true))
}

/// [`lower`] with other values as the network's outputs.
///
/// # Errors
/// As [`lower`].
pub fn lower_to(graph: &Graph, steps: &[Fused], scheme: &Scheme, outputs: &[ValueId]) -> Result<Lowered> {
    lower_with(graph, steps, scheme, (outputs, false))
}

fn lower_with(
    graph: &Graph,
    steps: &[Fused],
    scheme: &Scheme,
    (outputs, apart): (&[ValueId], bool),
) -> Result<Lowered> {
    let mut lowering = Lowering {
        graph,
        scheme,
        network: Network { name: graph.name.clone(), ..Network::default() },
        placed: HashMap::new(),
        placed16: HashMap::new(),
        apart,
        op_values: Vec::new(),
    };
    lowering.place_inputs(steps);
    // All nodes without an int8 form at once; what reads from one of them says nothing new.
    let mut refused = Vec::new();
    let mut unknown = HashSet::new();
    for step in steps {
        let node = &graph.nodes[step.node];
        if node.inputs.iter().any(|input| unknown.contains(input)) {
            unknown.insert(step.output);
        } else if let Err(why) = lowering.lower_step(step, node) {
            refused.push(format!("\n  `{}` ({}): {why}", node.name, node.op.name()));
            unknown.insert(step.output);
        }
    }
    if !refused.is_empty() {
        let nodes = if refused.len() == 1 { "node has" } else { "nodes have" };
        let count = refused.len();
        return Err(Failure::Unsupported(format!("{count} {nodes} no int8 form:{}", refused.concat())));
    }
    lowering.place_outputs(outputs)?;
    Ok(Lowered { network: lowering.network, op_values: lowering.op_values })
}

/// State of a lowering.
pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    pub(super) scheme: &'a Scheme,
    pub(super) network: Network,
    placed: HashMap<ValueId, Placed>,
    /// Values that are held in int16.
    pub(super) placed16: HashMap<ValueId, Placed>,
    /// Whether every value is computed in int8 as well.
    pub(super) apart: bool,
    op_values: Vec<Option<(ValueId, Layout)>>,
}

impl Lowering<'_> {
    fn place_inputs(&mut self, steps: &[Fused]) {
        for &input in &self.graph.inputs {
            let value = &self.graph.values[input];
            let wanted = preferred_layout(self.graph, steps, input);
            // The port's permutation needs a layout over exactly the source's axes.
            let layout = wanted
                .and_then(|layout| layout.over(&value.shape))
                .unwrap_or_else(|| Layout::identity(&value.shape));
            let tensor = self.add_tensor(four(&layout.device_shape()), self.quantization(input));
            self.network.inputs.push(Port {
                name: value.name.clone(),
                shape: value.shape.clone(),
                permutation: layout.order().to_vec(),
                tensor,
            });
            self.placed.insert(input, Placed { tensor, layout });
        }
    }

    fn place_outputs(&mut self, outputs: &[ValueId]) -> Result<()> {
        for &output in outputs {
            let value = &self.graph.values[output];
            self.narrow(output)
                .map_err(|why| Failure::Unsupported(format!("output `{}`: {why}", value.name)))?;
            let placed = self.placed.get(&output).cloned().ok_or_else(|| {
                Failure::Unsupported(format!(
                    "output `{}` is constant: it does not depend on the input",
                    value.name
                ))
            })?;
            let over = placed.layout.over(&value.shape);
            let (tensor, layout) = match over {
                Some(layout) => (placed.tensor, layout),
                None => {
                    let layout = Layout::identity(&value.shape);
                    let moved = self
                        .moved(&placed, &layout, &value.name)
                        .map_err(|why| Failure::Unsupported(format!("output `{}`: {why}", value.name)))?;
                    (moved, layout)
                }
            };
            self.network.outputs.push(Port {
                name: value.name.clone(),
                shape: value.shape.clone(),
                permutation: layout.order().to_vec(),
                tensor,
            });
        }
        Ok(())
    }

    /// The quantization of a value.
    pub(super) fn quantization(&self, value: ValueId) -> Quantization {
        self.scheme.values[&value]
    }

    /// A new tensor.
    pub(super) fn add_tensor(&mut self, shape: [usize; 4], quantization: Quantization) -> usize {
        self.network.tensors.push(Tensor { shape, quantization, view_of: None });
        self.network.tensors.len() - 1
    }

    /// The tensor under another shape with as many elements.
    pub(super) fn view(&mut self, tensor: usize, shape: [usize; 4]) -> usize {
        let original = &self.network.tensors[tensor];
        if original.shape == shape {
            return tensor;
        }
        let view = Tensor { shape, view_of: Some(tensor), ..original.clone() };
        self.network.tensors.push(view);
        self.network.tensors.len() - 1
    }

    /// Whether a value is held in int8.
    pub(super) fn is_placed(&self, value: ValueId) -> bool {
        self.placed.contains_key(&value)
    }

    /// Where a value is.
    pub(super) fn placed(&self, value: ValueId) -> std::result::Result<Placed, String> {
        let name = &self.graph.values[value].name;
        self.placed
            .get(&value)
            .cloned()
            .ok_or_else(|| format!("its input `{name}` is a constant, which has no int8 form here"))
    }

    /// The value in `layout`, moved by a Transpose op where it is held otherwise; the tensor has `shape`.
    pub(super) fn require(
        &mut self,
        value: ValueId,
        layout: &Layout,
        shape: [usize; 4],
    ) -> std::result::Result<usize, String> {
        let placed = self.placed(value)?;
        let name = self.graph.values[value].name.clone();
        let tensor = self.moved(&placed, layout, &name)?;
        Ok(self.view(tensor, shape))
    }

    fn moved(&mut self, from: &Placed, layout: &Layout, name: &str) -> std::result::Result<usize, String> {
        if from.layout.same_order(layout) {
            return Ok(from.tensor);
        }
        let Some((shape, permutation)) = from.layout.transposition_to(layout) else {
            // Two transpositions through the source's own order.
            let elements: usize = layout.device_shape().iter().product();
            let identity = Layout::identity(&[elements]);
            let tensor = self.moved(from, &identity, name)?;
            return self.moved(&Placed { tensor, layout: identity }, layout, name);
        };
        if shape.len() > 4 {
            return Ok(self.moved_in_steps(from.tensor, shape, &permutation, name));
        }
        Ok(self.transposed(from.tensor, &shape, &permutation, name))
    }

    /// A transposition of more than four axes: one axis after the other comes to its place, all between it and its place one
    /// step back. For that the axes are four groups.
    fn moved_in_steps(
        &mut self,
        tensor: usize,
        mut shape: Vec<usize>,
        permutation: &[usize],
        name: &str,
    ) -> usize {
        let mut tensor = tensor;
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        for (to, &axis) in permutation.iter().enumerate() {
            let from = axes.iter().position(|&other| other == axis).unwrap_or(to);
            if from == to {
                continue;
            }
            let size = |range: std::ops::Range<usize>| shape[range].iter().product::<usize>();
            let groups = [size(0..to), size(to..from), shape[from], size(from + 1..shape.len())];
            tensor = self.transposed(tensor, &groups, &[0, 2, 1, 3], name);
            axes[to..=from].rotate_right(1);
            shape[to..=from].rotate_right(1);
        }
        tensor
    }

    /// A Transpose op of at most four axes.
    fn transposed(&mut self, tensor: usize, shape: &[usize], permutation: &[usize], name: &str) -> usize {
        let moved: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
        let pad = 4 - permutation.len();
        let axes: Vec<u8> =
            (0..pad).chain(permutation.iter().map(|&axis| axis + pad)).map(|axis| axis as u8).collect();
        let input = self.view(tensor, four(shape));
        let output = self.add_tensor(four(&moved), self.network.tensors[tensor].quantization);
        let params = TransposeParams { permutation: [axes[0], axes[1], axes[2], axes[3]] };
        self.push(format!("{name}/transpose"), Kind::Transpose(params), vec![input], output, None);
        output
    }

    /// Appends an op that computes `value`, held in `layout`.
    pub(super) fn finish(
        &mut self,
        node: &Node,
        kind: Kind,
        inputs: Vec<usize>,
        output: usize,
        value: ValueId,
        layout: Layout,
    ) {
        // Converters join the names of all layers that they merged; the first is the layer's own.
        let name = node.name.split(';').next().unwrap_or_default().to_owned();
        self.push(name, kind, inputs, output, Some((value, layout.clone())));
        self.placed.insert(value, Placed { tensor: output, layout });
    }

    /// Brings the input of an op that moves elements into the output's quantization for the time of `lower`.
    pub(super) fn requantizing(
        &mut self,
        step: &Fused,
        node: &Node,
        lower: impl FnOnce(&mut Self) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let input = node.inputs[0];
        let (from, to) = (self.quantization(input), self.quantization(step.output));
        if from == to {
            return lower(self);
        }
        let placed = self.placed(input)?;
        let tensor = self.requantized(placed.tensor, from, to, node);
        self.placed.insert(input, Placed { tensor, layout: placed.layout.clone() });
        let lowered = lower(self);
        self.placed.insert(input, placed);
        lowered
    }

    /// Says that `value` is held by a tensor that is there already.
    pub(super) fn alias(&mut self, value: ValueId, tensor: usize, layout: Layout) {
        self.placed.insert(value, Placed { tensor, layout });
    }

    /// Appends an op; `value` says which of the graph's values it computes, in which layout.
    pub(super) fn push(
        &mut self,
        name: String,
        kind: Kind,
        inputs: Vec<usize>,
        output: usize,
        value: Option<(ValueId, Layout)>,
    ) {
        self.network.ops.push(network::Op { name, kind, inputs, output });
        self.op_values.push(value);
    }
}

/// A device shape as `[n, h, w, c]`: leading axes of size 1 are added, or dropped where there are too many; what is
/// still left over is merged into n, which no operator but element-wise ones is given.
pub(super) fn four(shape: &[usize]) -> [usize; 4] {
    let kept: Vec<usize> =
        if shape.len() > 4 { shape.iter().copied().filter(|&d| d != 1).collect() } else { shape.to_vec() };
    let mut four = [1; 4];
    for (i, &dim) in kept.iter().rev().enumerate() {
        four[3 - i.min(3)] *= dim;
    }
    four
}

/// The layout in which the readers of `value` want it, as far as they care.
fn preferred_layout(graph: &Graph, steps: &[Fused], value: ValueId) -> Option<Layout> {
    let shape = &graph.values[value].shape;
    for step in steps {
        let node = &graph.nodes[step.node];
        if !node.inputs.contains(&value) {
            continue;
        }
        let wanted = match &node.op {
            Op::Conv { .. }
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::ScaleOffset
            | Op::PRelu
            | Op::Resize { .. } => Some(Layout::channels_last(shape)),
            Op::Transpose { permutation } => preferred_layout(graph, steps, step.output)
                .and_then(|layout| layout.over(&graph.values[step.output].shape))
                .map(|layout| layout.before_transpose(permutation, shape)),
            Op::Map(_) | Op::Clip { .. } | Op::Add | Op::Sub | Op::Mul => {
                preferred_layout(graph, steps, step.output)
            }
            Op::Pad { .. } | Op::Gather { .. } | Op::Concat { .. } => {
                preferred_layout(graph, steps, step.output)
                    .and_then(|layout| layout.over(&graph.values[step.output].shape))
                    .map(|layout| layout.with_shape(shape))
            }
            Op::Reshape => preferred_layout(graph, steps, step.output),
            _ => None,
        };
        if wanted.is_some() {
            return wanted;
        }
    }
    None
}
