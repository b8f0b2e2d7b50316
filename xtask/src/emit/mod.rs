//! The int8 network as the bytes of a plan, and back.

mod decode;

use bytemuck::{Pod, bytes_of, cast_slice};
use still8::Plan;
use still8::format::{
    ALIGNMENT, ChannelRecord, ConstantParams, Conv2d16Params, DataRef, FORMAT_VERSION, Family,
    FullyConnectedInt4Params, GatherParams, GoldenHeader, Header, IoRecord, LayerNormParams, MAGIC, MAX_RANK,
    OpRecord, PReluParams, ResizeLinearParams, SECTION_REQUIRED, SectionRecord, SoftmaxParams, StrRef,
    Table16Params, TableParams, TensorRecord, io_kind, section,
};
use still8::plan::checksum;
use still8_validation::{Failure, Result};

use crate::network::{Bits, Kind, Network, Port};
use crate::pack;
use crate::plan::{MemoryPlan, plan_memory};

pub use decode::decode;

/// A plan file and how its arena is laid out.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The file.
    pub bytes: Vec<u8>,
    /// The arena.
    pub memory: MemoryPlan,
    /// Bytes of the file that each op takes.
    pub ops: Vec<OpBytes>,
    /// Bytes of everything else, by name.
    pub rest: Vec<(&'static str, usize)>,
}

/// Bytes of a plan that one op takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpBytes {
    /// Packed weights.
    pub weights: usize,
    /// Channel records and tables, with what aligns them.
    pub constants: usize,
    /// Op record, parameters, operands and name.
    pub records: usize,
}

/// Writes the plan of `network` for kernels of `family`.
///
/// # Errors
/// [`Failure::Unsupported`] where the network exceeds what the format can say.
pub fn emit(network: &Network, family: Family) -> Result<Emitted> {
    let memory = plan_memory(network, family);
    let mut writer = Writer { strings: vec![], operands: vec![], params: vec![], data: vec![] };
    writer.text(&network.name)?;
    // The name ends at the NUL.
    writer.strings.push(0);

    let tensors: Vec<TensorRecord> = network
        .tensors
        .iter()
        .zip(&memory.tensor_offsets)
        .map(|(tensor, &offset)| {
            Ok(TensorRecord {
                offset: word(offset)?,
                shape: words(tensor.shape)?,
                zero_point: tensor.quantization.zero_point,
                scale: tensor.quantization.scale,
                dtype: tensor.quantization.dtype as u8,
                reserved: [0; 3],
            })
        })
        .collect::<Result<_>>()?;
    let mut ops = Vec::new();
    let mut op_bytes = Vec::new();
    for (index, op) in network.ops.iter().enumerate() {
        let before = writer.sizes();
        let operands = word(writer.operands.len())?;
        for &tensor in op.inputs.iter().chain([&op.output]) {
            writer.operands.push(u16::try_from(tensor).map_err(|_| too_large("tensors"))?);
        }
        let (packed, channels) = pack::pack(network, op, family);
        let scratch = memory.scratch[index];
        let (params, params_bytes) = writer.params(&op.kind, (&packed, &channels), scratch)?;
        ops.push(OpRecord {
            op: op.kind.code() as u16,
            params_bytes,
            params,
            operands,
            inputs: u8::try_from(op.inputs.len()).map_err(|_| too_large("inputs of one op"))?,
            outputs: 1,
            reserved: 0,
            name: writer.text(&op.name)?,
        });
        let weights = if packed.is_empty() { op.kind.weights().len() } else { packed.len() };
        let (data, records) = (writer.sizes().0 - before.0, writer.sizes().1 - before.1);
        op_bytes.push(OpBytes {
            weights,
            constants: data - weights,
            records: size_of::<OpRecord>() + records,
        });
    }
    let named = writer.strings.len();
    let mut io = Vec::new();
    for (kind, ports) in [(io_kind::INPUT, &network.inputs), (io_kind::OUTPUT, &network.outputs)] {
        for port in ports {
            io.push(writer.port(kind, port)?);
        }
    }

    let mut rest = vec![
        ("tensors", size_of_val(&tensors[..])),
        ("inputs and outputs", size_of_val(&io[..]) + writer.strings.len() - named),
        ("name", network.name.len() + 1),
    ];
    let mut sections: Vec<(u32, u32, Vec<u8>)> = vec![
        (section::TENSORS, SECTION_REQUIRED, cast_slice(&tensors).to_vec()),
        (section::OPS, SECTION_REQUIRED, cast_slice(&ops).to_vec()),
        (section::OPERANDS, SECTION_REQUIRED, cast_slice(&writer.operands).to_vec()),
        (section::PARAMS, SECTION_REQUIRED, writer.params),
        (section::IO, SECTION_REQUIRED, cast_slice(&io).to_vec()),
        (section::STRINGS, SECTION_REQUIRED, writer.strings),
        (section::DATA, SECTION_REQUIRED, writer.data),
    ];
    if let Some(golden) = &network.golden {
        let header = GoldenHeader {
            input_bytes: word(golden.input.len())?,
            output_bytes: word(golden.output.len())?,
            crcs: word(golden.op_crcs.len())?,
            reserved: 0,
        };
        let mut bytes = bytes_of(&header).to_vec();
        bytes.extend_from_slice(cast_slice(&golden.input));
        bytes.extend_from_slice(cast_slice(&golden.output));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(cast_slice(&golden.op_crcs));
        rest.push(("self-test", bytes.len()));
        sections.push((section::GOLDEN, 0, bytes));
    }
    if let Some(lineage) = &network.lineage {
        rest.push(("lineage", lineage.len()));
        sections.push((section::LINEAGE, 0, lineage.clone().into_bytes()));
    }
    let bytes = assemble(network, family, memory.arena_bytes, &sections)?;
    rest.push(("header", size_of::<Header>() + size_of::<SectionRecord>() * sections.len()));
    let named: usize = rest.iter().map(|(_, bytes)| bytes).sum();
    let of_ops: usize = op_bytes.iter().map(|op| op.weights + op.constants + op.records).sum();
    rest.push(("alignment", bytes.len() - named - of_ops));
    Ok(Emitted { bytes, memory, ops: op_bytes, rest })
}

/// Header, section table and sections, with the checksum filled in.
fn assemble(
    network: &Network,
    family: Family,
    arena_bytes: usize,
    sections: &[(u32, u32, Vec<u8>)],
) -> Result<Vec<u8>> {
    let front = size_of::<Header>() + size_of::<SectionRecord>() * sections.len();
    let mut table = Vec::new();
    let mut end = front;
    for (kind, flags, bytes) in sections {
        let offset = end.next_multiple_of(ALIGNMENT);
        table.push(SectionRecord {
            kind: *kind,
            flags: *flags,
            offset: word(offset)?,
            bytes: word(bytes.len())?,
        });
        end = offset + bytes.len();
    }
    let file_bytes = end.next_multiple_of(ALIGNMENT);
    let header = Header {
        magic: MAGIC,
        version: FORMAT_VERSION,
        family: family as u8,
        reserved: 0,
        crc32: 0,
        file_bytes: word(file_bytes)?,
        arena_bytes: word(arena_bytes)?,
        state_bytes: 0,
        sections: word(sections.len())?,
        source_sha256: network.source_sha256,
    };
    let mut file = vec![0; file_bytes];
    file[..size_of::<Header>()].copy_from_slice(bytes_of(&header));
    file[size_of::<Header>()..front].copy_from_slice(cast_slice(&table));
    for (record, (_, _, bytes)) in table.iter().zip(sections) {
        let start = record.offset as usize;
        file[start..start + bytes.len()].copy_from_slice(bytes);
    }
    let crc = checksum(&file);
    file[still8::plan::CRC_FIELD].copy_from_slice(&crc.to_le_bytes());
    Ok(file)
}

fn too_large(what: &str) -> Failure {
    Failure::Unsupported(format!("the network has more {what} than a plan can hold"))
}

fn word(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| too_large("bytes"))
}

fn words(shape: [usize; 4]) -> Result<[u32; 4]> {
    let [n, h, w, c] = shape;
    Ok([word(n)?, word(h)?, word(w)?, word(c)?])
}

/// Sections that grow op by op.
struct Writer {
    strings: Vec<u8>,
    operands: Vec<u16>,
    params: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    /// Bytes of data, and of everything else, so far.
    fn sizes(&self) -> (usize, usize) {
        let records = self.strings.len() + size_of_val(&self.operands[..]) + self.params.len();
        (self.data.len(), records)
    }

    fn text(&mut self, text: &str) -> Result<StrRef> {
        let at = self.strings.len();
        self.strings.extend_from_slice(text.as_bytes());
        let small = |value: usize| u16::try_from(value).map_err(|_| too_large("text"));
        Ok(StrRef { offset: small(at)?, bytes: small(text.len())? })
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<DataRef> {
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        let offset = word(self.data.len())?;
        self.data.extend_from_slice(bytes);
        Ok(DataRef { offset, bytes: word(bytes.len())? })
    }

    fn record<P: Pod>(&mut self, params: &P) -> Result<(u32, u16)> {
        let at = word(self.params.len())?;
        self.params.extend_from_slice(bytes_of(params));
        self.params.resize(self.params.len().next_multiple_of(4), 0);
        Ok((at, size_of::<P>() as u16))
    }

    /// The op's parameter struct, its data written: place and size.
    fn params(
        &mut self,
        kind: &Kind,
        (weights, channels): (&[i8], &[ChannelRecord]),
        scratch: (usize, usize),
    ) -> Result<(u32, u16)> {
        match kind {
            Kind::Conv2d { params, .. } | Kind::DepthwiseConv2d { params, .. } => {
                let mut params = *params;
                params.weights = self.blob(cast_slice(weights))?;
                params.channels = self.blob(cast_slice(channels))?;
                params.scratch = DataRef { offset: word(scratch.0)?, bytes: word(scratch.1)? };
                self.record(&params)
            }
            Kind::FullyConnected { params, bits, .. } => {
                let mut params = *params;
                params.weights = self.blob(cast_slice(weights))?;
                params.channels = self.blob(cast_slice(channels))?;
                let scratch = DataRef { offset: word(scratch.0)?, bytes: word(scratch.1)? };
                match bits {
                    Bits::Eight => self.record(&params),
                    Bits::Four => self.record(&FullyConnectedInt4Params { dense: params, scratch }),
                }
            }
            Kind::Add(params) => self.record(params),
            Kind::AveragePool2d(params) | Kind::MaxPool2d(params) => self.record(params),
            Kind::Mean(params) => self.record(params),
            Kind::Pad(params) => self.record(params),
            Kind::Concat(params) => self.record(params),
            Kind::Transpose(params) => self.record(params),
            Kind::Softmax { table } => {
                let table = self.blob(cast_slice(table))?;
                self.record(&SoftmaxParams { table })
            }
            Kind::Table { table } => {
                let table = self.blob(cast_slice(table))?;
                self.record(&TableParams { table })
            }
            Kind::Mul(params) => self.record(params),
            Kind::PRelu { params, slopes } => {
                let slopes = self.blob(cast_slice(slopes))?;
                self.record(&PReluParams { slopes, ..*params })
            }
            Kind::MatMul(params) => self.record(params),
            Kind::LayerNorm { params, channels } => {
                let channels = self.blob(cast_slice(channels))?;
                self.record(&LayerNormParams { channels, ..*params })
            }
            Kind::Constant { contents } => {
                let contents = self.blob(cast_slice(contents))?;
                self.record(&ConstantParams { contents })
            }
            Kind::Gather { axis, indices } => {
                let indices = self.blob(cast_slice(indices))?;
                self.record(&GatherParams { indices, axis: *axis, reserved: [0; 3] })
            }
            Kind::ResizeLinear { rows, columns } => {
                let (rows, columns) = (self.blob(cast_slice(rows))?, self.blob(cast_slice(columns))?);
                self.record(&ResizeLinearParams { rows, columns })
            }
            Kind::ArgMax(params) => self.record(params),
            Kind::Convert(params) => self.record(params),
            Kind::Conv2d16 { params, weights, channels } => {
                let (weights, channels) = (self.blob(cast_slice(weights))?, self.blob(cast_slice(channels))?);
                self.record(&Conv2d16Params { weights, channels, ..*params })
            }
            Kind::Add16(params) => self.record(params),
            Kind::Mean16(params) => self.record(params),
            Kind::Table16 { table } => {
                let table = self.blob(cast_slice(table))?;
                self.record(&Table16Params { table })
            }
        }
    }

    fn port(&mut self, kind: u8, port: &Port) -> Result<IoRecord> {
        let rank = port.shape.len();
        if rank > MAX_RANK {
            return Err(too_large("axes of an input or output"));
        }
        let mut permutation = [0; 8];
        let mut shape = [0; MAX_RANK];
        for axis in 0..rank {
            permutation[axis] = port.permutation[axis] as u8;
            shape[axis] = word(port.shape[axis])?;
        }
        let tensor = u16::try_from(port.tensor).map_err(|_| too_large("tensors"))?;
        Ok(IoRecord { tensor, kind, rank: rank as u8, permutation, shape, name: self.text(&port.name)? })
    }
}

/// The plan in another kernel family's weight order; everything else stays as it is.
///
/// # Errors
/// As [`emit`].
pub fn repack(plan: &Plan<'_>, family: Family) -> Result<Vec<u8>> {
    Ok(emit(&decode(plan), family)?.bytes)
}
