//! Weights into a kernel family's order and back, and the scratch memory that the family's kernels use.

use still8::format::{Conv2dParams, Family};
use still8::ops;
use still8::packing::{MatrixOrder, WindowOrder};

use crate::network::{Kind, Network, Op};

/// Scratch bytes of an op.
pub fn scratch_bytes(network: &Network, op: &Op, family: Family) -> usize {
    // Shapes of a network that fits a plan are `u32`s.
    let shape = |tensor: usize| network.tensors[tensor].shape.map(|dim| dim as u32);
    let shapes = || (shape(op.inputs[0]), shape(op.output));
    match &op.kind {
        Kind::Conv2d { params, .. } => {
            let (input, output) = shapes();
            ops::Conv2d::scratch_bytes(family, params, input, output)
        }
        Kind::DepthwiseConv2d { params, .. } => {
            let (input, output) = shapes();
            ops::DepthwiseConv2d::scratch_bytes(family, params, input, output)
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
                let order = MatrixOrder { family, rows: c_out / groups, k: weights.len() / c_out };
                Some(Self::Matrix(order, groups))
            }
            Kind::FullyConnected { weights, .. } => {
                let rows = network.tensors[op.output].len();
                Some(Self::Matrix(MatrixOrder { family, rows, k: weights.len() / rows }, 1))
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

/// The op's weights in `family`'s order, empty where it has none.
pub fn pack(network: &Network, op: &Op, family: Family) -> Vec<i8> {
    let Some(order) = Order::of(network, op, family) else {
        return Vec::new();
    };
    let mut packed = vec![0; order.bytes()];
    for (plain, &weight) in op.kind.weights().iter().enumerate() {
        packed[order.index(plain)] = weight;
    }
    packed
}

/// The inverse of [`pack`]: the op's weights, of which there are `op.kind.weights().len()`, in plain order.
pub fn unpack(network: &Network, op: &Op, family: Family, packed: &[i8]) -> Vec<i8> {
    let count = op.kind.weights().len();
    match Order::of(network, op, family) {
        Some(order) => (0..count).map(|plain| packed[order.index(plain)]).collect(),
        None => Vec::new(),
    }
}
