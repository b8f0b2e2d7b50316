//! What a self-test found.

use core::fmt;

use super::convolution::Geometry;
use crate::format::{AddParams, ChannelRecord, MeanParams, OpCode, Pool2dParams};
use crate::kernels::window::Window;
use crate::packing::MatrixOrder;

/// What ran without a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases.
    pub cases: u32,
    /// Output bytes compared.
    pub bytes: u64,
    /// Those of them that lie strictly between −128 and 127.
    pub inner: u64,
}

/// The first case in which a kernel differs from the portable one, or writes where it must not.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the case.
    pub case: u32,
    /// The operator.
    pub op: OpCode,
    /// The kernel variant.
    pub kernels: &'static str,
    pub(super) parameters: Parameters,
    pub(super) wrong: Wrong,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, case, op, kernels, parameters, wrong } = self;
        write!(f, "seed {seed}, case {case}, {op:?}, {kernels} kernels: {wrong} in {parameters:?}")
    }
}

impl core::error::Error for Difference {}

/// A byte that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub place: Place,
    pub expected: i8,
    pub found: i8,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.place, self.expected, self.found)
    }
}

/// Where a byte lies. Distances count from the block's first byte down, and from its end up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Output(usize),
    BeforeOutput(usize),
    BehindOutput(usize),
    BeforeScratch(usize),
    BehindScratch(usize),
    BeforeReference(usize),
    BehindReference(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(i) => write!(f, "output[{i}]"),
            Self::BeforeOutput(i) => write!(f, "{i} bytes before the output"),
            Self::BehindOutput(i) => write!(f, "{i} bytes behind the output's end"),
            Self::BeforeScratch(i) => write!(f, "{i} bytes before the scratch memory"),
            Self::BehindScratch(i) => write!(f, "{i} bytes behind the scratch memory's end"),
            Self::BeforeReference(i) => write!(f, "{i} bytes before the portable kernel's output"),
            Self::BehindReference(i) => write!(f, "{i} bytes behind the portable kernel's output"),
        }
    }
}

/// What a case drew, without its data.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "the fields are read by `Debug`")]
pub(super) enum Parameters {
    Convolution(Geometry),
    FullyConnected { order: MatrixOrder, activation: (i8, i8), zero_point: i8, first: ChannelRecord },
    Add { len: usize, params: AddParams, in_place: Option<u8> },
    Elements { len: usize, in_place: bool },
    Softmax { rows: usize, channels: usize, in_place: bool },
    Pool { images: usize, window: Window, channels: usize, zero_point: i8, params: Pool2dParams },
    Mean { shape: [usize; 4], params: MeanParams },
    Pad { before: [usize; 4], value: i8, from: [usize; 4], to: [usize; 4] },
    Concat { rows: usize, block: usize, pitch: usize, offset: usize },
    Transpose { shape: [usize; 4], strides: [usize; 4] },
}
