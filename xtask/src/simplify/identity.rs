//! Nodes that change nothing.

use super::edit::{bypass, describe};
use crate::graph::{Graph, Node, Op};

/// Removes a node whose output equals its operand.
pub fn remove(graph: &mut Graph) -> Option<String> {
    let candidates: Vec<_> =
        (0..graph.nodes.len()).filter(|&i| is_identity(graph, &graph.nodes[i])).collect();
    candidates.into_iter().find_map(|index| {
        let text = format!("removed {}, which changes nothing", describe(&graph.nodes[index]));
        bypass(graph, index).then_some(text)
    })
}

fn is_identity(graph: &Graph, node: &Node) -> bool {
    let shapes_equal =
        node.inputs.first().is_some_and(|&x| graph.values[x].shape == graph.values[node.output].shape);
    shapes_equal
        && match &node.op {
            Op::Reshape => true,
            Op::Transpose { permutation } => permutation.is_sorted(),
            Op::Clip { low, high } => *low == f32::NEG_INFINITY && *high == f32::INFINITY,
            Op::Pad { .. } | Op::Reduce { .. } => true,
            Op::Concat { .. } => node.inputs.len() == 1,
            Op::MaxPool { window } | Op::AveragePool { window, .. } => {
                window.kernel == [1, 1] && window.stride == [1, 1] && window.padding == [0; 4]
            }
            _ => false,
        }
}
