//! Subgraphs of one element become one expression: HardSwish, GELU, SiLU and the like, whatever an exporter made of them.

use super::edit::describe;
use crate::expression::Expression;
use crate::graph::{Graph, Node, Op, ValueId};

/// Most operations of an expression: what is longer is no activation.
const SIZE: usize = 24;

/// A sum, difference or product of two expressions of one value becomes an expression of it.
pub fn join(graph: &mut Graph) -> Option<String> {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Op::Add | Op::Sub | Op::Mul, &[a, b]) = (&node.op, node.inputs.as_slice()) else {
            continue;
        };
        if graph.constant(a).is_some() || graph.constant(b).is_some() {
            continue;
        }
        let (of_a, of_b) = (traced(graph, a), traced(graph, b));
        let common = of_a.iter().find_map(|(root, a)| {
            let (_, b) = of_b.iter().find(|(other, _)| other == root)?;
            Some((*root, a.clone(), b.clone()))
        });
        let Some((root, a, b)) = common else {
            continue;
        };
        let (a, b) = (Box::new(a), Box::new(b));
        let joined = match node.op {
            Op::Add => Expression::Sum(a, b),
            Op::Sub => Expression::Difference(a, b),
            _ => Expression::Product(a, b),
        };
        let same_shape = graph.values[root].shape == graph.values[node.output].shape;
        if joined.size() > SIZE || !same_shape {
            continue;
        }
        let text = format!("joined {} and what it reads of `{}`", describe(node), graph.values[root].name);
        graph.nodes[index].op = Op::Map(joined);
        graph.nodes[index].inputs = vec![root];
        return Some(text);
    }
    None
}

/// Two expressions in a row become one, where one of them needs a table anyway.
pub fn chain(graph: &mut Graph) -> Option<String> {
    for reader in 0..graph.nodes.len() {
        let Some(feeder) = super::edit::only_feeder(graph, reader) else {
            continue;
        };
        let (first, second) = (&graph.nodes[feeder], &graph.nodes[reader]);
        let table = |node: &Node| matches!(node.op, Op::Map(_));
        let (true, Some(inner), Some(outer)) =
            (table(first) || table(second), expression(graph, first), expression(graph, second))
        else {
            continue;
        };
        let merged = outer.after(&inner);
        if merged.size() > SIZE {
            continue;
        }
        let text = format!("merged {} into {}", describe(first), describe(second));
        let from = first.inputs[0];
        graph.nodes[reader].op = Op::Map(merged);
        graph.nodes[reader].inputs = vec![from];
        graph.nodes.remove(feeder);
        return Some(text);
    }
    None
}

/// The node as an expression of its first operand; `None` for what is none.
fn expression(graph: &Graph, node: &Node) -> Option<Expression> {
    let x = Box::new(Expression::X);
    match &node.op {
        Op::Map(expression) => Some(expression.clone()),
        Op::Clip { low, high } => Some(Expression::Clip(*low, *high, x)),
        Op::ScaleOffset => {
            let uniform = |i: usize| {
                let values = graph.constant(*node.inputs.get(i)?)?;
                let first = *values.first()?;
                values.iter().all(|&value| value == first).then_some(first)
            };
            Some(Expression::Affine(uniform(1)?, uniform(2)?, x))
        }
        _ => None,
    }
}

/// The value as an expression of itself, of what it was made of, and so on.
fn traced(graph: &Graph, value: ValueId) -> Vec<(ValueId, Expression)> {
    let mut found = vec![(value, Expression::X)];
    while let Some((root, so_far)) = found.last()
        && so_far.size() < SIZE
        && let Some(writer) = graph.writer(*root)
        // Integers of its own in between are another rounding.
        && graph.values[*root].given.is_none()
        && let Some(inner) = expression(graph, &graph.nodes[writer])
    {
        let next = (graph.nodes[writer].inputs[0], so_far.after(&inner));
        found.push(next);
    }
    found
}
