//! One random case: what all operators share.

use super::kernels::Kernels;
use super::memory::{Guarded, Memory, OVERHEAD};
use super::random::Bytes;
use super::report::{Parameters, Wrong};
use crate::Align16;
use crate::format::{Family, OpCode};
use crate::kernels;

/// Most multiply-accumulates of a case, so that thousands of cases run in seconds on an emulated core; few under Miri.
const MACS_LIMIT: usize = if cfg!(miri) { 500 } else { 40_000 };

/// Draws after which sizes are halved, so that some draw fits any memory.
const DRAWS: u32 = 16;

/// Contents of outputs before a kernel runs: a byte that neither kernel writes is a difference.
const UNWRITTEN: [i8; 2] = [85, -86];

/// Operators, those with more kernels of their own more often.
const OPS: [OpCode; 20] = [
    OpCode::Conv2d,
    OpCode::Conv2d,
    OpCode::Conv2d,
    OpCode::Conv2d,
    OpCode::Conv2d,
    OpCode::DepthwiseConv2d,
    OpCode::DepthwiseConv2d,
    OpCode::DepthwiseConv2d,
    OpCode::DepthwiseConv2d,
    OpCode::FullyConnected,
    OpCode::FullyConnected,
    OpCode::Add,
    OpCode::AveragePool2d,
    OpCode::MaxPool2d,
    OpCode::Mean,
    OpCode::Pad,
    OpCode::Concat,
    OpCode::Softmax,
    OpCode::Transpose,
    OpCode::Table,
];

/// Output bytes compared, and those strictly between −128 and 127.
pub(super) type Compared = (u64, u64);

pub(super) type Outcome = Result<Compared, (Parameters, Wrong)>;

/// A case that is being drawn and run.
pub(super) struct Case<'m> {
    pub random: Bytes,
    pub memory: Memory<'m>,
    pub reference: &'m Kernels,
    pub variant: &'m Kernels,
    /// Weight order of the case.
    pub family: Family,
    halvings: u32,
}

/// What a case costs: bytes of its blocks, number of its blocks, multiply-accumulates.
pub(super) struct Cost {
    pub bytes: usize,
    pub blocks: usize,
    pub macs: usize,
}

impl<'m> Case<'m> {
    pub fn new(
        mut random: Bytes,
        memory: &'m mut [Align16],
        reference: &'m Kernels,
        variant: &'m Kernels,
    ) -> Self {
        // Orders that the kernels read but slowly must come out right as well.
        let other = random.one_of(&Family::ALL);
        let family = if random.below(8) == 0 && kernels::accepts(other) { other } else { variant.family };
        Self { random, memory: Memory::new(memory), reference, variant, family, halvings: 0 }
    }

    /// Draws the operator.
    pub fn op(&mut self) -> OpCode {
        self.random.one_of(&OPS)
    }

    pub fn run(&mut self, op: OpCode) -> Outcome {
        match op {
            OpCode::Conv2d => self.convolution(false),
            OpCode::DepthwiseConv2d => self.convolution(true),
            OpCode::FullyConnected => self.fully_connected(),
            OpCode::Add => self.add(),
            OpCode::AveragePool2d => self.pool(false),
            OpCode::MaxPool2d => self.pool(true),
            OpCode::Mean => self.mean(),
            OpCode::Pad => self.pad(),
            OpCode::Concat => self.concat(),
            OpCode::Softmax => self.softmax(),
            OpCode::Transpose => self.transpose(),
            OpCode::Table => self.table(),
            // One kernel for all cores, so that there is nothing to compare.
            OpCode::Mul
            | OpCode::PRelu
            | OpCode::MatMul
            | OpCode::LayerNorm
            | OpCode::Constant
            | OpCode::Gather
            | OpCode::ResizeLinear
            | OpCode::ArgMax
            | OpCode::Convert
            | OpCode::Conv2d16
            | OpCode::Add16
            | OpCode::Mean16
            | OpCode::Table16
            // These call the kernels for eight bits.
            | OpCode::Conv2dInt4
            | OpCode::DepthwiseConv2dInt4
            | OpCode::FullyConnectedInt4 => Ok((0, 0)),
        }
    }

    /// Draws until the cost is within memory and time.
    pub fn draw<T>(&mut self, draw: impl Fn(&mut Self) -> T, cost: impl Fn(&T) -> Cost) -> T {
        let mut draws = 0;
        loop {
            self.halvings = draws / DRAWS;
            let drawn = draw(self);
            let Cost { bytes, blocks, macs } = cost(&drawn);
            if bytes + blocks * OVERHEAD <= self.memory.free() && macs <= MACS_LIMIT {
                return drawn;
            }
            draws += 1;
        }
    }

    /// A size in 1..=`end`, less after many draws.
    pub fn size(&mut self, end: usize) -> usize {
        let end = end.checked_shr(self.halvings).unwrap_or(0).max(1);
        1 + self.random.below(end as u64) as usize
    }

    /// Whether one chance in `n` came true.
    pub fn chance(&mut self, n: u64) -> bool {
        self.random.below(n) == 0
    }

    /// Number of channels: any up to 70, or a whole number of blocks.
    pub fn channels(&mut self) -> usize {
        match self.random.below(4) {
            0 => self.size(8),
            1 => 4 * self.size(8),
            2 => 16 * self.size(4),
            _ => self.size(70),
        }
    }

    /// Where an int8 tensor starts: a plan may put it at any byte.
    pub fn misalignment(&mut self) -> usize {
        if self.random.below(2) == 0 { 0 } else { self.random.below(16) as usize }
    }

    /// A random tensor of the arena.
    pub fn tensor(&mut self, len: usize) -> &'m mut [i8] {
        let misalignment = self.misalignment();
        let bytes = self.memory.take(len, misalignment);
        self.random.fill(bytes);
        bytes
    }

    /// Outputs for either kernel: the reference's, the variant's.
    pub fn outputs(&mut self, len: usize) -> [Guarded<'m>; 2] {
        UNWRITTEN.map(|fill| {
            let misalignment = self.misalignment();
            self.memory.guarded(len, misalignment, fill)
        })
    }
}

/// Ends a case: compares the outputs.
pub(super) fn finish(parameters: Parameters, [mut expected, found]: [Guarded<'_>; 2]) -> Outcome {
    found.compare(&expected).map_err(|wrong| (parameters, wrong))?;
    let output = expected.payload();
    let inner = output.iter().filter(|&&q| q != i8::MIN && q != i8::MAX).count();
    Ok((output.len() as u64, inner as u64))
}
