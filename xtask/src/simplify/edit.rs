//! Changes that keep a graph consistent.

use crate::graph::{Graph, Node, ValueId};

/// How reports call a node.
pub fn describe(node: &Node) -> String {
    format!("{} `{}`", node.op.name(), node.name)
}

/// The node at `reader` reads its first operand from one node, and nothing else reads that, nor does the source give it
/// integers of its own: the index of that node.
pub fn only_feeder(graph: &Graph, reader: usize) -> Option<usize> {
    let value = *graph.nodes[reader].inputs.first()?;
    let private = graph.readers(value) == [reader] && !graph.outputs.contains(&value);
    let private = private && graph.values[value].given.is_none();
    if private { graph.writer(value) } else { None }
}

/// Removes the node at `index`, whose output equals its first operand.
///
/// Returns false, and does nothing, if its output must stay apart: a graph output that is also a graph input or another
/// graph output, or a value to which the source gives other integers.
pub fn bypass(graph: &mut Graph, index: usize) -> bool {
    let (from, to) = (graph.nodes[index].inputs[0], graph.nodes[index].output);
    match (&graph.values[from].given, &graph.values[to].given) {
        (Some(from), Some(to)) if from != to => return false,
        (None, Some(given)) => graph.values[from].given = Some(given.clone()),
        _ => {}
    }
    if !graph.outputs.contains(&to) {
        graph.nodes.remove(index);
        redirect(graph, to, from);
        return true;
    }
    // The output's name must remain: whatever computed the operand computes the output instead.
    let Some(writer) = graph.writer(from).filter(|_| !graph.outputs.contains(&from)) else {
        return false;
    };
    graph.nodes[writer].output = to;
    graph.values[to].given = graph.values[from].given.clone();
    graph.nodes.remove(index);
    redirect(graph, from, to);
    true
}

fn redirect(graph: &mut Graph, old: ValueId, new: ValueId) {
    let operands = graph.nodes.iter_mut().flat_map(|node| &mut node.inputs);
    operands.filter(|operand| **operand == old).for_each(|operand| *operand = new);
}

/// A name that no value has: `name`, or `name` with a number behind it.
pub fn unique_name(graph: &Graph, name: &str) -> String {
    let free = |candidate: &String| graph.values.iter().all(|value| value.name != *candidate);
    let numbered = (2_usize..).map(|i| format!("{name}#{i}"));
    std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default()
}
