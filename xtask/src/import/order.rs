//! Every value is provided once, every reader runs behind its provider.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use still8_validation::onnx::pb::GraphProto;
use still8_validation::{Failure, Result};

use super::check::label;

/// Indices of the nodes in execution order, as near to the file's own order as that allows.
///
/// # Errors
/// [`Failure::Data`] if a value is provided twice or by nothing, if nodes form a cycle, or if there is no output.
pub fn order(graph: &GraphProto) -> Result<Vec<usize>> {
    let providers = providers(graph)?;
    let provider = |name: &str, reader: &str| {
        let found = providers.get(name).copied();
        found.ok_or_else(|| Failure::Data(format!("value `{name}`, {reader}, is provided by nothing")))
    };
    let mut waits = vec![0_usize; graph.node.len()];
    let mut readers = vec![Vec::new(); graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            if let Some(from) = provider(name, &format!("read by node {}", label(index, node)))? {
                waits[index] += 1;
                readers[from].push(index);
            }
        }
    }
    for output in &graph.output {
        provider(&output.name, "an output of the graph")?;
    }
    if graph.output.is_empty() {
        return Err(Failure::Data("the graph has no output".into()));
    }
    let mut ready: BinaryHeap<_> = (0..waits.len()).filter(|&index| waits[index] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    match graph.node.iter().enumerate().find(|(index, _)| waits[*index] > 0) {
        Some((index, node)) => {
            Err(Failure::Data(format!("node {} reads from its own output: a cycle", label(index, node))))
        }
        None => Ok(order),
    }
}

/// The node that provides each value, `None` for inputs and initializers.
fn providers(graph: &GraphProto) -> Result<HashMap<&str, Option<usize>>> {
    if !graph.sparse_initializer.is_empty() {
        return Err(Failure::Unsupported("sparse initializers are not supported; store them dense".into()));
    }
    let given = graph.input.iter().map(|input| (&input.name, None));
    let given = given.chain(graph.initializer.iter().map(|tensor| (&tensor.name, None)));
    let mut providers = HashMap::new();
    let computed = graph.node.iter().enumerate();
    let computed = computed.flat_map(|(index, node)| node.output.iter().map(move |name| (name, Some(index))));
    for (name, provider) in given.chain(computed.filter(|(name, _)| !name.is_empty())) {
        if providers.insert(name.as_str(), provider).is_some() {
            return Err(Failure::Data(format!("value `{name}` is provided twice")));
        }
    }
    let nameless =
        graph.node.iter().enumerate().find(|(_, node)| node.output.first().is_none_or(String::is_empty));
    match nameless {
        Some((index, node)) => Err(Failure::Data(format!("node {} has no output", label(index, node)))),
        None => Ok(providers),
    }
}
