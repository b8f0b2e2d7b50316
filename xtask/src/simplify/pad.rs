//! Pad goes into the window of the node behind it, where that means the same.

use super::edit::{describe, only_feeder};
use crate::graph::{Graph, Node, Op, Window};

/// Merges a Pad into the Conv, AveragePool or MaxPool that alone reads it.
pub fn into_reader(graph: &mut Graph) -> Option<String> {
    for reader in 0..graph.nodes.len() {
        let Some(index) = only_feeder(graph, reader) else {
            continue;
        };
        let (pad, layer) = (&graph.nodes[index], &graph.nodes[reader]);
        let Some(op) = merged(graph, pad, &layer.op) else {
            continue;
        };
        let text = format!("merged {} into {}", describe(pad), describe(layer));
        let from = pad.inputs[0];
        graph.nodes[reader].op = op;
        graph.nodes[reader].inputs[0] = from;
        graph.nodes.remove(index);
        return Some(text);
    }
    None
}

fn merged(graph: &Graph, pad: &Node, op: &Op) -> Option<Op> {
    let Op::Pad { before, after, value } = &pad.op else {
        return None;
    };
    let padding = spatial(before, after)?;
    match op {
        Op::Conv { window, groups } if *value == 0.0 => {
            Some(Op::Conv { window: widened(window, padding), groups: *groups })
        }
        // The padding that the pool has already must count like the zeros that are added.
        Op::AveragePool { window, count_padding, half_up }
            if *value == 0.0 && (*count_padding || window.padding == [0; 4]) =>
        {
            let window = widened(window, padding);
            fits(&window).then_some(Op::AveragePool { window, count_padding: true, half_up: *half_up })
        }
        // Zeros lose against nothing that is at least 0, and −∞ against nothing at all.
        Op::MaxPool { window }
            if *value == f32::NEG_INFINITY || (*value == 0.0 && is_not_negative(graph, pad)) =>
        {
            let window = widened(window, padding);
            fits(&window).then_some(Op::MaxPool { window })
        }
        _ => None,
    }
}

/// Padding above, left, below, right, if there is none along other axes.
fn spatial(before: &[usize], after: &[usize]) -> Option<[usize; 4]> {
    match (before, after) {
        (&[0, 0, left], &[0, 0, right]) => Some([0, left, 0, right]),
        (&[0, 0, top, left], &[0, 0, bottom, right]) => Some([top, left, bottom, right]),
        _ => None,
    }
}

fn widened(window: &Window, padding: [usize; 4]) -> Window {
    let mut window = *window;
    window.padding.iter_mut().zip(padding).for_each(|(old, more)| *old += more);
    window
}

/// Every position of a pool's window must reach into the input.
fn fits(window: &Window) -> bool {
    let [top, left, bottom, right] = window.padding;
    top.max(bottom) < window.kernel[0] && left.max(right) < window.kernel[1]
}

fn is_not_negative(graph: &Graph, pad: &Node) -> bool {
    let writer = pad.inputs.first().and_then(|&x| graph.writer(x));
    writer.is_some_and(|i| matches!(graph.nodes[i].op, Op::Clip { low, .. } if low >= 0.0))
}
