//! Reads a plan in place and checks all of it once.
//!
//! Invariant: every index that a checked plan holds lies in bounds, so that [`crate::Session::run`] has nothing
//! left to check, whatever the bytes were.

use core::iter::{Copied, Cycle, Take};
use core::slice::Iter;

use crate::crc32::Crc32;
use crate::error::{OpFault, PlanError};
use crate::format::{
    ALIGNMENT, DataType, FORMAT_VERSION, Family, GoldenHeader, Header, IoRecord, MAGIC, OpRecord,
    SECTION_REQUIRED, SectionRecord, StrRef, TensorRecord, io_kind, section,
};
use crate::kernels;
use crate::operator::OpTable;
use crate::quantize::QuantParams;

/// Byte range of the checksum in the header.
pub const CRC_FIELD: core::ops::Range<usize> = 12..16;

/// CRC-32 of a plan's bytes with the checksum field as zero; the slice must hold a [`Header`].
#[inline]
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    for piece in [&bytes[..CRC_FIELD.start], &[0; 4], &bytes[CRC_FIELD.end..]] {
        crc.update(piece);
    }
    crc.finish()
}

/// A checked plan. Holds references into the bytes and copies nothing.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    header: &'a Header,
    family: Family,
    tensors: &'a [TensorRecord],
    ops: &'a [OpRecord],
    operands: &'a [u16],
    params: &'a [u8],
    data: &'a [u8],
    inputs: &'a [IoRecord],
    outputs: &'a [IoRecord],
    strings: &'a [u8],
    golden: Option<Golden<'a>>,
    lineage: Option<&'a [u8]>,
    table: &'a OpTable,
}

impl core::fmt::Debug for Plan<'_> {
    #[inline]
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.name())
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

/// A known input with the outputs that the compiler computed on the host.
#[derive(Clone, Copy, Debug)]
pub struct Golden<'a> {
    /// The front of the input, which repeats.
    stored: &'a [i8],
    /// Length of the input.
    input_bytes: usize,
    /// All outputs, device layout, in order.
    pub output: &'a [i8],
    /// CRC-32 of every op's output bytes.
    pub op_crcs: &'a [u32],
}

/// The bytes of a golden input.
pub type GoldenInput<'a> = Take<Cycle<Copied<Iter<'a, i8>>>>;

impl<'a> Golden<'a> {
    /// All inputs, device layout, in order.
    #[inline]
    pub fn input(&self) -> GoldenInput<'a> {
        self.stored.iter().copied().cycle().take(self.input_bytes)
    }

    /// The bytes that the plan holds of [`Self::input`], which are repeated until it is full.
    #[inline]
    pub fn stored(&self) -> &'a [i8] {
        self.stored
    }
}

/// A graph input or output.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    /// Name in the source graph.
    pub name: &'a str,
    /// Shape in the source graph.
    pub shape: &'a [u32],
    /// Device axis i is source axis `permutation[i]`.
    pub permutation: &'a [u8],
    /// Element type.
    pub dtype: DataType,
    /// Scale and zero point.
    pub quantization: QuantParams,
    /// The tensor.
    pub tensor: &'a TensorRecord,
}

impl<'a> Plan<'a> {
    /// Reads and checks a plan: alignment, version, checksum, family, sections, and every tensor and op.
    ///
    /// `bytes` must start at a 16-byte boundary (see [`include_plan!`](crate::include_plan)) and may be longer than
    /// the plan. `table` must hold every operator that the plan names. Linear in the plan's length.
    ///
    /// # Errors
    /// [`PlanError`] says what is wrong and where.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8], table: &'a OpTable) -> Result<Self, PlanError> {
        let remainder = bytes.as_ptr().addr() % ALIGNMENT;
        if remainder != 0 {
            return Err(PlanError::Misaligned { remainder });
        }
        let (header, bytes) = read_header(bytes)?;
        let family = Family::from_u8(header.family);
        let family = match family {
            Some(family) if kernels::accepts(family) => family,
            plan => {
                return Err(PlanError::Family { plan, runtime: kernels::FAMILY });
            }
        };
        let sections = Sections::read(header, bytes)?;
        let io: &[IoRecord] = sections.records(section::IO)?;
        let inputs = io.iter().take_while(|io| io.kind == io_kind::INPUT).count();
        let (inputs, outputs) = io.split_at_checked(inputs).unwrap_or_default();
        let mut plan = Self {
            header,
            family,
            tensors: sections.records(section::TENSORS)?,
            ops: sections.records(section::OPS)?,
            operands: sections.records(section::OPERANDS)?,
            params: sections.require(section::PARAMS)?,
            data: sections.require(section::DATA)?,
            inputs,
            outputs,
            strings: sections.require(section::STRINGS)?,
            golden: None,
            lineage: sections.find(section::LINEAGE),
            table,
        };
        plan.check_tensors()?;
        plan.check_io()?;
        plan.check_ops()?;
        if let Some(bytes) = sections.find(section::GOLDEN) {
            plan.golden = Some(plan.read_golden(bytes).ok_or(PlanError::Golden)?);
        }
        Ok(plan)
    }

    /// The model's name.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.strings.split(|&byte| byte == 0).next().map_or("", text)
    }

    /// Weight order.
    #[inline]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Arena that a session needs, in bytes.
    #[inline]
    pub fn arena_bytes(&self) -> usize {
        self.header.arena_bytes as usize
    }

    /// Length of the plan in bytes.
    #[inline]
    pub fn file_bytes(&self) -> usize {
        self.header.file_bytes as usize
    }

    /// The header record.
    #[inline]
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Number of graph inputs.
    #[inline]
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of graph outputs.
    #[inline]
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Graph input `i`, `None` past the last.
    #[inline]
    pub fn input(&self, i: usize) -> Option<Io<'a>> {
        self.io(self.inputs.get(i)?)
    }

    /// Graph output `i`, `None` past the last.
    #[inline]
    pub fn output(&self, i: usize) -> Option<Io<'a>> {
        self.io(self.outputs.get(i)?)
    }

    /// The golden self-test, where the plan has one.
    #[inline]
    pub fn golden(&self) -> Option<Golden<'a>> {
        self.golden
    }

    /// Where model and data came from (TOML), where the plan says it.
    #[inline]
    pub fn lineage(&self) -> Option<&'a str> {
        self.lineage.map(text)
    }

    /// The op records, in execution order.
    #[inline]
    pub fn ops(&self) -> &'a [OpRecord] {
        self.ops
    }

    /// The tensor records.
    #[inline]
    pub fn tensors(&self) -> &'a [TensorRecord] {
        self.tensors
    }

    /// Tensor indices of an op: inputs, then outputs.
    #[inline]
    pub fn operands_of(&self, op: &OpRecord) -> Option<&'a [u16]> {
        let start = op.operands as usize;
        let end = start.checked_add(usize::from(op.inputs) + usize::from(op.outputs))?;
        self.operands.get(start..end)
    }

    /// Tensor of graph input `i`, `None` past the last.
    #[inline]
    pub(crate) fn input_tensor(&self, i: usize) -> Option<&'a TensorRecord> {
        self.tensors.get(usize::from(self.inputs.get(i)?.tensor))
    }

    /// Tensor of graph output `i`, `None` past the last.
    #[inline]
    pub(crate) fn output_tensor(&self, i: usize) -> Option<&'a TensorRecord> {
        self.tensors.get(usize::from(self.outputs.get(i)?.tensor))
    }

    /// The params section.
    #[inline]
    pub fn params(&self) -> &'a [u8] {
        self.params
    }

    /// The data section.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Text of the strings section, empty where the reference lies outside or the bytes are not UTF-8.
    #[inline]
    pub fn text(&self, reference: StrRef) -> &'a str {
        let start = usize::from(reference.offset);
        self.strings.get(start..start + usize::from(reference.bytes)).map_or("", text)
    }

    /// Name of an op's operator.
    #[inline]
    pub fn operator_name(&self, op: &OpRecord) -> &'static str {
        self.table.get(op.op).map_or("?", |entry| entry.name())
    }

    #[inline]
    pub(crate) fn table(&self) -> &'a OpTable {
        self.table
    }

    #[inline]
    fn io(&self, io: &'a IoRecord) -> Option<Io<'a>> {
        let tensor = self.tensors.get(usize::from(io.tensor))?;
        let rank = usize::from(io.rank);
        Some(Io {
            name: self.text(io.name),
            shape: io.shape.get(..rank)?,
            permutation: io.permutation.get(..rank)?,
            dtype: DataType::from_u8(tensor.dtype)?,
            quantization: QuantParams { scale: tensor.scale, zero_point: tensor.zero_point },
            tensor,
        })
    }

    #[inline]
    fn check_tensors(&self) -> Result<(), PlanError> {
        for (index, tensor) in self.tensors.iter().enumerate() {
            let unit = DataType::from_u8(tensor.dtype).and_then(|dtype| dtype.bytes(1)).unwrap_or(1);
            // A unit is a power of two.
            let fits = tensor_bytes(tensor)
                .and_then(|bytes| bytes.checked_add(tensor.offset))
                .is_some_and(|end| end <= self.header.arena_bytes && tensor.offset & (unit - 1) == 0);
            if !fits {
                return Err(PlanError::Tensor { index });
            }
        }
        let units = isize::MAX as usize / 2;
        if self.arena_bytes() > units || self.header.state_bytes > self.header.arena_bytes {
            return Err(PlanError::Section { kind: section::TENSORS });
        }
        Ok(())
    }

    #[inline]
    fn check_io(&self) -> Result<(), PlanError> {
        let input = |io: &IoRecord| self.io_fits(io);
        if let Some(index) = self.inputs.iter().position(|io| !input(io)) {
            return Err(PlanError::Io { index });
        }
        let output = |io: &IoRecord| io.kind == io_kind::OUTPUT && self.io_fits(io);
        if let Some(index) = self.outputs.iter().position(|io| !output(io)) {
            return Err(PlanError::Io { index: self.inputs.len() + index });
        }
        if self.inputs.is_empty() || self.outputs.is_empty() {
            return Err(PlanError::Section { kind: section::IO });
        }
        Ok(())
    }

    /// Whether an input or output is the int8 tensor that it names, in another order of axes.
    #[inline]
    fn io_fits(&self, io: &IoRecord) -> bool {
        let rank = usize::from(io.rank);
        let Some(shape) = io.shape.get(..rank) else { return false };
        let Some(tensor) = self.tensors.get(usize::from(io.tensor)) else { return false };
        // A permutation of `rank` axes names each of them.
        let axes = io.permutation.iter().take(rank).fold(0u32, |axes, &axis| axes | 1 << (axis & 31));
        tensor.dtype == DataType::Int8 as u8
            && i8::try_from(tensor.zero_point).is_ok()
            && elements(shape) == elements(&tensor.shape)
            && axes == (1 << rank) - 1
            && io.permutation.iter().all(|&axis| axis < 32)
    }

    #[inline]
    fn check_ops(&self) -> Result<(), PlanError> {
        for (index, op) in self.ops.iter().enumerate() {
            let entry = self.table.get(op.op).ok_or(PlanError::UnknownOperator { op: index, code: op.op })?;
            let operands = self.operands_of(op).unwrap_or_default();
            let inside = operands.iter().all(|&tensor| usize::from(tensor) < self.tensors.len());
            let checked = if inside { entry.check(self, op) } else { Err(OpFault::Operands) };
            checked.map_err(|fault| PlanError::Op { op: index, fault })?;
        }
        Ok(())
    }

    #[inline]
    fn read_golden(&self, bytes: &'a [u8]) -> Option<Golden<'a>> {
        let (header, rest) = bytes.split_at_checked(size_of::<GoldenHeader>())?;
        let header: &GoldenHeader = bytemuck::try_from_bytes(header).ok()?;
        let (stored, rest) = rest.split_at_checked(header.input_bytes as usize)?;
        let (output, rest) = rest.split_at_checked(header.output_bytes as usize)?;
        let padding = (stored.len() + output.len()).wrapping_neg() % 4;
        let op_crcs: &[u32] = bytemuck::try_cast_slice(rest.get(padding..)?).ok()?;
        // The tensors are int8 and lie in the arena, so that no sum of a plan's 2¹⁶ ports overflows.
        let bytes_of = |io: &[IoRecord]| {
            let tensors = io.iter().filter_map(|io| self.tensors.get(usize::from(io.tensor)));
            tensors.fold(0usize, |sum, tensor| sum.saturating_add(tensor_bytes(tensor).unwrap_or(0) as usize))
        };
        let input_bytes = bytes_of(self.inputs);
        // Only since format 2 the stored bytes may be fewer, and then repeat.
        let repeats = self.header.version >= 2 && !stored.is_empty() && stored.len() < input_bytes;
        let matches = (repeats || stored.len() == input_bytes)
            && bytes_of(self.outputs) == output.len()
            && op_crcs.len() == self.ops.len()
            && header.crcs as usize == self.ops.len();
        matches.then(|| Golden {
            stored: bytemuck::cast_slice(stored),
            input_bytes,
            output: bytemuck::cast_slice(output),
            op_crcs,
        })
    }
}

/// The bytes as text, none where they are not UTF-8: nothing that runs depends on text.
#[inline]
fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Product of dimensions, `None` where it exceeds `u32`.
#[inline]
fn elements(shape: &[u32]) -> Option<u32> {
    shape.iter().try_fold(1u32, |product, &dim| product.checked_mul(dim))
}

/// Arena bytes of a tensor, `None` where type or size is out of range.
#[inline]
pub fn tensor_bytes(tensor: &TensorRecord) -> Option<u32> {
    DataType::from_u8(tensor.dtype)?.bytes(elements(&tensor.shape)?)
}

/// Splits off the header and checks what must hold before anything else can be read; returns the plan's own bytes.
#[inline]
fn read_header(bytes: &[u8]) -> Result<(&Header, &[u8]), PlanError> {
    let have = bytes.len();
    let need = size_of::<Header>();
    if !bytes.starts_with(&MAGIC) {
        return Err(PlanError::NotAPlan);
    }
    let front = bytes.get(..need).ok_or(PlanError::Truncated { need, have })?;
    let header: &Header = bytemuck::try_from_bytes(front).map_err(|_| PlanError::NotAPlan)?;
    if !(1..=FORMAT_VERSION).contains(&header.version) {
        return Err(PlanError::Version { plan: header.version, runtime: FORMAT_VERSION });
    }
    let need = header.file_bytes as usize;
    let bytes = bytes.get(..need).ok_or(PlanError::Truncated { need, have })?;
    if bytes.len() < front.len() {
        return Err(PlanError::NotAPlan);
    }
    let computed = checksum(bytes);
    if computed != header.crc32 {
        return Err(PlanError::Checksum { stored: header.crc32, computed });
    }
    Ok((header, bytes))
}

/// The sections of known kinds, by kind.
struct Sections<'a>([Option<&'a [u8]>; section::SIGNATURE as usize + 1]);

impl<'a> Sections<'a> {
    #[inline]
    fn read(header: &Header, bytes: &'a [u8]) -> Result<Self, PlanError> {
        let fault = PlanError::Section { kind: 0 };
        let start = size_of::<Header>();
        let table = (header.sections as usize)
            .checked_mul(size_of::<SectionRecord>())
            .and_then(|size| start.checked_add(size))
            .and_then(|end| bytes.get(start..end))
            .ok_or(fault)?;
        let records: &[SectionRecord] = bytemuck::try_cast_slice(table).map_err(|_| fault)?;
        let mut sections = [None; section::SIGNATURE as usize + 1];
        for record in records {
            let place = sections.get_mut(record.kind as usize).filter(|_| record.kind != 0);
            if place.is_none() && record.flags & SECTION_REQUIRED != 0 {
                return Err(PlanError::UnknownSection { kind: record.kind });
            }
            let start = record.offset as usize;
            let section = start.checked_add(record.bytes as usize).and_then(|end| bytes.get(start..end));
            let section = section.filter(|_| start.is_multiple_of(ALIGNMENT));
            let doubled = place.as_ref().is_some_and(|place| place.is_some());
            if section.is_none() || doubled {
                return Err(PlanError::Section { kind: record.kind });
            }
            if let Some(place) = place {
                *place = section;
            }
        }
        Ok(Self(sections))
    }

    #[inline]
    fn find(&self, kind: u32) -> Option<&'a [u8]> {
        self.0.get(kind as usize).copied().flatten()
    }

    #[inline]
    fn require(&self, kind: u32) -> Result<&'a [u8], PlanError> {
        self.find(kind).ok_or(PlanError::Section { kind })
    }

    #[inline]
    fn records<T: bytemuck::AnyBitPattern>(&self, kind: u32) -> Result<&'a [T], PlanError> {
        bytemuck::try_cast_slice(self.require(kind)?).map_err(|_| PlanError::Section { kind })
    }
}
