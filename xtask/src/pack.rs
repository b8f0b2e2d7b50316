//! Weights into a kernel family's order and back, and the scratch memory that the family's kernels use.

use still8::format::{ChannelRecord, Conv2dParams, Family};
use still8::ops;
use still8::packing::{MatrixOrder, NIBBLE_BLOCK, WindowOrder, unpack_nibbles};

use crate::network::{Bits, Kind, Network, Op};

/// Scratch bytes of an op.
pub fn scratch_bytes(network: &Network, op: &Op, family: Family) -> usize {
    // Shapes of a network that fits a plan are `u32`s.
    let shape = |tensor: usize| network.tensors[tensor].shape.map(|dim| dim as u32);
    let shapes = || (shape(op.inputs[0]), shape(op.output));
    match &op.kind {
        Kind::Conv2d { params, bits, .. } => {
            let (input, output) = shapes();
            let rule = match bits {
                Bits::Eight => ops::Conv2d::scratch_bytes,
                Bits::Four => ops::Conv2dInt4::scratch_bytes,
            };
            rule(family, params, input, output)
        }
        Kind::DepthwiseConv2d { params, bits, .. } => {
            let (input, output) = shapes();
            let rule = match bits {
                Bits::Eight => ops::DepthwiseConv2d::scratch_bytes,
                Bits::Four => ops::DepthwiseConv2dInt4::scratch_bytes,
            };
            rule(family, params, input, output)
        }
        Kind::FullyConnected { bits: Bits::Four, .. } => {
            let len = |tensor: usize| network.tensors[tensor].len();
            ops::FullyConnectedInt4::scratch_bytes(family, len(op.inputs[0]), len(op.output))
        }
        _ => 0,
    }
}

/// Where the weights of an op lie: plain index → packed index, and the packed length.
enum Order {
    /// One matrix a group.
    Matrix(MatrixOrder, usize),
    Window(WindowOrder),
}

impl Order {
    fn of(network: &Network, op: &Op, family: Family) -> Option<Self> {
        let c_out = network.tensors[op.output].shape[3];
        match &op.kind {
            Kind::Conv2d { params, weights, .. } => {
                let groups = params.groups as usize;
                let order =
                    MatrixOrder { family, rows: c_out / groups, k: weights.len() / c_out, dense: false };
                Some(Self::Matrix(order, groups))
            }
            Kind::FullyConnected { weights, .. } => {
                let rows = network.tensors[op.output].len();
                Some(Self::Matrix(MatrixOrder { family, rows, k: weights.len() / rows, dense: true }, 1))
            }
            Kind::DepthwiseConv2d { params, .. } => {
                Some(Self::Window(WindowOrder { family, taps: taps(params), channels: c_out }))
            }
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Matrix(order, groups) => order.bytes() * groups,
            Self::Window(order) => order.bytes(),
        }
    }

    fn flips(&self) -> [i8; 2] {
        match self {
            Self::Matrix(order, _) => order.flips(),
            Self::Window(_) => [0; 2],
        }
    }

    /// What the order folds into the bias of an output channel.
    fn folded(&self, packed: &[i8], row: usize) -> i32 {
        match self {
            Self::Matrix(order, _) => {
                order.folded(&packed[row / order.rows * order.bytes()..], row % order.rows)
            }
            Self::Window(_) => 0,
        }
    }

    fn index(&self, plain: usize) -> usize {
        match self {
            Self::Matrix(order, _) => {
                let (row, k) = (plain / order.k, plain % order.k);
                row / order.rows * order.bytes() + order.index(row % order.rows, k)
            }
            Self::Window(order) => order.index(plain / order.channels, plain % order.channels),
        }
    }
}

fn taps(params: &Conv2dParams) -> usize {
    usize::from(params.kernel[0]) * usize::from(params.kernel[1])
}

/// The op's weights in `family`'s order and its channels with what that order folds into them; both empty where it has
/// none.
pub fn pack(network: &Network, op: &Op, family: Family) -> (Vec<i8>, Vec<ChannelRecord>) {
    let mut channels = op.kind.channels().to_vec();
    let Some(order) = Order::of(network, op, family) else {
        return (Vec::new(), channels);
    };
    let flips = order.flips();
    let mut packed: Vec<i8> = (0..order.bytes()).map(|place| flips[place % 2]).collect();
    for (plain, &weight) in op.kind.weights().iter().enumerate() {
        packed[order.index(plain)] ^= weight;
    }
    for (row, channel) in channels.iter_mut().enumerate() {
        channel.bias = channel.bias.wrapping_add(order.folded(&packed, row));
    }
    if op.kind.bits() == Bits::Four {
        packed = nibbles(packed, flips);
    }
    (packed, channels)
}

/// Stored bytes at four bits each, as [`nibble_bytes`](still8::packing::nibble_bytes) says.
fn nibbles(mut stored: Vec<i8>, flips: [i8; 2]) -> Vec<i8> {
    while !stored.len().is_multiple_of(NIBBLE_BLOCK) {
        stored.push(flips[stored.len() % 2]);
    }
    let half = NIBBLE_BLOCK / 2;
    let block = |block: &[i8]| -> Vec<i8> {
        (0..half).map(|i| ((block[i] as u8 >> 4) | (block[half + i] as u8 & 0xf0)) as i8).collect()
    };
    stored.chunks_exact(NIBBLE_BLOCK).flat_map(block).collect()
}

/// The inverse of [`pack`]: the op's weights, of which there are `op.kind.weights().len()`, in plain order, and its
/// channels.
pub fn unpack(network: &Network, op: &Op, family: Family, packed: &[i8]) -> (Vec<i8>, Vec<ChannelRecord>) {
    let mut channels = op.kind.channels().to_vec();
    let Some(order) = Order::of(network, op, family) else {
        return (Vec::new(), channels);
    };
    let mut stored = packed.to_vec();
    if op.kind.bits() == Bits::Four {
        stored = vec![0; 2 * packed.len()];
        unpack_nibbles(packed, &mut stored);
    }
    let packed = &stored[..];
    let flips = order.flips();
    let plain = (0..op.kind.weights().len()).map(|plain| order.index(plain));
    let plain = plain.map(|place| packed[place] ^ flips[place % 2]).collect();
    for (row, channel) in channels.iter_mut().enumerate() {
        channel.bias = channel.bias.wrapping_sub(order.folded(packed, row));
    }
    (plain, channels)
}
