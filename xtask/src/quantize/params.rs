//! Which scale and zero point every value gets.
//!
//! Operators that only move or select elements (pools, Pad, Reshape, Transpose, Concat where it can) share one
//! quantization between input and output, so that they are exact. Softmax has a fixed one.

use std::collections::HashMap;

use still8::format::DataType;

use super::fuse::Fused;
use crate::graph::{Given, Graph, Op, Reduction, ValueId};
use crate::quantization::Quantization;

/// Quantization of a softmax's output: 0 to 255⁄256 in 256 steps.
pub const SOFTMAX_OUTPUT: Quantization =
    Quantization { scale: 1.0 / 256.0, zero_point: -128, dtype: DataType::Int8 };

/// Quantization of an index: 0 to 255.
const INDEX_OUTPUT: Quantization = Quantization { scale: 1.0, zero_point: -128, dtype: DataType::Int8 };

/// Real range of a value, as calibration chose it.
pub type Range = (f32, f32);

/// The quantization of every value that `steps` read or write.
///
/// `ranges` holds the calibrated range of each; `fixed` those whose range the recipe fixes.
pub fn assign(
    graph: &Graph,
    steps: &[Fused],
    ranges: &HashMap<ValueId, Range>,
    fixed: &HashMap<ValueId, Range>,
    warnings: &mut Vec<String>,
) -> HashMap<ValueId, Quantization> {
    let groups = Groups::of(graph, steps);
    let mut extra: HashMap<ValueId, Range> = HashMap::new();
    for step in steps {
        if let Op::Pad { value, .. } = graph.nodes[step.node].op {
            extra.insert(step.output, (value, value));
        }
    }
    let fixed_outputs: HashMap<ValueId, Quantization> = steps
        .iter()
        .filter_map(|step| Some((groups.find(step.output), fixed_output(&graph.nodes[step.node].op)?)))
        .collect();

    let mut merged: HashMap<ValueId, Range> = HashMap::new();
    let mut widen = |group, (low, high): Range| {
        let range = merged.entry(group).or_insert((low, high));
        *range = (range.0.min(low), range.1.max(high));
    };
    let mut values: Vec<ValueId> = graph.inputs.clone();
    values.extend(steps.iter().map(|step| step.output));
    for &value in &values {
        let group = groups.find(value);
        // A value that only carries others' elements adds nothing to the range but a pad's value, as long as those
        // were observed.
        let carried = steps.iter().any(|step| {
            let node = &graph.nodes[step.node];
            let observed = |&input: &ValueId| groups.find(input) == group && ranges.contains_key(&input);
            step.output == value && moves(&node.op) && node.inputs.iter().all(observed)
        });
        if let Some(&range) = fixed.get(&value) {
            widen(group, range);
        } else if !carried && let Some(&range) = ranges.get(&value) {
            widen(group, range);
        }
        if let Some(&range) = extra.get(&value) {
            widen(group, range);
        }
    }
    let mut params = HashMap::new();
    for &value in &values {
        let group = groups.find(value);
        let quantization = if let Some(given) = groups.given[group] {
            given
        } else if let Some(&quantization) = fixed_outputs.get(&group) {
            quantization
        } else {
            let (low, high) = merged.get(&group).copied().unwrap_or((0.0, 0.0));
            if low == 0.0 && high == 0.0 {
                let name = &graph.values[value].name;
                warnings.push(format!("`{name}` is 0 on all calibration data: its scale is set to 1"));
            }
            Quantization::int8(low, high)
        };
        params.insert(value, quantization);
    }
    // Constants that are operands like any other have ranges of their own.
    for step in steps {
        let node = &graph.nodes[step.node];
        for &input in
            node.inputs.iter().filter(|_| matches!(node.op, Op::Add | Op::Sub | Op::Mul | Op::BatchMatMul))
        {
            if let Some(contents) = graph.constant(input) {
                let bounds = |range: Range, &x: &f32| (range.0.min(x), range.1.max(x));
                let (low, high) = contents.iter().fold((0.0, 0.0), bounds);
                let given = match graph.values[input].given {
                    Some(Given::Activation(given)) => given.in_int8(),
                    _ => Quantization::int8(low, high),
                };
                params.insert(input, given);
            }
        }
    }
    params
}

/// The quantization of the output of an operator that fixes it.
fn fixed_output(op: &Op) -> Option<Quantization> {
    match op {
        Op::Softmax { .. } => Some(SOFTMAX_OUTPUT),
        Op::ArgMax { .. } => Some(INDEX_OUTPUT),
        _ => None,
    }
}

/// The groups of values that share a quantization which calibration chose: neither given by the source nor fixed by an
/// operator, and no input of the graph, whose range is its user's.
pub fn free_groups(graph: &Graph, steps: &[Fused]) -> Vec<Vec<ValueId>> {
    let groups = Groups::of(graph, steps);
    let mut found: Vec<(ValueId, Vec<ValueId>)> = Vec::new();
    let fixed: Vec<ValueId> = steps
        .iter()
        .filter(|step| fixed_output(&graph.nodes[step.node].op).is_some())
        .map(|step| step.output)
        .chain(graph.inputs.iter().copied())
        .map(|value| groups.find(value))
        .collect();
    for step in steps {
        let group = groups.find(step.output);
        if fixed.contains(&group) || groups.given[group].is_some() {
            continue;
        }
        match found.iter_mut().find(|(other, _)| *other == group) {
            Some((_, values)) => values.push(step.output),
            None => found.push((group, vec![step.output])),
        }
    }
    found.into_iter().map(|(_, values)| values).collect()
}

/// Whether the source file gives every value its quantization, so that there is nothing to calibrate.
pub fn all_given(graph: &Graph, steps: &[Fused]) -> bool {
    let groups = Groups::of(graph, steps);
    let fixed = |step: &Fused| fixed_output(&graph.nodes[step.node].op).is_some();
    let computed = steps.iter().filter(|step| !fixed(step)).map(|step| step.output);
    graph.inputs.iter().copied().chain(computed).all(|value| groups.given[groups.find(value)].is_some())
}

/// Whether `input` of an operator takes the output's quantization.
///
/// An input of Concat does so only where nobody else could mind: else it keeps its own, and is requantized on the way.
fn joins(graph: &Graph, op: &Op, input: ValueId) -> bool {
    let computed = |writer: usize| {
        let writer = &graph.nodes[writer].op;
        !moves(writer) && fixed_output(writer).is_none()
    };
    match op {
        Op::Concat { .. } => {
            graph.readers(input).len() == 1
                && !graph.outputs.contains(&input)
                && graph.writer(input).is_some_and(computed)
        }
        op => moves(op),
    }
}

/// Whether the operator only moves or selects elements.
pub(crate) fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reshape
            | Op::Transpose { .. }
            | Op::Gather { .. }
            | Op::Resize { .. }
            | Op::Reduce { reduction: Reduction::Max, .. }
    )
}

/// Disjoint sets of values that share their quantization.
struct Groups {
    parent: Vec<ValueId>,
    /// The quantization that the source gives to the values of a group, by the value that stands for it.
    given: Vec<Option<Quantization>>,
}

impl Groups {
    fn of(graph: &Graph, steps: &[Fused]) -> Self {
        let given = graph.values.iter().map(|value| match value.given {
            Some(Given::Activation(given)) => Some(given.in_int8()),
            _ => None,
        });
        let mut groups = Self { parent: (0..graph.values.len()).collect(), given: given.collect() };
        for step in steps {
            let node = &graph.nodes[step.node];
            for &input in node.inputs.iter().filter(|&&input| joins(graph, &node.op, input)) {
                // Where the source gives either side integers of its own, lowering requantizes.
                if groups.agree(input, step.output) {
                    groups.join(input, step.output);
                }
            }
        }
        groups
    }

    fn find(&self, value: ValueId) -> ValueId {
        let mut root = value;
        while self.parent[root] != root {
            root = self.parent[root];
        }
        root
    }

    /// Whether no quantization that the source gives stands against one for both.
    fn agree(&self, a: ValueId, b: ValueId) -> bool {
        let [a, b] = [a, b].map(|value| self.given[self.find(value)]);
        a.is_none() || b.is_none() || a == b
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.find(a), self.find(b));
        let given = self.given[a].or(self.given[b]);
        self.parent[a.max(b)] = a.min(b);
        self.given[a.min(b)] = given;
    }
}
