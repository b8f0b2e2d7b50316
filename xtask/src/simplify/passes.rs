//! The passes, run until none finds anything.

use super::{dead, elementwise, identity, layer_norm, merge, pad, scale_offset};
use crate::graph::Graph;

/// A pass makes one change, if it finds one to make, and says which.
type Pass = fn(&mut Graph) -> Option<String>;

const PASSES: &[Pass] = &[
    dead::drop_node,
    identity::remove,
    merge::transposes,
    merge::reshapes,
    merge::clips,
    scale_offset::into_writer,
    scale_offset::into_scale_offset,
    scale_offset::into_reader,
    pad::into_reader,
    elementwise::join,
    elementwise::chain,
    layer_norm::join,
    layer_norm::scale_offset,
];

/// Simplifies the graph and returns what was done, in order.
///
/// Each change removes a node, or an operator of two values, so that it ends. Values that nothing uses any more are dropped at the end.
pub fn simplify(graph: &mut Graph) -> Vec<String> {
    let mut done = Vec::new();
    while let Some(change) = PASSES.iter().find_map(|pass| pass(graph)) {
        done.push(change);
    }
    dead::drop_values(graph);
    done
}
