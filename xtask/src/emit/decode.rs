//! Reads the int8 network back out of a plan: the inverse of `emit`, so that a plan can be packed for another family.

use bytemuck::{AnyBitPattern, pod_read_unaligned};
use still8::Plan;
use still8::format::{
    ChannelRecord, ConstantParams, Conv2d16Params, Conv2dParams, DataRef, DataType, FullyConnectedParams,
    GatherParams, LayerNormParams, OpCode, OpRecord, PReluParams, ResizeLinearParams, SoftmaxParams,
    Table16Params, TableParams,
};

use crate::network::{Bits, Golden, Kind, Network, Op, Port, Tensor};
use crate::pack;
use crate::quantization::Quantization;

/// The network of a checked plan. Names of data and scratch are left zero, weights are in plain order.
pub fn decode(plan: &Plan<'_>) -> Network {
    let tensors = plan.tensors().iter().map(|record| Tensor {
        shape: record.shape.map(|dim| dim as usize),
        quantization: Quantization {
            scale: record.scale,
            zero_point: record.zero_point,
            // The plan's check accepts no other numbers.
            dtype: DataType::from_u8(record.dtype).unwrap_or(DataType::Int8),
        },
        view_of: None,
    });
    let mut network = Network {
        name: plan.name().to_owned(),
        source_sha256: plan.header().source_sha256,
        tensors: tensors.collect(),
        lineage: plan.lineage().map(str::to_owned),
        golden: plan.golden().map(|golden| Golden {
            input: golden.stored().to_vec(),
            output: golden.output.to_vec(),
            op_crcs: golden.op_crcs.to_vec(),
        }),
        ..Network::default()
    };
    network.inputs =
        (0..plan.input_count()).filter_map(|i| plan.input(i)).map(|io| port(plan, &io)).collect();
    network.outputs =
        (0..plan.output_count()).filter_map(|i| plan.output(i)).map(|io| port(plan, &io)).collect();
    for record in plan.ops() {
        let operands: Vec<usize> =
            plan.operands_of(record).unwrap_or_default().iter().map(|&tensor| tensor.into()).collect();
        let (inputs, outputs) = operands.split_at(usize::from(record.inputs));
        let Some(kind) = kind(plan, record) else {
            continue;
        };
        let mut op =
            Op { name: plan.text(record.name).to_owned(), kind, inputs: inputs.to_vec(), output: outputs[0] };
        let packed = op.kind.weights().to_vec();
        shrink_weights(&network, &mut op);
        let (weights, channels) = pack::unpack(&network, &op, plan.family(), &packed);
        set_weights(&mut op.kind, weights);
        op.kind.channels_mut().copy_from_slice(&channels);
        network.ops.push(op);
    }
    restore_views(plan, &mut network);
    network
}

fn port(plan: &Plan<'_>, io: &still8::plan::Io<'_>) -> Port {
    let first = plan.tensors().as_ptr_range().start;
    // `io.tensor` is an element of the plan's tensor records.
    let tensor = (std::ptr::from_ref(io.tensor).addr() - first.addr()) / size_of_val(io.tensor);
    Port {
        name: io.name.to_owned(),
        shape: io.shape.iter().map(|&dim| dim as usize).collect(),
        permutation: io.permutation.iter().map(|&axis| axis.into()).collect(),
        tensor,
    }
}

fn read<P: AnyBitPattern>(plan: &Plan<'_>, op: &OpRecord) -> P {
    let at = op.params as usize;
    pod_read_unaligned(&plan.params()[at..at + size_of::<P>()])
}

fn data<T: AnyBitPattern>(plan: &Plan<'_>, data: DataRef) -> Vec<T> {
    let bytes = &plan.data()[data.offset as usize..(data.offset + data.bytes) as usize];
    bytes.chunks_exact(size_of::<T>()).map(pod_read_unaligned).collect()
}

const NOTHING: DataRef = DataRef { offset: 0, bytes: 0 };

/// The operator with its packed weights; `None` for an unknown one.
fn kind(plan: &Plan<'_>, op: &OpRecord) -> Option<Kind> {
    let conv = || {
        let params: Conv2dParams = read(plan, op);
        let weights = data(plan, params.weights);
        let channels: Vec<ChannelRecord> = data(plan, params.channels);
        (Conv2dParams { weights: NOTHING, channels: NOTHING, scratch: NOTHING, ..params }, weights, channels)
    };
    let code = OpCode::ALL.into_iter().find(|&code| code as u16 == op.op)?;
    Some(match code {
        OpCode::Conv2d | OpCode::Conv2dInt4 => {
            let (params, weights, channels) = conv();
            Kind::Conv2d { bits: bits(code), params, weights, channels }
        }
        OpCode::DepthwiseConv2d | OpCode::DepthwiseConv2dInt4 => {
            let (params, weights, channels) = conv();
            Kind::DepthwiseConv2d { bits: bits(code), params, weights, channels }
        }
        OpCode::FullyConnected | OpCode::FullyConnectedInt4 => {
            // Both parameter records begin alike.
            let params: FullyConnectedParams = read(plan, op);
            let (weights, channels) = (data(plan, params.weights), data(plan, params.channels));
            Kind::FullyConnected {
                bits: bits(code),
                params: FullyConnectedParams { weights: NOTHING, channels: NOTHING, ..params },
                weights,
                channels,
            }
        }
        OpCode::Add => Kind::Add(read(plan, op)),
        OpCode::AveragePool2d => Kind::AveragePool2d(read(plan, op)),
        OpCode::MaxPool2d => Kind::MaxPool2d(read(plan, op)),
        OpCode::Mean => Kind::Mean(read(plan, op)),
        OpCode::Pad => Kind::Pad(read(plan, op)),
        OpCode::Concat => Kind::Concat(read(plan, op)),
        OpCode::Transpose => Kind::Transpose(read(plan, op)),
        OpCode::Softmax => Kind::Softmax { table: data(plan, read::<SoftmaxParams>(plan, op).table) },
        OpCode::Table => Kind::Table { table: data(plan, read::<TableParams>(plan, op).table) },
        OpCode::Mul => Kind::Mul(read(plan, op)),
        OpCode::PRelu => {
            let params: PReluParams = read(plan, op);
            Kind::PRelu {
                slopes: data(plan, params.slopes),
                params: PReluParams { slopes: NOTHING, ..params },
            }
        }
        OpCode::MatMul => Kind::MatMul(read(plan, op)),
        OpCode::LayerNorm => {
            let params: LayerNormParams = read(plan, op);
            let channels = data(plan, params.channels);
            Kind::LayerNorm { params: LayerNormParams { channels: NOTHING, ..params }, channels }
        }
        OpCode::Constant => {
            Kind::Constant { contents: data(plan, read::<ConstantParams>(plan, op).contents) }
        }
        OpCode::Gather => {
            let params: GatherParams = read(plan, op);
            Kind::Gather { axis: params.axis, indices: data(plan, params.indices) }
        }
        OpCode::ResizeLinear => {
            let params: ResizeLinearParams = read(plan, op);
            Kind::ResizeLinear { rows: data(plan, params.rows), columns: data(plan, params.columns) }
        }
        OpCode::ArgMax => Kind::ArgMax(read(plan, op)),
        OpCode::Convert => Kind::Convert(read(plan, op)),
        OpCode::Conv2d16 => {
            let params: Conv2d16Params = read(plan, op);
            let (weights, channels) = (data(plan, params.weights), data(plan, params.channels));
            let params = Conv2d16Params { weights: NOTHING, channels: NOTHING, ..params };
            Kind::Conv2d16 { params, weights, channels }
        }
        OpCode::Add16 => Kind::Add16(read(plan, op)),
        OpCode::Mean16 => Kind::Mean16(read(plan, op)),
        OpCode::Table16 => Kind::Table16 { table: data(plan, read::<Table16Params>(plan, op).table) },
    })
}

fn bits(code: OpCode) -> Bits {
    match code {
        OpCode::Conv2dInt4 | OpCode::DepthwiseConv2dInt4 | OpCode::FullyConnectedInt4 => Bits::Four,
        _ => Bits::Eight,
    }
}

/// Cuts the packed weights, which a family may have filled up, to the number that the shapes say.
fn shrink_weights(network: &Network, op: &mut Op) {
    let input = || &network.tensors[op.inputs[0]];
    let output = &network.tensors[op.output];
    let window = |params: &Conv2dParams| usize::from(params.kernel[0]) * usize::from(params.kernel[1]);
    let count = match &op.kind {
        Kind::Conv2d { params, .. } => {
            output.shape[3] * window(params) * input().shape[3] / params.groups as usize
        }
        Kind::DepthwiseConv2d { params, .. } => output.shape[3] * window(params),
        Kind::FullyConnected { .. } => input().len() * output.len(),
        _ => return,
    };
    set_weights(&mut op.kind, vec![0; count]);
}

fn set_weights(kind: &mut Kind, new: Vec<i8>) {
    if let Kind::Conv2d { weights, .. }
    | Kind::DepthwiseConv2d { weights, .. }
    | Kind::FullyConnected { weights, .. } = kind
    {
        *weights = new;
    }
}

/// A tensor that no op writes and that is no input is a view of the tensor last written to its place.
fn restore_views(plan: &Plan<'_>, network: &mut Network) {
    let mut written: Vec<usize> = network.inputs.iter().map(|port| port.tensor).collect();
    let find = |written: &[usize], tensor: usize| {
        if written.contains(&tensor) {
            return None;
        }
        let record = &plan.tensors()[tensor];
        let place = |&&other: &&usize| plan.tensors()[other].offset == record.offset;
        written.iter().rev().find(place).copied()
    };
    let mut views = Vec::new();
    for op in &network.ops {
        for &input in &op.inputs {
            views.extend(find(&written, input).map(|owner| (input, owner)));
        }
        written.retain(|&tensor| tensor != op.output);
        written.push(op.output);
    }
    for port in &network.outputs {
        views.extend(find(&written, port.tensor).map(|owner| (port.tensor, owner)));
    }
    for (view, owner) in views {
        network.tensors[view].view_of.get_or_insert(owner);
    }
}
