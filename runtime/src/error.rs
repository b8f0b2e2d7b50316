//! What can be wrong with a plan or an arena. Nothing can go wrong after that.

use core::fmt;

use crate::format::Family;

/// Why a plan was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// The slice does not start at a 16-byte boundary.
    Misaligned {
        /// Address modulo 16.
        remainder: usize,
    },
    /// The slice is shorter than the plan.
    Truncated {
        /// Bytes that the plan needs.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The bytes are not a plan.
    NotAPlan,
    /// Written in a format version that this runtime does not read.
    Version {
        /// Version of the plan.
        plan: u16,
        /// Latest version of this runtime.
        runtime: u16,
    },
    /// The checksum does not match: the bytes were changed or damaged.
    Checksum {
        /// Checksum in the header.
        stored: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// Packed for other kernels than those of this build.
    Family {
        /// Family of the plan, `None` where its number is unknown.
        plan: Option<Family>,
        /// Family that this build runs.
        runtime: Family,
    },
    /// A section lies outside the file, is misaligned, doubled, missing or of a wrong size.
    Section {
        /// Its kind, see [`crate::format::section`].
        kind: u32,
    },
    /// A required section of a kind that this runtime does not know.
    UnknownSection {
        /// Its kind.
        kind: u32,
    },
    /// A tensor has an unknown type, lies outside the arena or is too large.
    Tensor {
        /// Its index.
        index: usize,
    },
    /// A graph input or output does not fit its tensor.
    Io {
        /// Its index in the section.
        index: usize,
    },
    /// An operator that the operator table lacks.
    UnknownOperator {
        /// Index of the op.
        op: usize,
        /// Its code.
        code: u16,
    },
    /// An op that its operator's check refuses.
    Op {
        /// Index of the op.
        op: usize,
        /// What is wrong with it.
        fault: OpFault,
    },
    /// The golden section does not match inputs, outputs and ops.
    Golden,
}

/// What is wrong with one op of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpFault {
    /// Operand list or count.
    Operands,
    /// The parameter struct lies outside its section or has another size.
    Params,
    /// A parameter's value.
    Value,
    /// Weights, channel records or a table: place, size or alignment.
    Data,
    /// A weight of −128.
    Weight,
    /// A channel record outside the numbers contract.
    Channel {
        /// The output channel.
        channel: usize,
    },
    /// Shapes that do not belong together.
    Shape,
    /// An element type that the operator does not take.
    DataType,
    /// Quantizations that must be equal and are not.
    Quantization,
    /// Tensors that overlap in the arena and must not.
    Overlap,
    /// Scratch memory outside the arena or too small.
    Scratch,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { remainder } => write!(
                f,
                "the plan starts {remainder} bytes past a 16-byte boundary; place it with include_plan! or #[repr(align(16))]"
            ),
            Self::Truncated { need, have } => {
                write!(f, "the plan needs {need} bytes, only {have} are there; the file is cut short")
            }
            Self::NotAPlan => {
                write!(f, "the bytes are not a still8 plan; make one with `cargo xtask quantize`")
            }
            Self::Version { plan, runtime } => write!(
                f,
                "the plan has format version {plan}, this runtime reads 1 to {runtime}; quantize the model again or update"
            ),
            Self::Checksum { stored, computed } => write!(
                f,
                "the plan is damaged: checksum {computed:08x}, its header says {stored:08x}; copy or quantize it again"
            ),
            Self::Family { plan, runtime } => write!(
                f,
                "the plan is packed for {} kernels, this build has {} ones; use `cargo xtask quantize --family {}`",
                plan.map_or("unknown", Family::name),
                runtime.name(),
                runtime.name()
            ),
            Self::Section { kind } => {
                write!(f, "section {kind} of the plan is misplaced, missing or of a wrong size")
            }
            Self::UnknownSection { kind } => {
                write!(
                    f,
                    "the plan requires section {kind}, which this runtime does not know; update the runtime"
                )
            }
            Self::Tensor { index } => write!(f, "tensor {index} of the plan does not fit the arena"),
            Self::Io { index } => write!(f, "input or output {index} of the plan does not fit its tensor"),
            Self::UnknownOperator { op, code } => write!(
                f,
                "op {op} of the plan has operator code {code}, which is not in the operator table; add the operator to ops![]"
            ),
            Self::Op { op, fault } => write!(f, "op {op} of the plan is not valid: {fault:?}"),
            Self::Golden => write!(f, "the plan's golden section does not match its inputs, outputs and ops"),
        }
    }
}

impl core::error::Error for PlanError {}

/// The arena is smaller than the plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArenaTooSmall {
    /// Bytes that the plan needs.
    pub need: usize,
    /// Bytes that were given.
    pub have: usize,
}

impl fmt::Display for ArenaTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plan needs an arena of {} bytes, {} were given", self.need, self.have)
    }
}

impl core::error::Error for ArenaTooSmall {}
