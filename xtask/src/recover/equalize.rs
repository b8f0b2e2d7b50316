//! Cross-layer equalization: the scale of each channel between two layers is free where only a ReLU lies between them, and is
//! chosen so that the channel's weights have one range in both layers (Nagel et al., "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", ICCV 2019).
//!
//! With ranges r₁ and r₂ of a channel's weights before and behind, those before are divided and those behind multiplied by
//! s = √(r₁ ⁄ r₂). What the network computes stays the same but for rounding.

use crate::graph::{Graph, Node, Op, ValueId};
use crate::quantize::scheme::Channels;

/// Rounds over all pairs: ranges settle within a few.
const ROUNDS: usize = 8;

/// Two nodes whose weights share the channels between them.
struct Pair {
    before: usize,
    behind: usize,
}

/// The graph with equalized weights; `None` where no two layers share channels.
pub fn equalized(graph: &Graph) -> Option<Graph> {
    let pairs: Vec<Pair> = (0..graph.nodes.len())
        .filter_map(|before| Some(Pair { before, behind: behind(graph, before)? }))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let mut graph = graph.clone();
    for pair in &pairs {
        own_constants(&mut graph, pair.before);
        own_constants(&mut graph, pair.behind);
    }
    for _ in 0..ROUNDS {
        pairs.iter().for_each(|pair| equalize(&mut graph, pair));
    }
    Some(graph)
}

fn weighted(graph: &Graph, node: &Node) -> bool {
    let free = |&id: &ValueId| graph.constant(id).is_some() && graph.values[id].given.is_none();
    matches!(node.op, Op::Conv { .. } | Op::MatMul) && node.inputs[1..].iter().all(free)
}

/// The node that alone reads what node `before` computes, as it is or behind a ReLU.
fn behind(graph: &Graph, before: usize) -> Option<usize> {
    let node = &graph.nodes[before];
    if !weighted(graph, node) {
        return None;
    }
    let only = |value: ValueId| match graph.readers(value)[..] {
        [reader] if !graph.outputs.contains(&value) && graph.values[value].given.is_none() => Some(reader),
        _ => None,
    };
    let mut value = node.output;
    let mut reader = only(value)?;
    if graph.nodes[reader].op == (Op::Clip { low: 0.0, high: f32::INFINITY }) {
        value = graph.nodes[reader].output;
        reader = only(value)?;
    }
    let behind = &graph.nodes[reader];
    let fits = weighted(graph, behind)
        && behind.inputs[0] == value
        && columns(graph, behind).is_some()
        && matches!((&node.op, &behind.op), (Op::Conv { .. }, Op::Conv { .. }) | (Op::MatMul, Op::MatMul));
    fits.then_some(reader)
}

/// Constants that are this node's alone.
fn own_constants(graph: &mut Graph, node: usize) {
    for i in 1..graph.nodes[node].inputs.len() {
        let id = graph.nodes[node].inputs[i];
        if let (true, Some(contents)) = (graph.readers(id).len() > 1, graph.constant(id).cloned()) {
            let name = format!("{}#{i}", graph.nodes[node].name);
            graph.nodes[node].inputs[i] = graph.add_constant(name, contents);
        }
    }
}

/// For each input channel of a node, the places of its weights in the constant; `None` for grouped convolutions.
fn columns(graph: &Graph, node: &Node) -> Option<Vec<Vec<usize>>> {
    let shape = graph.constant(node.inputs[1])?.shape();
    match (&node.op, shape) {
        (Op::MatMul, &[k, m]) => Some((0..k).map(|c| (0..m).map(|o| c * m + o).collect()).collect()),
        (Op::Conv { groups: 1, .. }, &[out, c_in, ref taps @ ..]) => {
            let taps: usize = taps.iter().product();
            let places = |c| (0..out).flat_map(move |o| (0..taps).map(move |t| (o * c_in + c) * taps + t));
            Some((0..c_in).map(|c| places(c).collect()).collect())
        }
        // Depthwise with one output a channel.
        (&Op::Conv { groups, .. }, &[out, 1, ref taps @ ..]) if out == groups => {
            let taps: usize = taps.iter().product();
            Some((0..out).map(|c| (c * taps..(c + 1) * taps).collect()).collect())
        }
        _ => None,
    }
}

fn equalize(graph: &mut Graph, pair: &Pair) {
    let (before, behind) = (graph.nodes[pair.before].clone(), graph.nodes[pair.behind].clone());
    let Some(rows) = Channels::of(graph, &before) else { return };
    let Some(columns) = columns(graph, &behind) else { return };
    if rows.count != columns.len() {
        return;
    }
    let range = |id: ValueId, places: &mut dyn Iterator<Item = usize>| {
        let contents = graph.constant(id).and_then(|contents| contents.as_slice());
        let contents = contents.unwrap_or_default();
        places.fold(0f32, |most, place| most.max(contents[place].abs()))
    };
    let scales: Vec<f32> = (0..rows.count)
        .map(|c| {
            let own = range(before.inputs[1], &mut (0..rows.elements).map(|i| rows.index(c, i)));
            let next = range(behind.inputs[1], &mut columns[c].iter().copied());
            let scale = (own / next).sqrt();
            // A channel without weights on a side has nothing to be balanced.
            if scale.is_finite() && scale > 1e-6 { scale } else { 1.0 }
        })
        .collect();
    let mut scaled = |id: ValueId, scale: &dyn Fn(usize) -> f32, places: &dyn Fn(usize) -> Vec<usize>| {
        let Some(contents) = graph.values[id].constant.as_mut().and_then(|contents| contents.as_slice_mut())
        else {
            return;
        };
        for c in 0..scales.len() {
            for place in places(c) {
                contents[place] *= scale(c);
            }
        }
    };
    scaled(before.inputs[1], &|c| 1.0 / scales[c], &|c| {
        (0..rows.elements).map(|i| rows.index(c, i)).collect()
    });
    if let Some(&bias) = before.inputs.get(2) {
        scaled(bias, &|c| 1.0 / scales[c], &|c| vec![c]);
    }
    scaled(behind.inputs[1], &|c| scales[c], &|c| columns[c].clone());
}

#[cfg(test)]
mod tests {
    use still8_validation::onnx::testing::{ModelBuilder, With, ints, node};

    use super::*;
    use crate::evaluate::evaluate;
    use crate::import::import;

    #[test]
    fn ranges_meet_and_the_output_stays() {
        let weights: Vec<f32> =
            (0..36).map(|i| (i as f32 - 20.0) * if i < 18 { 0.001 } else { 1.0 }).collect();
        let path = ModelBuilder::new(17)
            .input("x", &[1, 1, 6, 6])
            .floats("a", &[4, 1, 3, 3], &weights)
            .floats("b", &[4], &[0.1, -0.2, 3.0, 0.0])
            .floats("c", &[4, 1, 1, 1], &[1.0, 2.0, 0.0, -4.0])
            .floats("d", &[2, 4, 1, 1], &[1.0, 9.0, -3.0, 0.5, 2.0, 0.0, 1.0, -7.0])
            .node(node("Conv", &["x", "a", "b"], "p").with(ints("pads", &[1, 1, 1, 1])))
            .node(node("Relu", &["p"], "q"))
            .node(node("Conv", &["q", "c"], "r").with(still8_validation::onnx::testing::int("group", 4)))
            .node(node("Conv", &["r", "d"], "y"))
            .output("y")
            .write("equalize");
        let graph = import(&path, &[]).unwrap().graph;
        let changed = equalized(&graph).unwrap();
        let x =
            ndarray::ArrayD::from_shape_fn(vec![1, 1, 6, 6], |i| (i[2] * 7 + i[3] * 3) as f32 / 20.0 - 1.0);
        let run =
            |graph: &Graph| evaluate(graph, std::slice::from_ref(&x))[graph.outputs[0]].clone().unwrap();
        let (before, after) = (run(&graph), run(&changed));
        let most = before.fold(0f32, |most, y| most.max(y.abs()));
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 1e-5 * most));
        let range = |graph: &Graph, node: usize, o: usize| {
            let weights = graph.constant(graph.nodes[node].inputs[1]).unwrap();
            weights.index_axis(ndarray::Axis(0), o).fold(0f32, |most, w| most.max(w.abs()))
        };
        let apart = |graph: &Graph, c: usize| range(graph, 0, c) / range(graph, 2, c);
        assert!(apart(&graph, 0) < 0.03 && apart(&graph, 3) > 3.0);
        // Channel 2 has no weights behind the first layer, so that nothing balances it.
        for c in [0, 1, 3] {
            assert!((apart(&changed, c) - 1.0).abs() < 0.1, "channel {c}: {}", apart(&changed, c));
        }
    }
}
