//! The bytes of a plan file (`.s8`): little-endian records that are read in place, and their numbers.
//!
//! ```text
//! Header (64) │ SectionRecord × n │ sections, each 16-byte aligned
//! ```
//!
//! This file says what the bytes mean; [`crate::plan`] checks them; the compiler's `emit` writes them. A change
//! of any record's size or meaning is a new [`FORMAT_VERSION`].

mod params;
mod wide;

use bytemuck::{Pod, Zeroable};

pub use params::*;
pub use wide::*;

#[cfg(target_endian = "big")]
compile_error!("plans are little-endian and read in place; big-endian hosts are not supported");

/// First bytes of every plan. The line ends reveal a transfer in text mode.
pub const MAGIC: [u8; 8] = *b"still8\r\n";
/// Version of the layout described here. Differences of earlier ones, which are read as well, stand with their records.
pub const FORMAT_VERSION: u16 = 3;
/// Alignment of the file in memory, of its sections and of the arena, in bytes.
pub const ALIGNMENT: usize = 16;
/// Largest rank of a graph input or output.
pub const MAX_RANK: usize = 6;

/// The file's first record.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`] of the writer.
    pub version: u16,
    /// Weight order, a [`Family`].
    pub family: u8,
    /// Zero.
    pub reserved: u8,
    /// CRC-32 (ISO-HDLC) of the file with these four bytes as zero.
    pub crc32: u32,
    /// Length of the file.
    pub file_bytes: u32,
    /// Arena that a session needs.
    pub arena_bytes: u32,
    /// Bytes at the arena's front that live on between calls.
    pub state_bytes: u32,
    /// Number of [`SectionRecord`]s that follow.
    pub sections: u32,
    /// SHA-256 of the source file (ONNX) that the plan was made from.
    pub source_sha256: [u8; 32],
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SectionRecord {
    /// A [`section`] number.
    pub kind: u32,
    /// Bit 0: a reader that does not know the kind must refuse the plan.
    pub flags: u32,
    /// Byte offset in the file, a multiple of [`ALIGNMENT`].
    pub offset: u32,
    /// Length in bytes, padding excluded.
    pub bytes: u32,
}

/// Flag of a section that a reader must know.
pub const SECTION_REQUIRED: u32 = 1;

/// Section kinds. Numbers are never reused.
pub mod section {
    /// [`super::TensorRecord`]s.
    pub const TENSORS: u32 = 1;
    /// [`super::OpRecord`]s in execution order.
    pub const OPS: u32 = 2;
    /// `u16` tensor indices: the operands of all ops.
    pub const OPERANDS: u32 = 3;
    /// Parameter structs of all ops, each 4-byte aligned.
    pub const PARAMS: u32 = 4;
    /// Packed weights, channel records and tables, each 16-byte aligned.
    pub const DATA: u32 = 5;
    /// [`super::IoRecord`]s: inputs, then outputs, in the source graph's order.
    pub const IO: u32 = 6;
    /// UTF-8 text that [`super::StrRef`]s point into. The first one is the plan's name.
    pub const STRINGS: u32 = 7;
    /// [`super::GoldenHeader`], input bytes, output bytes, one CRC-32 per op. Optional.
    pub const GOLDEN: u32 = 8;
    /// Parameters of the signal front end. Optional; reserved.
    pub const FRONT_END: u32 = 9;
    /// UTF-8 TOML: where model and data came from. Optional.
    pub const LINEAGE: u32 = 10;
    /// Signature over all that precedes it. Optional; reserved.
    pub const SIGNATURE: u32 = 11;
}

/// Order in which weights are packed: that in which a kernel family reads them. See [`crate::packing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Family {
    /// Row-major `[c_out][k]`, without padding.
    Portable = 0,
    /// For Armv7E-M and Armv8-M DSP, as release 0.1 wrote it. Read, not written any more.
    Dsp1 = 1,
    /// For the vector extension of Armv8.1-M.
    Helium = 2,
    /// For AArch64.
    Neon = 3,
    /// For Armv6-M and Armv7-M, which multiply one pair at a time.
    Scalar = 4,
    /// For Armv7E-M and Armv8-M DSP.
    Dsp = 5,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Dsp1, Self::Helium, Self::Neon, Self::Scalar, Self::Dsp];

    /// The name used on command lines, in file names and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Dsp1 => "dsp1",
            Self::Helium => "helium",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
            Self::Dsp => "dsp",
        }
    }

    /// Whether a device with this family's kernels runs plans of the other one: its own, and what release 0.1 wrote for
    /// the same cores.
    pub const fn runs(self, plan: Self) -> bool {
        let first = match self {
            Self::Portable | Self::Scalar | Self::Neon => Self::Portable,
            Self::Dsp1 | Self::Dsp | Self::Helium => Self::Dsp1,
        };
        plan as u8 == self as u8 || plan as u8 == first as u8
    }

    /// The family with this number.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Portable),
            1 => Some(Self::Dsp1),
            2 => Some(Self::Helium),
            3 => Some(Self::Neon),
            4 => Some(Self::Scalar),
            5 => Some(Self::Dsp),
            _ => None,
        }
    }
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum DataType {
    /// One signed byte an element.
    Int8 = 0,
    /// Two bytes an element.
    Int16 = 1,
    /// Two elements a byte, the lower nibble first.
    Int4 = 2,
    /// Four bytes an element.
    Int32 = 3,
}

impl DataType {
    /// The type with this number.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Int8),
            1 => Some(Self::Int16),
            2 => Some(Self::Int4),
            3 => Some(Self::Int32),
            _ => None,
        }
    }

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int4 => "int4",
            Self::Int32 => "int32",
        }
    }

    /// Bytes of `elements` elements, `None` where that exceeds `u32`.
    pub const fn bytes(self, elements: u32) -> Option<u32> {
        match self {
            Self::Int8 => Some(elements),
            Self::Int16 => elements.checked_mul(2),
            Self::Int4 => Some(elements.div_ceil(2)),
            Self::Int32 => elements.checked_mul(4),
        }
    }
}

/// A tensor in the arena. real = scale × (q − zero_point).
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct TensorRecord {
    /// Byte offset in the arena.
    pub offset: u32,
    /// Shape `[n, h, w, c]`, row-major; a vector is `[1, 1, 1, c]`.
    pub shape: [u32; 4],
    /// Integer that stands for the real 0.
    pub zero_point: i32,
    /// Real value of one step. For people and tools: inference never reads it.
    pub scale: f32,
    /// A [`DataType`].
    pub dtype: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Text in the strings section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StrRef {
    /// Byte offset in the strings section.
    pub offset: u16,
    /// Length in bytes.
    pub bytes: u16,
}

/// One step of the execution order.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OpRecord {
    /// An [`OpCode`].
    pub op: u16,
    /// Size of the parameter struct.
    pub params_bytes: u16,
    /// Byte offset of the parameter struct in the params section.
    pub params: u32,
    /// Index of the first operand in the operands section; inputs first, then outputs.
    pub operands: u32,
    /// Number of inputs.
    pub inputs: u8,
    /// Number of outputs.
    pub outputs: u8,
    /// Zero.
    pub reserved: u16,
    /// The layer's name in the source graph.
    pub name: StrRef,
}

/// Operator numbers. They are indices of an operator table, and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
#[allow(missing_docs)]
pub enum OpCode {
    Conv2d = 0,
    DepthwiseConv2d = 1,
    FullyConnected = 2,
    Add = 3,
    AveragePool2d = 4,
    MaxPool2d = 5,
    Mean = 6,
    Pad = 7,
    Concat = 8,
    Softmax = 9,
    Transpose = 10,
    Table = 11,
    Mul = 12,
    PRelu = 13,
    MatMul = 14,
    LayerNorm = 15,
    Constant = 16,
    Gather = 17,
    ResizeLinear = 18,
    ArgMax = 19,
    Conv2dInt4 = 20,
    DepthwiseConv2dInt4 = 21,
    FullyConnectedInt4 = 22,
    Convert = 23,
    Conv2d16 = 24,
    Add16 = 25,
    Mean16 = 26,
    Table16 = 27,
}

impl OpCode {
    /// Every operator, by number.
    pub const ALL: [Self; OP_CODES] = [
        Self::Conv2d,
        Self::DepthwiseConv2d,
        Self::FullyConnected,
        Self::Add,
        Self::AveragePool2d,
        Self::MaxPool2d,
        Self::Mean,
        Self::Pad,
        Self::Concat,
        Self::Softmax,
        Self::Transpose,
        Self::Table,
        Self::Mul,
        Self::PRelu,
        Self::MatMul,
        Self::LayerNorm,
        Self::Constant,
        Self::Gather,
        Self::ResizeLinear,
        Self::ArgMax,
        Self::Conv2dInt4,
        Self::DepthwiseConv2dInt4,
        Self::FullyConnectedInt4,
        Self::Convert,
        Self::Conv2d16,
        Self::Add16,
        Self::Mean16,
        Self::Table16,
    ];
}

/// Number of [`OpCode`]s.
pub const OP_CODES: usize = 28;

/// Direction of a graph input or output.
pub mod io_kind {
    /// A graph input.
    pub const INPUT: u8 = 0;
    /// A graph output.
    pub const OUTPUT: u8 = 1;
}

/// A graph input or output in the source graph's layout.
///
/// Axis `i` of the tensor in the arena is axis `permutation[i]` of the source; both are row-major.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct IoRecord {
    /// Tensor index.
    pub tensor: u16,
    /// [`io_kind`].
    pub kind: u8,
    /// Rank in the source graph, at most [`MAX_RANK`].
    pub rank: u8,
    /// Device axis → source axis; entries at and past `rank` are zero.
    pub permutation: [u8; 8],
    /// Shape in the source graph; entries at and past `rank` are zero.
    pub shape: [u32; MAX_RANK],
    /// Name in the source graph.
    pub name: StrRef,
}

/// Front of the golden section: one input and what every op must make of it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct GoldenHeader {
    /// Bytes that follow of all inputs, device layout, in order. Fewer than the inputs have repeat until these are
    /// full (in format 1 all are there): byte i of the inputs is byte i mod `input_bytes`.
    pub input_bytes: u32,
    /// Bytes of all outputs, device layout, in order.
    pub output_bytes: u32,
    /// Number of CRC-32s of the ops' outputs that follow the bytes, 4-byte aligned; equals the number of ops.
    pub crcs: u32,
    /// Zero.
    pub reserved: u32,
}
