//! Writes plans.

use bytemuck::{NoUninit, Zeroable, bytes_of};

use crate::format::*;
use crate::{Align16, OpTable, Plan, Session, ops};

/// Every operator.
pub(super) static ALL: OpTable = OpTable::new(ops::ALL);

/// A plan under construction.
#[derive(Clone)]
pub(super) struct PlanBuilder {
    pub family: Family,
    pub tensors: Vec<TensorRecord>,
    pub ops: Vec<OpRecord>,
    pub arena_bytes: u32,
    /// Input bytes, output bytes, CRCs.
    pub golden: Option<(Vec<i8>, Vec<i8>, Vec<u32>)>,
    /// Sections beside the usual ones: kind, flags, bytes.
    pub extra: Vec<(u32, u32, Vec<u8>)>,
    operands: Vec<u16>,
    params: Vec<u8>,
    data: Vec<u8>,
    io: Vec<IoRecord>,
}

impl PlanBuilder {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            tensors: Vec::new(),
            ops: Vec::new(),
            arena_bytes: 0,
            golden: None,
            extra: Vec::new(),
            operands: Vec::new(),
            params: Vec::new(),
            data: Vec::new(),
            io: Vec::new(),
        }
    }

    /// Reserves arena bytes; returns their offset.
    pub fn arena(&mut self, bytes: usize) -> DataRef {
        let offset = self.arena_bytes;
        self.arena_bytes += bytes.next_multiple_of(16) as u32;
        DataRef { offset, bytes: bytes as u32 }
    }

    /// A tensor of scale 1/256 with a place of its own.
    pub fn tensor(&mut self, shape: [usize; 4], zero_point: i8) -> u16 {
        let place = self.arena(shape.iter().product());
        self.tensor_at(place.offset, shape, zero_point)
    }

    /// An int16 tensor with a place of its own.
    pub fn tensor16(&mut self, shape: [usize; 4]) -> u16 {
        let place = self.arena(2 * shape.iter().product::<usize>());
        let tensor = self.tensor_at(place.offset, shape, 0);
        self.tensors[usize::from(tensor)].dtype = DataType::Int16 as u8;
        tensor
    }

    pub fn tensor_at(&mut self, offset: u32, shape: [usize; 4], zero_point: i8) -> u16 {
        self.tensors.push(TensorRecord {
            offset,
            shape: shape.map(|d| d as u32),
            zero_point: zero_point.into(),
            scale: 1.0 / 256.0,
            dtype: DataType::Int8 as u8,
            reserved: [0; 3],
        });
        (self.tensors.len() - 1) as u16
    }

    pub fn data<T: NoUninit>(&mut self, values: &[T]) -> DataRef {
        self.data.resize(self.data.len().next_multiple_of(16), 0);
        let offset = self.data.len() as u32;
        self.data.extend_from_slice(bytemuck::cast_slice(values));
        DataRef { offset, bytes: size_of_val(values) as u32 }
    }

    /// Adds an op.
    pub fn op<P: NoUninit>(&mut self, code: OpCode, params: P, inputs: &[u16], outputs: &[u16]) {
        self.params.resize(self.params.len().next_multiple_of(4), 0);
        self.ops.push(OpRecord {
            op: code as u16,
            params_bytes: size_of::<P>() as u16,
            params: self.params.len() as u32,
            operands: self.operands.len() as u32,
            inputs: inputs.len() as u8,
            outputs: outputs.len() as u8,
            reserved: 0,
            name: StrRef { offset: 0, bytes: 4 },
        });
        self.params.extend_from_slice(bytes_of(&params));
        self.operands.extend_from_slice(inputs);
        self.operands.extend_from_slice(outputs);
    }

    /// Declares graph inputs, then outputs.
    pub fn io(&mut self, inputs: &[u16], outputs: &[u16]) {
        let inputs = inputs.iter().map(|&t| (t, io_kind::INPUT));
        for (tensor, kind) in inputs.chain(outputs.iter().map(|&t| (t, io_kind::OUTPUT))) {
            let [n, h, w, c] = self.tensors[usize::from(tensor)].shape;
            let permutation = [0, 1, 2, 3, 0, 0, 0, 0];
            let name = StrRef { offset: 0, bytes: 4 };
            self.io.push(IoRecord { tensor, kind, rank: 4, permutation, shape: [n, h, w, c, 0, 0], name });
        }
    }

    /// The plan's bytes, with a right checksum.
    pub fn build(&self) -> Vec<Align16> {
        let mut sections = vec![
            (section::TENSORS, SECTION_REQUIRED, bytemuck::cast_slice(&self.tensors).to_vec()),
            (section::OPS, SECTION_REQUIRED, bytemuck::cast_slice(&self.ops).to_vec()),
            (section::OPERANDS, SECTION_REQUIRED, bytemuck::cast_slice(&self.operands).to_vec()),
            (section::PARAMS, SECTION_REQUIRED, self.params.clone()),
            (section::DATA, SECTION_REQUIRED, self.data.clone()),
            (section::IO, SECTION_REQUIRED, bytemuck::cast_slice(&self.io).to_vec()),
            (section::STRINGS, SECTION_REQUIRED, b"name\0".to_vec()),
        ];
        if let Some((input, output, crcs)) = &self.golden {
            let header = GoldenHeader {
                input_bytes: input.len() as u32,
                output_bytes: output.len() as u32,
                crcs: crcs.len() as u32,
                reserved: 0,
            };
            let mut bytes = bytes_of(&header).to_vec();
            bytes.extend_from_slice(bytemuck::cast_slice(input));
            bytes.extend_from_slice(bytemuck::cast_slice(output));
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(bytemuck::cast_slice(crcs));
            sections.push((section::GOLDEN, 0, bytes));
        }
        sections.extend(self.extra.iter().cloned());
        let mut offset = (size_of::<Header>() + sections.len() * size_of::<SectionRecord>()) as u32;
        let mut records = Vec::new();
        let mut body: Vec<u8> = Vec::new();
        for (kind, flags, bytes) in &sections {
            records.push(SectionRecord { kind: *kind, flags: *flags, offset, bytes: bytes.len() as u32 });
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
            offset += bytes.len().next_multiple_of(ALIGNMENT) as u32;
        }
        let header = Header {
            magic: MAGIC,
            version: FORMAT_VERSION,
            family: self.family as u8,
            file_bytes: offset,
            arena_bytes: self.arena_bytes,
            sections: sections.len() as u32,
            ..Header::zeroed()
        };
        let mut bytes = bytes_of(&header).to_vec();
        bytes.extend_from_slice(bytemuck::cast_slice(&records));
        bytes.extend_from_slice(&body);
        let mut units = vec![Align16::ZERO; bytes.len() / 16];
        bytemuck::cast_slice_mut(&mut units).copy_from_slice(&bytes);
        fix_checksum(&mut units);
        units
    }
}

/// Makes the checksum right again where enough of a header is there.
pub(super) fn fix_checksum(units: &mut [Align16]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(units);
    let at = core::mem::offset_of!(Header, file_bytes);
    let mut length = [0; 4];
    length.copy_from_slice(&bytes[at..at + 4]);
    let length = u32::from_le_bytes(length) as usize;
    if (size_of::<Header>()..=bytes.len()).contains(&length) {
        let crc = crate::plan::checksum(&bytes[..length]).to_le_bytes();
        bytes[crate::plan::CRC_FIELD].copy_from_slice(&crc);
    }
}

/// Reads a plan, runs it once and returns its outputs.
pub(super) fn run(plan: &[Align16], inputs: &[Vec<i8>]) -> Vec<Vec<i8>> {
    let plan = Plan::from_bytes(bytemuck::cast_slice(plan), &ALL).expect("the plan is valid");
    // Stale bytes must not count.
    let mut arena = vec![Align16([0x5a; 16]); Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).expect("the arena is large enough");
    for (i, bytes) in inputs.iter().enumerate() {
        session.input(i).expect("the plan has this input").copy_from_slice(bytes);
    }
    session.run();
    (0..plan.output_count()).filter_map(|i| Some(session.output(i)?.to_vec())).collect()
}
