//! The int8 network: what a plan holds, before weights are packed and tensors have places in the arena.
//!
//! Quantize makes it, emit writes it as a plan, decode reads it back out of one. Its weights are in plain order,
//! whatever the family of the plan.

use still8::format::{
    Add16Params, AddParams, ArgMaxParams, ChannelRecord, ConcatParams, Conv2d16Params, Conv2dParams,
    ConvertParams, DataType, FullyConnectedParams, LayerNormParams, MatMulParams, Mean16Params, MeanParams,
    MulParams, NormRecord, OpCode, PReluParams, PadParams, Pool2dParams, TapRecord, TransposeParams,
    WideRecord,
};

use crate::quantization::Quantization;
use crate::quantize::accumulator_bound;

/// A tensor in the device's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// `[n, h, w, c]`.
    pub shape: [usize; 4],
    /// What its integers stand for.
    pub quantization: Quantization,
    /// The tensor whose bytes these are, where this one only has another shape.
    pub view_of: Option<usize>,
}

impl Tensor {
    /// An int8 tensor with bytes of its own.
    pub fn int8(shape: [usize; 4], scale: f32, zero_point: i8) -> Self {
        let quantization = Quantization { scale, zero_point: zero_point.into(), dtype: DataType::Int8 };
        Self { shape, quantization, view_of: None }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.len() * self.quantization.dtype.bytes(1).unwrap_or(1) as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One op.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The layer's name in the source graph.
    pub name: String,
    /// What it computes.
    pub kind: Kind,
    /// Tensors it reads.
    pub inputs: Vec<usize>,
    /// The tensor it writes.
    pub output: usize,
}

/// How many bits a weight has in the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bits {
    /// Eight.
    #[default]
    Eight,
    /// Four: the weights of the network are multiples of 16, of which a plan keeps the upper half.
    Four,
}

/// An operator with its parameters. References to data and scratch in the parameters are filled in by emit.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Kind {
    /// Weights `[c_out][kernel_h][kernel_w][c_in / groups]`.
    Conv2d {
        bits: Bits,
        params: Conv2dParams,
        weights: Vec<i8>,
        channels: Vec<ChannelRecord>,
    },
    /// Weights `[kernel_h][kernel_w][c_out]`.
    DepthwiseConv2d {
        bits: Bits,
        params: Conv2dParams,
        weights: Vec<i8>,
        channels: Vec<ChannelRecord>,
    },
    /// Weights `[c_out][k]`.
    FullyConnected {
        bits: Bits,
        params: FullyConnectedParams,
        weights: Vec<i8>,
        channels: Vec<ChannelRecord>,
    },
    Add(AddParams),
    AveragePool2d(Pool2dParams),
    MaxPool2d(Pool2dParams),
    Mean(MeanParams),
    Pad(PadParams),
    Concat(ConcatParams),
    /// Entry d is round(2²⁰ · exp(−scale · d)), 0 past the end.
    Softmax {
        table: Vec<u32>,
    },
    Transpose(TransposeParams),
    /// Entry i is the output for i − 128.
    Table {
        table: Vec<i8>,
    },
    Mul(MulParams),
    PRelu {
        params: PReluParams,
        slopes: Vec<i32>,
    },
    MatMul(MatMulParams),
    LayerNorm {
        params: LayerNormParams,
        channels: Vec<NormRecord>,
    },
    Constant {
        contents: Vec<i8>,
    },
    Gather {
        axis: u8,
        indices: Vec<u16>,
    },
    ResizeLinear {
        rows: Vec<TapRecord>,
        columns: Vec<TapRecord>,
    },
    ArgMax(ArgMaxParams),
    Convert(ConvertParams),
    /// Weights `[c_out][kernel_h][kernel_w][c_in / groups]`.
    Conv2d16 {
        params: Conv2d16Params,
        weights: Vec<i8>,
        channels: Vec<WideRecord>,
    },
    Add16(Add16Params),
    Mean16(Mean16Params),
    /// Entry j is the output for 128 · j − 32768.
    Table16 {
        table: Vec<i16>,
    },
}

impl Kind {
    /// The operator's number in a plan.
    pub fn code(&self) -> OpCode {
        match self {
            Self::Conv2d { bits: Bits::Eight, .. } => OpCode::Conv2d,
            Self::DepthwiseConv2d { bits: Bits::Eight, .. } => OpCode::DepthwiseConv2d,
            Self::FullyConnected { bits: Bits::Eight, .. } => OpCode::FullyConnected,
            Self::Conv2d { .. } => OpCode::Conv2dInt4,
            Self::DepthwiseConv2d { .. } => OpCode::DepthwiseConv2dInt4,
            Self::FullyConnected { .. } => OpCode::FullyConnectedInt4,
            Self::Add(_) => OpCode::Add,
            Self::AveragePool2d(_) => OpCode::AveragePool2d,
            Self::MaxPool2d(_) => OpCode::MaxPool2d,
            Self::Mean(_) => OpCode::Mean,
            Self::Pad(_) => OpCode::Pad,
            Self::Concat(_) => OpCode::Concat,
            Self::Softmax { .. } => OpCode::Softmax,
            Self::Transpose(_) => OpCode::Transpose,
            Self::Table { .. } => OpCode::Table,
            Self::Mul(_) => OpCode::Mul,
            Self::PRelu { .. } => OpCode::PRelu,
            Self::MatMul(_) => OpCode::MatMul,
            Self::LayerNorm { .. } => OpCode::LayerNorm,
            Self::Constant { .. } => OpCode::Constant,
            Self::Gather { .. } => OpCode::Gather,
            Self::ResizeLinear { .. } => OpCode::ResizeLinear,
            Self::ArgMax(_) => OpCode::ArgMax,
            Self::Convert(_) => OpCode::Convert,
            Self::Conv2d16 { .. } => OpCode::Conv2d16,
            Self::Add16(_) => OpCode::Add16,
            Self::Mean16(_) => OpCode::Mean16,
            Self::Table16 { .. } => OpCode::Table16,
        }
    }

    /// Whether the output may take the place of an input in the arena.
    pub fn runs_in_place(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Mul(_) | Self::PRelu { .. } | Self::Table { .. })
    }

    /// How many bits its weights have.
    pub fn bits(&self) -> Bits {
        match self {
            Self::Conv2d { bits, .. }
            | Self::DepthwiseConv2d { bits, .. }
            | Self::FullyConnected { bits, .. } => *bits,
            _ => Bits::Eight,
        }
    }

    /// The weights, empty for operators that have none.
    pub fn weights(&self) -> &[i8] {
        match self {
            Self::Conv2d { weights, .. }
            | Self::DepthwiseConv2d { weights, .. }
            | Self::FullyConnected { weights, .. }
            | Self::Conv2d16 { weights, .. } => weights,
            _ => &[],
        }
    }

    /// The channel records, to change them.
    pub fn channels_mut(&mut self) -> &mut [ChannelRecord] {
        match self {
            Self::Conv2d { channels, .. }
            | Self::DepthwiseConv2d { channels, .. }
            | Self::FullyConnected { channels, .. } => channels,
            _ => &mut [],
        }
    }

    /// The channel records, empty for operators that have none.
    pub fn channels(&self) -> &[ChannelRecord] {
        match self {
            Self::Conv2d { channels, .. }
            | Self::DepthwiseConv2d { channels, .. }
            | Self::FullyConnected { channels, .. } => channels,
            _ => &[],
        }
    }
}

/// A graph input or output in the source's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name in the source graph.
    pub name: String,
    /// Shape in the source graph.
    pub shape: Vec<usize>,
    /// Device axis → source axis.
    pub permutation: Vec<usize>,
    /// The tensor.
    pub tensor: usize,
}

/// A known input and what every op makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Golden {
    /// Front of the inputs, device layout, which repeats until they are full: byte i of them is `input[i mod len]`.
    pub input: Vec<i8>,
    /// All outputs, device layout.
    pub output: Vec<i8>,
    /// CRC-32 of every op's output bytes.
    pub op_crcs: Vec<u32>,
}

/// An int8 network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// SHA-256 of the source file.
    pub source_sha256: [u8; 32],
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All ops, in execution order.
    pub ops: Vec<Op>,
    /// Graph inputs.
    pub inputs: Vec<Port>,
    /// Graph outputs.
    pub outputs: Vec<Port>,
    /// The self-test.
    pub golden: Option<Golden>,
    /// Where model and data came from (TOML).
    pub lineage: Option<String>,
}

impl Network {
    /// The tensor that owns the bytes of `tensor`.
    pub fn storage(&self, tensor: usize) -> usize {
        let mut tensor = tensor;
        while let Some(owner) = self.tensors[tensor].view_of {
            tensor = owner;
        }
        tensor
    }

    /// Bytes of all inputs.
    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(|port| self.tensors[port.tensor].len()).sum()
    }

    /// The whole golden input, device layout; `None` without a self-test.
    pub fn golden_input(&self) -> Option<Vec<i8>> {
        let golden = self.golden.as_ref()?;
        Some(golden.input.iter().copied().cycle().take(self.input_bytes()).collect())
    }

    /// Multiply-accumulates of an op.
    pub fn macs(&self, op: &Op) -> u64 {
        let output = self.tensors[op.output].len() as u64;
        match &op.kind {
            Kind::Conv2d { weights, .. } | Kind::Conv2d16 { weights, .. } => {
                let c_out = self.tensors[op.output].shape[3].max(1) as u64;
                output * (weights.len() as u64 / c_out)
            }
            Kind::DepthwiseConv2d { params, .. } => {
                output * params.kernel.iter().map(|&k| u64::from(k)).product::<u64>()
            }
            Kind::FullyConnected { weights, .. } => weights.len() as u64,
            Kind::MatMul(_) => output * self.tensors[op.inputs[0]].shape[3] as u64,
            _ => 0,
        }
    }

    /// Largest |accumulator| over an op's output channels on any input; `None` for ops without weights.
    pub fn accumulator_bound(&self, op: &Op) -> Option<i64> {
        let (weights, channels) = (op.kind.weights(), op.kind.channels());
        let k = weights.len().checked_div(channels.len())?;
        let bound = |(c, channel): (usize, &ChannelRecord)| {
            let bias = channel.bias.into();
            match op.kind {
                Kind::DepthwiseConv2d { .. } => {
                    accumulator_bound(weights.iter().skip(c).step_by(channels.len()).copied(), bias)
                }
                _ => accumulator_bound(weights[c * k..][..k].iter().copied(), bias),
            }
        };
        channels.iter().enumerate().map(bound).max()
    }

    /// Weights and biases of the whole network.
    pub fn parameters(&self) -> usize {
        let records = |kind: &Kind| match kind {
            Kind::Conv2d16 { channels, .. } => channels.len(),
            kind => kind.channels().len(),
        };
        self.ops.iter().map(|op| op.kind.weights().len() + records(&op.kind)).sum()
    }
}
