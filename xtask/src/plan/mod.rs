//! Memory planner: a place in the arena for each tensor and for each op's scratch memory.
//!
//! A buffer lives from the op that writes it to the last op that reads it; two buffers may share bytes if no op needs
//! both. Views share their owner's buffer, and an element-wise op writes over an input that nobody reads again.

mod place;

use still8::format::{ALIGNMENT, Family};

use crate::network::Network;
use crate::pack;
pub use place::{Buffer, place};

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Arena offset of each tensor.
    pub tensor_offsets: Vec<usize>,
    /// Arena offset and bytes of each op's scratch memory.
    pub scratch: Vec<(usize, usize)>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Largest sum of buffers that are live at once: no plan for this order of ops can be smaller.
    pub lower_bound: usize,
    /// The op at which that sum is reached.
    pub peak_op: usize,
    /// Every place that is taken, and when.
    pub blocks: Vec<Block>,
}

/// A place in the arena that is taken for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Arena offset.
    pub offset: usize,
    /// Bytes, aligned.
    pub bytes: usize,
    /// First op that needs it.
    pub first: usize,
    /// Last op that needs it.
    pub last: usize,
    /// The tensors that lie here; none for an op's scratch memory.
    pub tensors: Vec<usize>,
}

/// Plans the arena for kernels of `family`.
pub fn plan_memory(network: &Network, family: Family) -> MemoryPlan {
    let owner = owners(network);
    let scratch_bytes: Vec<usize> =
        network.ops.iter().map(|op| pack::scratch_bytes(network, op, family)).collect();

    let mut buffers: Vec<Buffer> = Vec::new();
    let mut buffer_of = vec![None; network.tensors.len()];
    let lives = lifetimes(network, &owner);
    for (tensor, life) in lives.iter().enumerate() {
        if let Some((first, last)) = *life {
            buffer_of[tensor] = Some(buffers.len());
            let bytes = network.tensors[tensor].bytes().next_multiple_of(ALIGNMENT);
            buffers.push(Buffer { bytes, first, last });
        }
    }
    let mut scratch_buffer = vec![None; network.ops.len()];
    for (op, &bytes) in scratch_bytes.iter().enumerate().filter(|&(_, &bytes)| bytes > 0) {
        scratch_buffer[op] = Some(buffers.len());
        buffers.push(Buffer { bytes: bytes.next_multiple_of(ALIGNMENT), first: op, last: op });
    }

    let live =
        |op: usize| buffers.iter().filter(|b| b.first <= op && op <= b.last).map(|b| b.bytes).sum::<usize>();
    let peak_op = (0..network.ops.len()).rev().max_by_key(|&op| live(op)).unwrap_or(0);
    let lower_bound =
        if network.ops.is_empty() { buffers.iter().map(|b| b.bytes).sum() } else { live(peak_op) };
    let offsets = place(&buffers, lower_bound);
    let arena_bytes = buffers.iter().zip(&offsets).map(|(b, offset)| b.bytes + offset).max().unwrap_or(0);
    let blocks = buffers.iter().zip(&offsets).enumerate().map(|(index, (buffer, &offset))| Block {
        offset,
        bytes: buffer.bytes,
        first: buffer.first,
        last: buffer.last,
        tensors: (0..owner.len()).filter(|&tensor| buffer_of[owner[tensor]] == Some(index)).collect(),
    });
    let offset_of = |buffer: Option<usize>| buffer.map_or(0, |buffer| offsets[buffer]);
    MemoryPlan {
        tensor_offsets: owner.iter().map(|&owner| offset_of(buffer_of[owner])).collect(),
        scratch: scratch_buffer
            .iter()
            .zip(&scratch_bytes)
            .map(|(&b, &bytes)| (offset_of(b), bytes))
            .collect(),
        arena_bytes,
        lower_bound,
        peak_op,
        blocks: blocks.collect(),
    }
}

/// For each tensor the one whose buffer it uses: the owner of a view, or the input that an op writes over.
fn owners(network: &Network) -> Vec<usize> {
    let mut owner: Vec<usize> = (0..network.tensors.len()).map(|tensor| network.storage(tensor)).collect();
    for (index, op) in network.ops.iter().enumerate().filter(|(_, op)| op.kind.runs_in_place()) {
        let output = owner[op.output];
        let over = op.inputs.iter().map(|&input| owner[input]).find(|&input| {
            let read_later =
                network.ops[index + 1..].iter().any(|op| op.inputs.iter().any(|&i| owner[i] == input));
            let is_output = network.outputs.iter().any(|port| owner[port.tensor] == input);
            // Two different views of one buffer as inputs would be read after being written over.
            let same_size = network.tensors[input].bytes() == network.tensors[op.output].bytes();
            !read_later && !is_output && same_size
        });
        if let Some(input) = over {
            owner.iter_mut().filter(|owner| **owner == output).for_each(|owner| *owner = input);
        }
    }
    owner
}

/// First and last op of each buffer, by its owner; `None` for tensors without a buffer of their own.
fn lifetimes(network: &Network, owner: &[usize]) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; network.tensors.len()];
    let mut touch = |tensor: usize, op: usize| {
        let life = lives[owner[tensor]].get_or_insert((op, op));
        *life = (life.0.min(op), life.1.max(op));
    };
    let end = network.ops.len().saturating_sub(1);
    network.inputs.iter().for_each(|port| touch(port.tensor, 0));
    for (index, op) in network.ops.iter().enumerate() {
        op.inputs.iter().chain([&op.output]).for_each(|&tensor| touch(tensor, index));
    }
    network.outputs.iter().for_each(|port| touch(port.tensor, end));
    lives
}
