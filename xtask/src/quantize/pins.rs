//! Layers whose precision the user chose.

use std::collections::HashMap;

use still8_validation::recipe::Precision;
use still8_validation::{Failure, Result};

use super::fuse::Fused;
use super::lower_wide::has_int16;
use super::scheme::Channels;
use crate::graph::{Given, Graph, Op, ValueId};

/// A layer by name, and its precision.
pub type Pin = (String, Precision);

/// The name by which users know a step: that of its first node, as reports have it.
pub fn layer_name<'g>(graph: &'g Graph, step: &Fused) -> &'g str {
    graph.nodes[step.node].name.split(';').next().unwrap_or_default()
}

/// Whether the step can have weights of four bits.
pub(super) fn has_int4(graph: &Graph, step: &Fused) -> bool {
    let node = &graph.nodes[step.node];
    let grouped = match node.op {
        Op::Conv { groups, .. } => groups > 1 && groups != graph.values[node.inputs[0]].shape[1],
        _ => false,
    };
    Channels::of(graph, node).is_some() && !grouped
}

/// Whether the source file holds an input or the output of the step as integers.
fn is_given(graph: &Graph, step: &Fused) -> bool {
    let given = |&value: &ValueId| graph.values[value].given.is_some();
    graph.nodes[step.node].inputs.iter().chain([&step.output]).any(given)
}

/// Whether there are kernels for the step in this precision.
fn has_form(graph: &Graph, step: &Fused, precision: Precision) -> bool {
    match precision {
        Precision::Int4 => has_int4(graph, step),
        Precision::Int8 => true,
        Precision::Int16 => has_int16(graph, step),
    }
}

/// Whether the step can have this precision. What the source file holds as integers stays as it is; weights of four bits
/// are what a pin of four bits asks for.
pub fn has(graph: &Graph, step: &Fused, precision: Precision) -> bool {
    let weights =
        graph.nodes[step.node].inputs.get(1).and_then(|&weights| graph.values[weights].given.as_ref());
    let as_given = match precision {
        Precision::Int4 => matches!(weights, Some(Given::Weights { bits: 4, .. })),
        Precision::Int8 => true,
        Precision::Int16 => false,
    };
    has_form(graph, step, precision) && (as_given || !is_given(graph, step))
}

/// The precision of each pinned step, by the value that it produces.
///
/// # Errors
/// [`Failure::Usage`] names a layer that does not exist, with those of similar names, or one that has no such form.
pub fn precisions(graph: &Graph, steps: &[Fused], pins: &[Pin]) -> Result<HashMap<ValueId, Precision>> {
    let mut found = HashMap::new();
    for (name, precision) in pins {
        let Some(step) = steps.iter().find(|step| layer_name(graph, step) == name) else {
            let names: Vec<&str> = steps.iter().map(|step| layer_name(graph, step)).collect();
            return Err(Failure::Usage(format!("no layer is called `{name}`; {}", similar(name, &names))));
        };
        if !has(graph, step, *precision) {
            let (operator, bits) = (graph.nodes[step.node].op.name(), precision.bits());
            return Err(Failure::Usage(if has_form(graph, step, *precision) {
                format!(
                    "layer `{name}` ({operator}) keeps the integers of its quantized file; to have it in {bits} bits, quantize the float file"
                )
            } else {
                format!("layer `{name}` ({operator}) has no form of {bits} bits")
            }));
        }
        found.insert(step.output, *precision);
    }
    Ok(found)
}

/// The names that begin most like `name`, or the first ones.
fn similar(name: &str, names: &[&str]) -> String {
    let alike = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let mut sorted = names.to_vec();
    sorted.sort_by_key(|other| std::cmp::Reverse(alike(other)));
    sorted.dedup();
    sorted.truncate(5);
    format!("similar ones: {}", sorted.join(", "))
}
