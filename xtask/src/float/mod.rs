//! The float graph run fast enough to calibrate on: convolutions as products of matrices, the rest as [`crate::evaluate`] has it.
//!
//! Any value can be observed, by its id, so that rewritten graphs and graphs out of quantized files run as well. Sums are
//! in f32. [`crate::evaluate`] stays the truth that this is tested by.

mod conv;

pub use conv::columns;

use ndarray::{Array2, ArrayD, Ix2};

use crate::evaluate::evaluate_node;
use crate::graph::{Graph, Node, Op, ValueId};

/// A graph ready to run.
pub struct FloatRunner<'a> {
    graph: &'a Graph,
    wanted: Vec<ValueId>,
    /// For each node, the values that nothing needs behind it.
    done: Vec<Vec<ValueId>>,
}

impl<'a> FloatRunner<'a> {
    /// Runs of `graph` that return the values `wanted`.
    pub fn new(graph: &'a Graph, wanted: &[ValueId]) -> Self {
        let mut last = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().chain([&node.output]).for_each(|&value| last[value] = Some(index));
        }
        let mut done = vec![Vec::new(); graph.nodes.len()];
        for (value, last) in last.into_iter().enumerate() {
            if let Some(index) = last
                && graph.values[value].constant.is_none()
                && !wanted.contains(&value)
            {
                done[index].push(value);
            }
        }
        Self { graph, wanted: wanted.to_vec(), done }
    }

    /// The wanted values of one sample, in their order. `inputs` are in the graph's order and of its shapes.
    ///
    /// # Panics
    /// Where an input is of another shape, or a wanted value is never computed.
    pub fn run(&self, inputs: &[ArrayD<f32>]) -> Vec<ArrayD<f32>> {
        let graph = self.graph;
        let mut values: Vec<Option<ArrayD<f32>>> = vec![None; graph.values.len()];
        for (&id, input) in graph.inputs.iter().zip(inputs) {
            assert_eq!(graph.values[id].shape, input.shape(), "shape of input {}", graph.values[id].name);
            values[id] = Some(input.clone());
        }
        for (node, done) in graph.nodes.iter().zip(&self.done) {
            let operands: Vec<&ArrayD<f32>> = node
                .inputs
                .iter()
                .map(|&id| {
                    let value = graph.constant(id).or(values[id].as_ref());
                    value.unwrap_or_else(|| panic!("{} is read before it is computed", graph.values[id].name))
                })
                .collect();
            let output = run_node(node, &operands, &graph.values[node.output].shape);
            values[node.output] = Some(output);
            done.iter().for_each(|&value| values[value] = None);
        }
        let value = |&id: &ValueId| graph.constant(id).or(values[id].as_ref()).cloned();
        self.wanted.iter().map(|id| value(id).expect("a wanted value is an input or computed")).collect()
    }
}

/// One node's result, of shape `shape`.
///
/// # Panics
/// If the operands do not fit.
pub fn run_node(node: &Node, operands: &[&ArrayD<f32>], shape: &[usize]) -> ArrayD<f32> {
    match &node.op {
        Op::Conv { window, groups } => conv::conv(operands, window, *groups, shape),
        Op::MatMul => mat_mul(operands, shape),
        _ => evaluate_node(node, operands, shape),
    }
}

fn mat_mul(operands: &[&ArrayD<f32>], shape: &[usize]) -> ArrayD<f32> {
    let weights = operands[1].view().into_dimensionality::<Ix2>().expect("weights are a matrix");
    let (k, m) = weights.dim();
    let rows = operands[0].len() / k;
    let x = operands[0].as_standard_layout();
    let x = x.view().into_shape_with_order((rows, k)).expect("rows of k elements");
    let mut product: Array2<f32> = x.dot(&weights);
    if let Some(bias) = operands.get(2) {
        for mut row in product.rows_mut() {
            row.iter_mut().zip(bias.iter()).for_each(|(y, bias)| *y += bias);
        }
    }
    debug_assert_eq!(product.dim(), (rows, m));
    // The product of a matrix in column order is in column order.
    product.as_standard_layout().into_owned().into_shape_with_order(shape).expect("rows of m elements")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Window;
    use still8_validation::random::SplitMix64;

    fn random(seed: u64, shape: &[usize]) -> ArrayD<f32> {
        let mut random = SplitMix64::new(seed);
        ArrayD::from_shape_simple_fn(shape, || random.uniform([-1.0, 1.0]))
    }

    fn same(op: Op, operands: &[ArrayD<f32>], shape: &[usize]) {
        let node = Node { name: "n".into(), op, inputs: vec![], output: 0 };
        let operands: Vec<_> = operands.iter().collect();
        let (fast, slow) = (run_node(&node, &operands, shape), evaluate_node(&node, &operands, shape));
        for (a, b) in fast.iter().zip(&slow) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{:?}: {a} {b}", node.op);
        }
    }

    proptest! {
        #[test]
        fn convolutions_equal_the_slow_ones(
            seed in any::<u64>(),
            (groups, per_group, filters) in prop_oneof![(1usize..3, 1usize..5, 1usize..4), (2usize..9, Just(1), 1usize..3)],
            size in prop::array::uniform2(3usize..9),
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..3),
            dilation in prop::array::uniform2(1usize..3),
            padding in prop::array::uniform4(0usize..3),
        ) {
            let out = |i: usize| {
                let span = dilation[i] * (kernel[i] - 1) + 1;
                (size[i] + padding[i] + padding[i + 2]).checked_sub(span).map(|room| room / stride[i] + 1)
            };
            prop_assume!(out(0).is_some() && out(1).is_some());
            let (c_in, c_out) = (groups * per_group, groups * filters);
            let x = random(seed, &[1, c_in, size[0], size[1]]);
            let w = random(seed ^ 1, &[c_out, per_group, kernel[0], kernel[1]]);
            let bias = random(seed ^ 2, &[c_out]);
            let window = Window { kernel, stride, dilation, padding };
            let shape = [1, c_out, out(0).unwrap(), out(1).unwrap()];
            same(Op::Conv { window, groups }, &[x, w, bias], &shape);
        }

        #[test]
        fn products_equal_the_slow_ones(seed in any::<u64>(), rows in 1usize..5, k in 1usize..9, m in 1usize..9) {
            let operands = [random(seed, &[1, rows, k]), random(seed ^ 1, &[k, m]), random(seed ^ 2, &[m])];
            same(Op::MatMul, &operands, &[1, rows, m]);
        }
    }
}
