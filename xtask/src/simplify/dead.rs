//! What nothing uses.

use super::edit::describe;
use crate::graph::Graph;

/// Drops a node whose output nobody reads.
pub fn drop_node(graph: &mut Graph) -> Option<String> {
    let unused = |output| !graph.outputs.contains(&output) && graph.readers(output).is_empty();
    let index = graph.nodes.iter().rposition(|node| unused(node.output))?;
    let node = graph.nodes.remove(index);
    Some(format!("dropped {}, which nothing reads", describe(&node)))
}

/// Drops values that are neither read, nor written, nor inputs or outputs. The others are numbered anew.
pub fn drop_values(graph: &mut Graph) {
    let mut used = vec![false; graph.values.len()];
    let ends = graph.inputs.iter().chain(&graph.outputs);
    let inner = graph.nodes.iter().flat_map(|node| node.inputs.iter().chain([&node.output]));
    ends.chain(inner).for_each(|&id| used[id] = true);
    let mut next = 0_usize;
    let mut renumbered = Vec::with_capacity(used.len());
    for &used in &used {
        renumbered.push(next);
        next += usize::from(used);
    }
    let mut keep = used.iter();
    graph.values.retain(|_| keep.next().copied().unwrap_or(false));
    let inner = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().chain([&mut node.output]));
    let ends = graph.inputs.iter_mut().chain(&mut graph.outputs);
    ends.chain(inner).for_each(|id| *id = renumbered[*id]);
}
