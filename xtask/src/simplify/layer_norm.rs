//! The subgraph that exporters make of a normalization of rows becomes one node, with the scale and the offset behind it.

use ndarray::{ArrayD, IxDyn};

use super::edit::{describe, only_feeder, unique_name};
use crate::expression::Expression;
use crate::graph::{Graph, Node, Op, Reduction, ValueId};

/// d · (1 ⁄ √(mean(d²) + ε)) with d = x − mean(x), both means over the last axis.
pub fn join(graph: &mut Graph) -> Option<String> {
    for index in 0..graph.nodes.len() {
        let (Op::Mul, &[a, b]) = (&graph.nodes[index].op, graph.nodes[index].inputs.as_slice()) else {
            continue;
        };
        let found = centred(graph, a, b).or_else(|| centred(graph, b, a));
        let Some((x, epsilon)) = found else { continue };
        let Some(&c) = graph.values[x].shape.last() else { continue };
        let name = graph.nodes[index].name.clone();
        let scale = constant(graph, &format!("{name}#scale"), vec![1.0; c]);
        let offset = constant(graph, &format!("{name}#offset"), vec![0.0; c]);
        let text = format!(
            "joined {} and what it reads of `{}`",
            describe(&graph.nodes[index]),
            graph.values[x].name
        );
        graph.nodes[index].op = Op::LayerNorm { epsilon };
        graph.nodes[index].inputs = vec![x, scale, offset];
        return Some(text);
    }
    None
}

/// A factor or a summand for each element of a row goes into the normalization before it.
pub fn scale_offset(graph: &mut Graph) -> Option<String> {
    for reader in 0..graph.nodes.len() {
        let Some(feeder) = feeder(graph, reader) else { continue };
        let [x, scale, offset] = graph.nodes[feeder].inputs[..] else { continue };
        let c = graph.values[scale].shape[0];
        let rows = |id: ValueId| row(graph, id, c);
        let node = &graph.nodes[reader];
        let (factors, summands) = match &node.op {
            Op::Mul => (node.inputs.iter().find_map(|&id| rows(id)), None),
            Op::Add => (None, node.inputs.iter().find_map(|&id| rows(id))),
            // Axis 1 is the row where there are two axes.
            Op::ScaleOffset if graph.values[node.output].shape.len() == 2 => {
                (rows(node.inputs[1]), rows(node.inputs[2]))
            }
            _ => continue,
        };
        if factors.is_none() && summands.is_none() {
            continue;
        }
        let old = |id: ValueId| graph.constant(id).map(|values| values.iter().copied().collect::<Vec<_>>());
        let (Some(mut scales), Some(mut offsets)) = (old(scale), old(offset)) else { continue };
        for i in 0..c {
            let factor = factors.as_ref().map_or(1.0, |factors| factors[i]);
            scales[i] *= factor;
            offsets[i] = offsets[i] * factor + summands.as_ref().map_or(0.0, |summands| summands[i]);
        }
        let text = format!("folded {} into {}", describe(node), describe(&graph.nodes[feeder]));
        let (name, op) = (graph.nodes[feeder].name.clone(), graph.nodes[feeder].op.clone());
        let scale = constant(graph, &format!("{name}#scale"), scales);
        let offset = constant(graph, &format!("{name}#offset"), offsets);
        graph.nodes[reader] =
            Node { name, op, inputs: vec![x, scale, offset], output: graph.nodes[reader].output };
        graph.nodes.remove(feeder);
        return Some(text);
    }
    None
}

/// The normalization that the node alone reads, beside a constant.
fn feeder(graph: &Graph, reader: usize) -> Option<usize> {
    let feeder = match only_feeder(graph, reader) {
        Some(feeder) => feeder,
        None => {
            let &value = graph.nodes[reader].inputs.get(1)?;
            let private = graph.readers(value) == [reader]
                && !graph.outputs.contains(&value)
                && graph.values[value].given.is_none();
            if private { graph.writer(value)? } else { return None }
        }
    };
    matches!(graph.nodes[feeder].op, Op::LayerNorm { .. }).then_some(feeder)
}

/// A constant that differs along the last axis of `c` elements alone.
fn row(graph: &Graph, id: ValueId, c: usize) -> Option<Vec<f32>> {
    let contents = graph.constant(id).filter(|_| graph.values[id].given.is_none())?;
    let along = contents.shape().last() == Some(&c) && contents.len() == c;
    (along || contents.len() == 1).then(|| contents.iter().copied().cycle().take(c).collect())
}

fn constant(graph: &mut Graph, name: &str, contents: Vec<f32>) -> ValueId {
    let name = unique_name(graph, name);
    let shape = IxDyn(&[contents.len()]);
    graph.add_constant(name, ArrayD::from_shape_vec(shape, contents).unwrap_or_default())
}

/// x and ε, where `difference` is x − mean(x) and `inverse` is 1 ⁄ √(mean(difference²) + ε).
fn centred(graph: &Graph, difference: ValueId, inverse: ValueId) -> Option<(ValueId, f32)> {
    let writer = |value: ValueId| {
        let node = &graph.nodes[graph.writer(value)?];
        graph.values[value].given.is_none().then_some(node)
    };
    let sub = writer(difference)?;
    let (Op::Sub, &[x, mean]) = (&sub.op, sub.inputs.as_slice()) else { return None };
    if mean_of(graph, writer(mean)?)? != x {
        return None;
    }
    let Op::Map(root) = &writer(inverse)?.op else { return None };
    let variance = writer(inverse)?.inputs[0];
    let squares = writer(mean_of(graph, writer(variance)?)?)?;
    let Op::Map(square) = &squares.op else { return None };
    let is_square =
        [0.0, 0.5, -1.5, 3.0].iter().all(|&d| (square.apply(d) - d * d).abs() <= 1e-6 * (1.0 + d * d));
    (squares.inputs[0] == difference && is_square).then_some(())?;
    Some((x, epsilon(root)?))
}

/// What a mean over the last axis, which it keeps, is taken of.
fn mean_of(graph: &Graph, node: &Node) -> Option<ValueId> {
    let Op::Reduce { reduction: Reduction::Mean, axes } = &node.op else { return None };
    let rank = graph.values[node.inputs[0]].shape.len();
    let kept = graph.values[node.output].shape.len() == rank;
    (kept && axes[..] == [rank.checked_sub(1)?]).then_some(node.inputs[0])
}

/// ε of an expression that is 1 ⁄ √(v + ε).
fn epsilon(root: &Expression) -> Option<f32> {
    let epsilon = root.apply(0.0).powi(-2);
    let same = |&v: &f64| (root.apply(v) * (v + epsilon).sqrt() - 1.0).abs() < 1e-5;
    (epsilon.is_finite() && [1e-3, 0.1, 1.0, 30.0].iter().all(same)).then_some(epsilon as f32)
}
