//! Random plans of one op each, with the output that the operator's formula gives.
//!
//! The formulas are written here once more, in i64 and from the operators' documentation alone.

use super::builder::PlanBuilder;
use super::random::{Bytes, channel};
use super::window_cases::{convolution, fully_connected, pool};
use super::{single_kernel_cases, wide_cases};
use crate::format::*;
use crate::requantize;

/// A plan of one op.
pub(super) struct Case {
    pub builder: PlanBuilder,
    pub inputs: Vec<Vec<i8>>,
    pub expected: Vec<i8>,
}

pub(super) type Shape = [usize; 4];

pub(super) fn index(shape: Shape, [n, h, w, c]: [usize; 4]) -> usize {
    ((n * shape[1] + h) * shape[2] + w) * shape[3] + c
}

/// All index vectors of a shape, row-major.
pub(super) fn indices(shape: Shape) -> impl Iterator<Item = [usize; 4]> {
    (0..shape.iter().product()).map(move |i: usize| {
        let [_, h, w, c] = shape;
        [i / (h * w * c), i / (w * c) % h, i / c % w, i % c]
    })
}

pub(super) fn clamp(q: i64, (low, high): (i8, i8)) -> i8 {
    q.clamp(low.into(), high.into()) as i8
}

/// The rule with an accumulator of any size; it wraps to 32 bits first.
pub(super) fn requantized(acc: i64, channel: &ChannelRecord, activation: (i8, i8)) -> i8 {
    let acc = i128::from(acc as i32) << channel.left;
    let acc = acc.clamp(i32::MIN.into(), i32::MAX.into());
    let n = u32::from(channel.shift) + 32;
    let zero_point = (channel.offset - (1 << (channel.shift - 1))) >> channel.shift;
    let rounded = (acc * i128::from(channel.multiplier) + (1 << (n - 1))) >> n;
    clamp(rounded as i64 + i64::from(zero_point), activation)
}

pub(super) fn activation(random: &mut Bytes) -> (i8, i8) {
    let (a, b) = (random.next() as i8, random.next() as i8);
    if random.below(2) == 0 { (i8::MIN, i8::MAX) } else { (a.min(b), a.max(b)) }
}

pub(super) fn zero_point(random: &mut Bytes) -> i8 {
    [i8::MIN, i8::MAX, 0, random.next() as i8][random.below(4) as usize]
}

pub(super) fn size(random: &mut Bytes, end: u64) -> usize {
    1 + random.below(end) as usize
}

/// A random case of an operator.
pub(super) fn case(code: OpCode, family: Family, random: &mut Bytes) -> Case {
    match code {
        OpCode::Conv2d | OpCode::DepthwiseConv2d | OpCode::Conv2dInt4 | OpCode::DepthwiseConv2dInt4 => {
            convolution(code, family, random)
        }
        OpCode::Convert | OpCode::Conv2d16 | OpCode::Add16 | OpCode::Mean16 | OpCode::Table16 => {
            wide_cases::wide(code, family, random).case
        }
        OpCode::FullyConnected | OpCode::FullyConnectedInt4 => fully_connected(code, family, random),
        OpCode::Add => add(family, random),
        OpCode::AveragePool2d | OpCode::MaxPool2d => pool(code, family, random),
        OpCode::Mean => mean(family, random),
        OpCode::Pad => pad(family, random),
        OpCode::Concat => concat(family, random),
        OpCode::Softmax => softmax(family, random),
        OpCode::Transpose => transpose(family, random),
        OpCode::Table => table(family, random),
        OpCode::Mul => single_kernel_cases::mul(family, random),
        OpCode::PRelu => single_kernel_cases::prelu(family, random),
        OpCode::MatMul => single_kernel_cases::mat_mul(family, random),
        OpCode::LayerNorm => single_kernel_cases::layer_norm(family, random),
        OpCode::Constant => single_kernel_cases::constant(family, random),
        OpCode::Gather => single_kernel_cases::gather(family, random),
        OpCode::ResizeLinear => single_kernel_cases::resize_linear(family, random),
        OpCode::ArgMax => single_kernel_cases::arg_max(family, random),
    }
}

pub(super) fn shape(random: &mut Bytes) -> Shape {
    [size(random, 2), size(random, 5), size(random, 5), size(random, 20)]
}

fn add(family: Family, random: &mut Bytes) -> Case {
    let shape = shape(random);
    let len = shape.iter().product();
    let (a, b, activation) = (random.vec(len), random.vec(len), activation(random));
    let shift = 1 + random.below(30) as u8;
    let zero_points: [i8; 3] = core::array::from_fn(|_| zero_point(random));
    let bits = 1 + random.below(23);
    let multipliers: [i32; 2] = core::array::from_fn(|_| random.below(1 << bits) as i32 - (1 << (bits - 1)));
    // Largest |offset| that the check lets pass.
    let room = (1 << 31) - 1 - multipliers.iter().map(|&m| 128 * i64::from(m).abs()).sum::<i64>();
    let product: i64 = (0..2).map(|i| i64::from(multipliers[i]) * i64::from(zero_points[i])).sum();
    let folded = (i64::from(zero_points[2]) << shift) + (1 << (shift - 1)) - product;
    let offset = match random.below(8) {
        0 => room,
        1 => -room,
        _ => folded.clamp(-room, room),
    } as i32;
    let [m0, m1] = multipliers.map(i64::from);
    let expected = a.iter().zip(&b).map(|(&a, &b)| {
        clamp((m0 * i64::from(a) + m1 * i64::from(b) + i64::from(offset)) >> shift, activation)
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (ta, tb) = (builder.tensor(shape, zero_points[0]), builder.tensor(shape, zero_points[1]));
    let out = match random.below(3) {
        0 => builder.tensor(shape, zero_points[2]),
        in_place => {
            let at = builder.tensors[if in_place == 1 { ta } else { tb } as usize].offset;
            builder.tensor_at(at, shape, zero_points[2])
        }
    };
    let (activation_min, activation_max) = activation;
    let params = AddParams { multipliers, offset, shift, reserved: 0, activation_min, activation_max };
    builder.op(OpCode::Add, params, &[ta, tb], &[out]);
    builder.io(&[ta, tb], &[out]);
    Case { builder, inputs: vec![a, b], expected }
}

fn mean(family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let axes = random.below(16) as u8;
    let to: Shape = core::array::from_fn(|i| if axes >> i & 1 == 1 { 1 } else { from[i] });
    let (zp_out, activation) = (zero_point(random), activation(random));
    let (channel, input) = (channel(random, zp_out), random.vec(from.iter().product()));
    let mut sums = vec![i64::from(channel.bias); to.iter().product()];
    for at in indices(from) {
        let out = core::array::from_fn(|i| if axes >> i & 1 == 1 { 0 } else { at[i] });
        sums[index(to, out)] += i64::from(input[index(from, at)]);
    }
    let expected = sums.into_iter().map(|acc| requantized(acc, &channel, activation)).collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor(from, 3), builder.tensor([1, 1, 1, to.iter().product()], zp_out));
    let (activation_min, activation_max) = activation;
    let params = MeanParams { channel, axes, reserved: 0, activation_min, activation_max };
    builder.op(OpCode::Mean, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}

fn pad(family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let before: [usize; 4] = core::array::from_fn(|_| random.below(3) as usize);
    let to: Shape = core::array::from_fn(|i| from[i] + before[i] + random.below(3) as usize);
    let (value, input) = (random.next() as i8, random.vec(from.iter().product()));
    let expected = indices(to).map(|at| {
        let inside = (0..4).all(|i| (before[i]..before[i] + from[i]).contains(&at[i]));
        if inside { input[index(from, core::array::from_fn(|i| at[i] - before[i]))] } else { value }
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor(from, 9), builder.tensor(to, 9));
    let params = PadParams { before: before.map(|x| x as u16), value, reserved: [0; 3] };
    builder.op(OpCode::Pad, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}

fn concat(family: Family, random: &mut Bytes) -> Case {
    let mut to = shape(random);
    let axis = random.below(4) as usize;
    let sizes: Vec<usize> = (0..size(random, 4)).map(|_| size(random, 5)).collect();
    to[axis] = sizes.iter().sum();
    let mut builder = PlanBuilder::new(family);
    let mut operands = Vec::new();
    let mut inputs = Vec::new();
    let mut expected = vec![0; to.iter().product()];
    let mut start = 0;
    for size in sizes {
        let mut from = to;
        from[axis] = size;
        let input = random.vec(from.iter().product());
        for at in indices(from) {
            let mut out = at;
            out[axis] += start;
            expected[index(to, out)] = input[index(from, at)];
        }
        start += size;
        operands.push(builder.tensor(from, -5));
        inputs.push(input);
    }
    let out = builder.tensor(to, -5);
    builder.op(OpCode::Concat, ConcatParams { axis: axis as u8, reserved: [0; 3] }, &operands, &[out]);
    builder.io(&operands, &[out]);
    Case { builder, inputs, expected }
}

fn softmax(family: Family, random: &mut Bytes) -> Case {
    let mut shape = shape(random);
    if random.below(16) == 0 {
        shape = [1, 1, 1, 2047];
    }
    let scale = [1e-9, 0.01, 0.1, 1.0][random.below(4) as usize];
    let exp: Vec<u32> =
        (0..256).map(|d| (1_048_576.0 * (-scale * f64::from(d)).exp()).round() as u32).collect();
    let input = random.vec(shape.iter().product());
    let mut expected = Vec::new();
    for row in input.chunks(shape[3]) {
        let max = i64::from(row.iter().copied().max().unwrap_or(0));
        let e: Vec<i64> = row.iter().map(|&x| exp[(max - i64::from(x)) as usize].into()).collect();
        let sum: i64 = e.iter().sum();
        expected.extend(e.iter().map(|e| ((e * 256 + sum / 2) / sum - 128).min(127) as i8));
    }
    let mut builder = PlanBuilder::new(family);
    let a = builder.tensor(shape, 17);
    let out =
        if random.below(2) == 0 { builder.tensor(shape, -128) } else { builder.tensor_at(0, shape, -128) };
    // What is past the end reads as 0.
    let zeros = exp.iter().rev().take_while(|&&entry| entry == 0).count();
    let cut = random.below(zeros as u64 + 1) as usize;
    let params = SoftmaxParams { table: builder.data(&exp[..exp.len() - cut]) };
    builder.op(OpCode::Softmax, params, &[a], &[out]);
    builder.io(&[a], &[out]);
    Case { builder, inputs: vec![input], expected }
}

fn transpose(family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let mut permutation = [0u8, 1, 2, 3];
    for i in (1..4).rev() {
        permutation.swap(i, random.below(i as u64 + 1) as usize);
    }
    let to: Shape = permutation.map(|axis| from[usize::from(axis)]);
    let input = random.vec(from.iter().product());
    let expected = indices(to).map(|at| {
        let mut source = [0; 4];
        for (axis, at) in permutation.iter().zip(at) {
            source[usize::from(*axis)] = at;
        }
        input[index(from, source)]
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor(from, 0), builder.tensor(to, 0));
    builder.op(OpCode::Transpose, TransposeParams { permutation }, &[a], &[b]);
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}

fn table(family: Family, random: &mut Bytes) -> Case {
    let shape = shape(random);
    let (entries, input) = (random.vec(256), random.vec(shape.iter().product()));
    let expected = input.iter().map(|&x| entries[(i64::from(x) + 128) as usize]).collect();
    let mut builder = PlanBuilder::new(family);
    let a = builder.tensor(shape, 1);
    let out = if random.below(2) == 0 { builder.tensor(shape, 2) } else { builder.tensor_at(0, shape, 2) };
    let params = TableParams { table: builder.data(&entries) };
    builder.op(OpCode::Table, params, &[a], &[out]);
    builder.io(&[a], &[out]);
    Case { builder, inputs: vec![input], expected }
}

/// An offset of the numbers contract, for records written by hand.
pub(super) fn record(bias: i32, multiplier: i32, shift: u8, zero_point: i8) -> ChannelRecord {
    ChannelRecord {
        bias,
        multiplier,
        offset: requantize::offset(zero_point, shift),
        shift,
        left: 0,
        reserved: 0,
    }
}
