//! Two nodes of a kind in a row become one.

use super::edit::{describe, only_feeder};
use crate::graph::{Graph, Op};

/// A transpose of a transpose.
pub fn transposes(graph: &mut Graph) -> Option<String> {
    merge(graph, |first, second| match (first, second) {
        (Op::Transpose { permutation: first }, Op::Transpose { permutation: second }) => {
            Some(Op::Transpose { permutation: second.iter().map(|&axis| first[axis]).collect() })
        }
        _ => None,
    })
}

/// A reshape of a reshape.
pub fn reshapes(graph: &mut Graph) -> Option<String> {
    merge(graph, |first, second| matches!((first, second), (Op::Reshape, Op::Reshape)).then_some(Op::Reshape))
}

/// A clip of a clip: the first one's limits, clipped by the second.
pub fn clips(graph: &mut Graph) -> Option<String> {
    merge(graph, |first, second| match (first, second) {
        (&Op::Clip { low: l, high: h }, &Op::Clip { low, high }) => {
            Some(Op::Clip { low: l.max(low).min(high), high: h.max(low).min(high) })
        }
        _ => None,
    })
}

fn merge(graph: &mut Graph, merged: impl Fn(&Op, &Op) -> Option<Op>) -> Option<String> {
    for reader in 0..graph.nodes.len() {
        let Some(feeder) = only_feeder(graph, reader) else {
            continue;
        };
        let Some(op) = merged(&graph.nodes[feeder].op, &graph.nodes[reader].op) else {
            continue;
        };
        let text =
            format!("merged {} into {}", describe(&graph.nodes[feeder]), describe(&graph.nodes[reader]));
        graph.nodes[reader].op = op;
        graph.nodes[reader].inputs[0] = graph.nodes[feeder].inputs[0];
        graph.nodes.remove(feeder);
        return Some(text);
    }
    None
}
