//! Random plans of operators that have one kernel for all cores, with the output that the operator's formula gives.

use super::builder::PlanBuilder;
use super::cases::{Case, activation, clamp, index, indices, requantized, shape, size, zero_point};
use super::random::{Bytes, channel};
use crate::format::*;

/// A plan of one op on `shapes` and zero points of inputs and output, with random inputs.
fn plan<P: bytemuck::NoUninit>(
    random: &mut Bytes,
    mut builder: PlanBuilder,
    (code, params): (OpCode, P),
    operands: &[([usize; 4], i8)],
    expected: impl FnOnce(&[Vec<i8>]) -> Vec<i8>,
) -> Case {
    let tensors: Vec<u16> = operands.iter().map(|&(shape, zp)| builder.tensor(shape, zp)).collect();
    let (output, inputs) = tensors.split_last().expect("an op has an output");
    let data: Vec<Vec<i8>> =
        operands[..inputs.len()].iter().map(|(shape, _)| random.vec(shape.iter().product())).collect();
    builder.op(code, params, inputs, &[*output]);
    builder.io(inputs, &[*output]);
    let expected = expected(&data);
    Case { builder, inputs: data, expected }
}

pub(super) fn mul(family: Family, random: &mut Bytes) -> Case {
    let a = shape(random);
    let b: [usize; 4] = core::array::from_fn(|i| if random.below(2) == 0 { 1 } else { a[i] });
    let zero_points: [i8; 3] = core::array::from_fn(|_| zero_point(random));
    let (activation, mut channel) = (activation(random), channel(random, zero_points[2]));
    channel.bias = 0;
    let params =
        MulParams { channel, activation_min: activation.0, activation_max: activation.1, reserved: 0 };
    let operands = [(a, zero_points[0]), (b, zero_points[1]), (a, zero_points[2])];
    plan(random, PlanBuilder::new(family), (OpCode::Mul, params), &operands, |inputs| {
        let product = |at: [usize; 4]| {
            let other = core::array::from_fn(|i| if b[i] == 1 { 0 } else { at[i] });
            let left = i64::from(inputs[0][index(a, at)]) - i64::from(zero_points[0]);
            let right = i64::from(inputs[1][index(b, other)]) - i64::from(zero_points[1]);
            requantized(left * right, &channel, activation)
        };
        indices(a).map(product).collect()
    })
}

pub(super) fn prelu(family: Family, random: &mut Bytes) -> Case {
    let shape = shape(random);
    let zero_points: [i8; 2] = core::array::from_fn(|_| zero_point(random));
    let bits = 1 + random.below(21);
    let mut factor = || random.below(2 << bits) as i32 - (1 << bits);
    let multiplier = factor();
    let slopes: Vec<i32> = (0..shape[3]).map(|_| factor()).collect();
    let shift = 1 + random.below(22) as u8;
    let offset = (i32::from(zero_points[1]) << shift) + (1 << (shift - 1));
    let mut builder = PlanBuilder::new(family);
    let params = PReluParams { slopes: builder.data(&slopes), multiplier, offset, shift, reserved: [0; 3] };
    let operands = [(shape, zero_points[0]), (shape, zero_points[1])];
    plan(random, builder, (OpCode::PRelu, params), &operands, |inputs| {
        let rectified = |(i, &x): (usize, &i8)| {
            let x = i64::from(x) - i64::from(zero_points[0]);
            let m = i64::from(if x < 0 { slopes[i % shape[3]] } else { multiplier });
            let half = 1i64 << (shift - 1);
            clamp(((m * x + half) >> shift) + i64::from(zero_points[1]), (i8::MIN, i8::MAX))
        };
        inputs[0].iter().enumerate().map(rectified).collect()
    })
}

pub(super) fn mat_mul(family: Family, random: &mut Bytes) -> Case {
    let (n, h) = (size(random, 2), size(random, 3));
    let (rows, columns, k) = (size(random, 6), size(random, 6), size(random, 20));
    let zero_points: [i8; 3] = core::array::from_fn(|_| zero_point(random));
    let (activation, mut channel) = (activation(random), channel(random, zero_points[2]));
    channel.bias = 0;
    let params =
        MatMulParams { channel, activation_min: activation.0, activation_max: activation.1, reserved: 0 };
    let (a, b, to) = ([n, h, rows, k], [n, h, columns, k], [n, h, rows, columns]);
    let operands = [(a, zero_points[0]), (b, zero_points[1]), (to, zero_points[2])];
    plan(random, PlanBuilder::new(family), (OpCode::MatMul, params), &operands, |inputs| {
        let product = |[n, h, row, column]: [usize; 4]| {
            let term = |l| {
                let left = i64::from(inputs[0][index(a, [n, h, row, l])]) - i64::from(zero_points[0]);
                let right = i64::from(inputs[1][index(b, [n, h, column, l])]) - i64::from(zero_points[1]);
                left * right
            };
            requantized((0..k).map(term).sum(), &channel, activation)
        };
        indices(to).map(product).collect()
    })
}

pub(super) fn layer_norm(family: Family, random: &mut Bytes) -> Case {
    let shape = shape(random);
    let c = shape[3];
    let zero_points: [i8; 2] = core::array::from_fn(|_| zero_point(random));
    let epsilon =
        [0, 1, random.below(1 << 20), random.next() >> (3 + random.below(60))][random.below(4) as usize];
    let shift = 1 + random.below(20) as u8;
    let channels: Vec<NormRecord> = (0..c)
        .map(|_| {
            let multiplier = random.below(64 << shift) as i32 - (32 << shift);
            let offset = (i32::from(zero_points[1]) << shift) + (1 << (shift - 1));
            NormRecord { multiplier, offset: offset + random.below(16 << shift) as i32 - (8 << shift) }
        })
        .collect();
    let mut builder = PlanBuilder::new(family);
    let params = LayerNormParams {
        channels: builder.data(&channels),
        epsilon: [epsilon as u32, (epsilon >> 32) as u32],
        shift,
        reserved: [0; 3],
    };
    let operands = [(shape, zero_points[0]), (shape, zero_points[1])];
    plan(random, builder, (OpCode::LayerNorm, params), &operands, |inputs| {
        let mut expected = Vec::new();
        for row in inputs[0].chunks(c) {
            let sum: i128 = row.iter().map(|&x| i128::from(x)).sum();
            let squares: i128 = row.iter().map(|&x| i128::from(x).pow(2)).sum();
            let v = (((c as i128 * squares - sum * sum) as u128) << 16) + u128::from(epsilon);
            let bits = 128 - v.leading_zeros();
            let e = (62 - bits) / 2;
            let root = (v << (2 * e)).isqrt();
            let inverse = (1u128 << 62).checked_div(root).unwrap_or(0) as i128;
            for (&x, channel) in row.iter().zip(&channels) {
                let norm = ((c as i128 * i128::from(x) - sum) * inverse) >> (39 - e);
                let q = ((norm * i128::from(channel.multiplier)) >> 16) + i128::from(channel.offset);
                expected.push(clamp((q >> shift) as i64, (i8::MIN, i8::MAX)));
            }
        }
        expected
    })
}

pub(super) fn constant(family: Family, random: &mut Bytes) -> Case {
    let shape = shape(random);
    let contents = random.vec(shape.iter().product());
    let mut builder = PlanBuilder::new(family);
    let params = ConstantParams { contents: builder.data(&contents) };
    let output = builder.tensor(shape, 5);
    builder.op(OpCode::Constant, params, &[], &[output]);
    // A plan has an input.
    let unused = builder.tensor([1; 4], 0);
    builder.io(&[unused], &[output]);
    Case { builder, inputs: vec![random.vec(1)], expected: contents }
}

pub(super) fn gather(family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let axis = random.below(4) as usize;
    let indices_: Vec<u16> = (0..size(random, 9)).map(|_| random.below(from[axis] as u64) as u16).collect();
    let mut to = from;
    to[axis] = indices_.len();
    let mut builder = PlanBuilder::new(family);
    let params = GatherParams { indices: builder.data(&indices_), axis: axis as u8, reserved: [0; 3] };
    plan(random, builder, (OpCode::Gather, params), &[(from, -7), (to, -7)], |inputs| {
        let picked = |mut at: [usize; 4]| {
            at[axis] = indices_[at[axis]].into();
            inputs[0][index(from, at)]
        };
        indices(to).map(picked).collect()
    })
}

pub(super) fn resize_linear(family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let mut taps = |size_in: usize| -> Vec<TapRecord> {
        let count = size(random, 6);
        let tap = |_| TapRecord {
            low: random.below(size_in as u64) as u16,
            high: random.below(size_in as u64) as u16,
            share: [0, 2048, random.below(2049) as u16][random.below(3) as usize],
            reserved: 0,
        };
        (0..count).map(tap).collect()
    };
    let (rows, columns) = (taps(from[1]), taps(from[2]));
    let to = [from[0], rows.len(), columns.len(), from[3]];
    let mut builder = PlanBuilder::new(family);
    let params = ResizeLinearParams { rows: builder.data(&rows), columns: builder.data(&columns) };
    plan(random, builder, (OpCode::ResizeLinear, params), &[(from, 3), (to, 3)], |inputs| {
        let between = |[n, y, x, c]: [usize; 4]| {
            let weights =
                |tap: &TapRecord| [(tap.low, 2048 - i64::from(tap.share)), (tap.high, i64::from(tap.share))];
            let mut acc = 0;
            for (i, wi) in weights(&rows[y]) {
                for (j, wj) in weights(&columns[x]) {
                    acc += i64::from(inputs[0][index(from, [n, i.into(), j.into(), c])]) * wi * wj;
                }
            }
            ((acc + (1 << 21)) >> 22) as i8
        };
        indices(to).map(between).collect()
    })
}

pub(super) fn arg_max(family: Family, random: &mut Bytes) -> Case {
    let mut from = shape(random);
    if random.below(8) == 0 {
        from = [1, 1, 2, 256];
    }
    let last = random.below(2) as u8;
    let mut builder = PlanBuilder::new(family);
    let input = builder.tensor(from, 11);
    let output = builder.tensor([from[0], from[1], from[2], 1], -128);
    builder.tensors[usize::from(output)].scale = 1.0;
    let mut data = random.vec(from.iter().product());
    // Equal elements decide.
    data.iter_mut().for_each(|x| *x >>= random.below(8));
    let expected = data.chunks(from[3]).map(|row| {
        let most = row.iter().max();
        let mut places = (0..row.len()).filter(|&i| Some(&row[i]) == most);
        let place = if last == 1 { places.next_back() } else { places.next() };
        (place.unwrap_or(0) as i64 - 128) as i8
    });
    let expected = expected.collect();
    builder.op(OpCode::ArgMax, ArgMaxParams { last, reserved: [0; 3] }, &[input], &[output]);
    builder.io(&[input], &[output]);
    Case { builder, inputs: vec![data], expected }
}
