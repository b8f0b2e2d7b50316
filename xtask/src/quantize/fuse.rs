//! Activation fusion: a Clip that alone reads the result of an arithmetic op becomes that op's output clamp.

use crate::graph::{Graph, Op, Reduction, ValueId};

/// A node of the graph together with the Clip behind it.
#[derive(Clone, Debug)]
pub struct Fused {
    /// Index of the node.
    pub node: usize,
    /// Bounds of the fused Clip.
    pub clip: Option<(f32, f32)>,
    /// The value that the pair produces.
    pub output: ValueId,
}

/// Whether the operator has an output clamp.
fn clamps(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv { .. }
            | Op::MatMul
            | Op::ScaleOffset
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::BatchMatMul
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Reduce { reduction: Reduction::Mean | Reduction::Sum, .. }
    )
}

/// The graph's nodes in order, with Clips fused where that changes nothing that anyone else reads.
pub fn fuse_activations(graph: &Graph) -> Vec<Fused> {
    let mut fused: Vec<Fused> = Vec::new();
    let mut taken = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if taken[index] {
            continue;
        }
        let mut step = Fused { node: index, clip: None, output: node.output };
        let readers = graph.readers(node.output);
        if clamps(&node.op)
            && !graph.outputs.contains(&node.output)
            && let [reader] = readers[..]
            && let Op::Clip { low, high } = graph.nodes[reader].op
            // A quantization of its own between the two rounds once more.
            && graph.values[node.output].given.is_none()
        {
            step.clip = Some((low, high));
            step.output = graph.nodes[reader].output;
            taken[reader] = true;
        }
        fused.push(step);
    }
    fused
}
