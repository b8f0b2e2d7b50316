//! Reads a plan in place and checks all of it once.
//!
//! Invariant: every index that a checked plan holds lies in bounds, so that [`crate::Session::run`] has nothing
//! left to check, whatever the bytes were.

use crate::crc32::Crc32;
use crate::error::{OpFault, PlanError};
use crate::format::{
    ALIGNMENT, DataType, FORMAT_VERSION, Family, GoldenHeader, Header, IoRecord, MAGIC, MAX_RANK, OpRecord,
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
    crc.update(&bytes[..CRC_FIELD.start]);
    crc.update(&[0; 4]);
    crc.update(&bytes[CRC_FIELD.end..]);
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
    io: &'a [IoRecord],
    inputs: usize,
    strings: &'a str,
    golden: Option<Golden<'a>>,
    lineage: Option<&'a str>,
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
    /// All inputs, device layout, in order.
    pub input: &'a [i8],
    /// All outputs, device layout, in order.
    pub output: &'a [i8],
    /// CRC-32 of every op's output bytes.
    pub op_crcs: &'a [u32],
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
        let plan = Self {
            header,
            family,
            tensors: sections.records(section::TENSORS)?,
            ops: sections.records(section::OPS)?,
            operands: sections.records(section::OPERANDS)?,
            params: sections.require(section::PARAMS)?,
            data: sections.require(section::DATA)?,
            io: sections.records(section::IO)?,
            inputs: 0,
            strings: sections.text(section::STRINGS)?.ok_or(PlanError::Section { kind: section::STRINGS })?,
            golden: None,
            lineage: sections.text(section::LINEAGE)?,
            table,
        };
        plan.check_tensors()?;
        let inputs = plan.check_io()?;
        let plan = Self { inputs, ..plan };
        plan.check_ops()?;
        let golden = sections.find(section::GOLDEN).map(|bytes| plan.read_golden(bytes)).transpose()?;
        Ok(Self { golden, ..plan })
    }

    /// The model's name.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.strings.split('\0').next().unwrap_or_default()
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
        self.inputs
    }

    /// Number of graph outputs.
    #[inline]
    pub fn output_count(&self) -> usize {
        self.io.len() - self.inputs
    }

    /// Graph input `i`, `None` past the last.
    #[inline]
    pub fn input(&self, i: usize) -> Option<Io<'a>> {
        self.io[..self.inputs].get(i).map(|io| self.io(io))
    }

    /// Graph output `i`, `None` past the last.
    #[inline]
    pub fn output(&self, i: usize) -> Option<Io<'a>> {
        self.io[self.inputs..].get(i).map(|io| self.io(io))
    }

    /// The golden self-test, where the plan has one.
    #[inline]
    pub fn golden(&self) -> Option<Golden<'a>> {
        self.golden
    }

    /// Where model and data came from (TOML), where the plan says it.
    #[inline]
    pub fn lineage(&self) -> Option<&'a str> {
        self.lineage
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

    /// Text of the strings section, empty where the reference lies outside.
    #[inline]
    pub fn text(&self, text: StrRef) -> &'a str {
        let start = usize::from(text.offset);
        self.strings.get(start..start + usize::from(text.bytes)).unwrap_or_default()
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
    fn io(&self, io: &'a IoRecord) -> Io<'a> {
        let tensor = &self.tensors[usize::from(io.tensor)];
        let rank = usize::from(io.rank);
        Io {
            name: self.text(io.name),
            shape: &io.shape[..rank],
            permutation: &io.permutation[..rank],
            dtype: DataType::from_u8(tensor.dtype).unwrap_or(DataType::Int8),
            quantization: QuantParams { scale: tensor.scale, zero_point: tensor.zero_point },
            tensor,
        }
    }

    #[inline]
    fn check_tensors(&self) -> Result<(), PlanError> {
        for (index, tensor) in self.tensors.iter().enumerate() {
            let unit = DataType::from_u8(tensor.dtype).and_then(|dtype| dtype.bytes(1)).unwrap_or(1);
            let fits = tensor_bytes(tensor)
                .and_then(|bytes| bytes.checked_add(tensor.offset))
                .is_some_and(|end| end <= self.header.arena_bytes && tensor.offset % unit == 0);
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

    /// Checks inputs and outputs; returns the number of inputs.
    #[inline]
    fn check_io(&self) -> Result<usize, PlanError> {
        let inputs = self.io.iter().take_while(|io| io.kind == io_kind::INPUT).count();
        for (index, io) in self.io.iter().enumerate() {
            let kind = if index < inputs { io_kind::INPUT } else { io_kind::OUTPUT };
            let rank = usize::from(io.rank);
            let fits = io.kind == kind
                && rank <= MAX_RANK
                && self.tensors.get(usize::from(io.tensor)).is_some_and(|tensor| {
                    tensor.dtype == DataType::Int8 as u8
                        && i8::try_from(tensor.zero_point).is_ok()
                        && elements(&io.shape[..rank]) == elements(&tensor.shape)
                })
                && (0..rank).all(|axis| io.permutation[..rank].contains(&(axis as u8)));
            if !fits {
                return Err(PlanError::Io { index });
            }
        }
        if inputs == 0 || inputs == self.io.len() {
            return Err(PlanError::Section { kind: section::IO });
        }
        Ok(inputs)
    }

    #[inline]
    fn check_ops(&self) -> Result<(), PlanError> {
        for (index, op) in self.ops.iter().enumerate() {
            let entry = self.table.get(op.op).ok_or(PlanError::UnknownOperator { op: index, code: op.op })?;
            let fault = |fault| PlanError::Op { op: index, fault };
            let operands = self.operands_of(op).ok_or(fault(OpFault::Operands))?;
            if operands.iter().any(|&tensor| usize::from(tensor) >= self.tensors.len()) {
                return Err(fault(OpFault::Operands));
            }
            (entry.check)(self, op).map_err(fault)?;
        }
        Ok(())
    }

    #[inline]
    fn read_golden(&self, bytes: &'a [u8]) -> Result<Golden<'a>, PlanError> {
        let (header, rest) = bytes.split_at_checked(size_of::<GoldenHeader>()).ok_or(PlanError::Golden)?;
        let header: &GoldenHeader = bytemuck::try_from_bytes(header).map_err(|_| PlanError::Golden)?;
        let (input, rest) = rest.split_at_checked(header.input_bytes as usize).ok_or(PlanError::Golden)?;
        let (output, rest) = rest.split_at_checked(header.output_bytes as usize).ok_or(PlanError::Golden)?;
        let padding = (input.len() + output.len()).next_multiple_of(4) - input.len() - output.len();
        let op_crcs: &[u32] = rest
            .get(padding..)
            .and_then(|crcs| bytemuck::try_cast_slice(crcs).ok())
            .ok_or(PlanError::Golden)?;
        let bytes_of = |io: &[IoRecord]| -> usize {
            io.iter()
                .map(|io| tensor_bytes(&self.tensors[usize::from(io.tensor)]).unwrap_or(0) as usize)
                .sum()
        };
        let matches = bytes_of(&self.io[..self.inputs]) == input.len()
            && bytes_of(&self.io[self.inputs..]) == output.len()
            && op_crcs.len() == self.ops.len()
            && header.crcs as usize == self.ops.len();
        if !matches {
            return Err(PlanError::Golden);
        }
        Ok(Golden { input: bytemuck::cast_slice(input), output: bytemuck::cast_slice(output), op_crcs })
    }
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
    if !bytes.starts_with(&MAGIC[..have.min(MAGIC.len())]) || have < MAGIC.len() {
        return Err(PlanError::NotAPlan);
    }
    let front = bytes.get(..need).ok_or(PlanError::Truncated { need, have })?;
    let header: &Header = bytemuck::try_from_bytes(front).map_err(|_| PlanError::NotAPlan)?;
    if header.version != FORMAT_VERSION {
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

/// The section table and the bytes it points into.
struct Sections<'a> {
    records: &'a [SectionRecord],
    bytes: &'a [u8],
}

impl<'a> Sections<'a> {
    #[inline]
    fn read(header: &Header, bytes: &'a [u8]) -> Result<Self, PlanError> {
        let start = size_of::<Header>();
        let table = (header.sections as usize)
            .checked_mul(size_of::<SectionRecord>())
            .and_then(|size| start.checked_add(size))
            .and_then(|end| bytes.get(start..end))
            .ok_or(PlanError::Section { kind: 0 })?;
        let records: &[SectionRecord] =
            bytemuck::try_cast_slice(table).map_err(|_| PlanError::Section { kind: 0 })?;
        let mut seen = 0u32;
        for record in records {
            let known = (section::TENSORS..=section::SIGNATURE).contains(&record.kind);
            if !known && record.flags & SECTION_REQUIRED != 0 {
                return Err(PlanError::UnknownSection { kind: record.kind });
            }
            let inside = (record.offset as usize)
                .checked_add(record.bytes as usize)
                .is_some_and(|end| end <= bytes.len());
            let aligned = (record.offset as usize).is_multiple_of(ALIGNMENT);
            let bit = if known { 1 << record.kind } else { 0 };
            let doubled = seen & bit != 0;
            seen |= bit;
            if !inside || !aligned || doubled {
                return Err(PlanError::Section { kind: record.kind });
            }
        }
        Ok(Self { records, bytes })
    }

    #[inline]
    fn find(&self, kind: u32) -> Option<&'a [u8]> {
        let record = self.records.iter().find(|record| record.kind == kind)?;
        let start = record.offset as usize;
        self.bytes.get(start..start + record.bytes as usize)
    }

    #[inline]
    fn require(&self, kind: u32) -> Result<&'a [u8], PlanError> {
        self.find(kind).ok_or(PlanError::Section { kind })
    }

    #[inline]
    fn records<T: bytemuck::AnyBitPattern>(&self, kind: u32) -> Result<&'a [T], PlanError> {
        bytemuck::try_cast_slice(self.require(kind)?).map_err(|_| PlanError::Section { kind })
    }

    #[inline]
    fn text(&self, kind: u32) -> Result<Option<&'a str>, PlanError> {
        let text = self.find(kind).map(core::str::from_utf8).transpose();
        text.map_err(|_| PlanError::Section { kind })
    }
}
