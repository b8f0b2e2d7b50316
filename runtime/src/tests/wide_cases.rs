//! Random plans of operators on int16: int8 inputs are widened, meet the operator, and its output is narrowed again.

use super::builder::PlanBuilder;
use super::cases::{Case, Shape, clamp, index, indices, shape, size, zero_point};
use super::random::Bytes;
use crate::format::*;

/// A case, and what its operator in the middle computes.
pub(super) struct Wide {
    pub case: Case,
    /// Its number among the ops.
    pub op: usize,
    pub middle: Vec<i16>,
}

fn record(random: &mut Bytes, bits: u64, bias: i64) -> WideRecord {
    let multiplier = [random.below(1 << 24), (1 << 24) - 1, random.below(1 << 8)][random.below(3) as usize];
    // Most results then lie inside int16.
    let shift = (24 + bits).saturating_sub(15) + random.below(4);
    let bias = bias as u64;
    WideRecord {
        bias: [bias as u32, (bias >> 32) as u32],
        multiplier: multiplier as i32,
        shift: shift.clamp(1, 62) as u8,
        reserved: [0; 3],
    }
}

/// The rule in 128 bits.
fn requantized(acc: i128, record: &WideRecord, (low, high): (i16, i16)) -> i16 {
    let bias = i128::from((u64::from(record.bias[1]) << 32 | u64::from(record.bias[0])) as i64);
    let half = 1i128 << (record.shift - 1);
    let q = ((acc + bias) * i128::from(record.multiplier) + half) >> record.shift;
    q.clamp(low.into(), high.into()) as i16
}

const WHOLE: (i16, i16) = (-i16::MAX, i16::MAX);

fn activation(random: &mut Bytes) -> (i16, i16) {
    let mut bound = || (random.next() as i16).max(-i16::MAX);
    let (a, b) = (bound(), bound());
    if random.below(2) == 0 { WHOLE } else { (a.min(b), a.max(b)) }
}

/// A widened random input: its int8 tensor, its int16 tensor, its bytes and values.
fn widened(random: &mut Bytes, builder: &mut PlanBuilder, shape: Shape) -> (u16, u16, Vec<i8>, Vec<i16>) {
    let zp = zero_point(random);
    let bytes = random.vec(shape.iter().product());
    let record = record(random, 8, -i64::from(zp));
    let (narrow, wide) = (builder.tensor(shape, zp), builder.tensor16(shape));
    builder.op(OpCode::Convert, ConvertParams { record }, &[narrow], &[wide]);
    let values = bytes.iter().map(|&x| requantized(x.into(), &record, WHOLE)).collect();
    (narrow, wide, bytes, values)
}

/// Ends a case: the wide output is narrowed.
fn narrowed(
    random: &mut Bytes,
    mut builder: PlanBuilder,
    (op, inputs, data): (usize, &[u16], Vec<Vec<i8>>),
    (wide, shape): (u16, Shape),
    middle: Vec<i16>,
) -> Wide {
    let zp = zero_point(random);
    let record = WideRecord { shift: 31 + random.below(3) as u8, ..record(random, 16, 0) };
    let output = builder.tensor(shape, zp);
    builder.op(OpCode::Convert, ConvertParams { record }, &[wide], &[output]);
    builder.io(inputs, &[output]);
    let narrow = |&q: &i16| {
        let q = i64::from(requantized(q.into(), &record, WHOLE));
        clamp(q + i64::from(zp), (i8::MIN, i8::MAX))
    };
    let expected = middle.iter().map(narrow).collect();
    Wide { case: Case { builder, inputs: data, expected }, op, middle }
}

pub(super) fn wide(code: OpCode, family: Family, random: &mut Bytes) -> Wide {
    match code {
        OpCode::Conv2d16 => convolution(family, random),
        OpCode::Add16 => add(family, random),
        OpCode::Mean16 => mean(family, random),
        OpCode::Table16 => table(family, random),
        _ => convert(family, random),
    }
}

fn convert(family: Family, random: &mut Bytes) -> Wide {
    let mut builder = PlanBuilder::new(family);
    let shape = shape(random);
    let (input, wide, bytes, values) = widened(random, &mut builder, shape);
    let record = record(random, 16, 0);
    let output = builder.tensor16(shape);
    builder.op(OpCode::Convert, ConvertParams { record }, &[wide], &[output]);
    let middle = values.iter().map(|&q| requantized(q.into(), &record, WHOLE)).collect();
    narrowed(random, builder, (1, &[input], vec![bytes]), (output, shape), middle)
}

fn convolution(family: Family, random: &mut Bytes) -> Wide {
    let mut builder = PlanBuilder::new(family);
    let two = |random: &mut Bytes, end| [size(random, end), size(random, end)];
    let (kernel, stride, dilation) = (two(random, 3), two(random, 3), two(random, 2));
    let padding = [random.below(4) as usize, random.below(4) as usize];
    let groups = size(random, 3);
    // Now and then sums that 32 bits do not hold.
    let per_group = if random.below(8) == 0 { 600 } else { size(random, 6) };
    let (c_in, c_out) = (groups * per_group, groups * size(random, 4));
    let [h, w] = two(random, 5);
    let from = [size(random, 2), h, w, c_in];
    let to = [from[0], size(random, 4), size(random, 4), c_out];
    let k = kernel[0] * kernel[1] * per_group;
    let (input, wide, bytes, values) = widened(random, &mut builder, from);
    let weights = random.stored(c_out * k, [0; 2]);
    let bits = 23 + (k as u64).ilog2() as u64 / 2;
    let channels: Vec<WideRecord> = (0..c_out)
        .map(|_| {
            let bias = random.next() as i64 >> 28;
            record(random, bits, bias)
        })
        .collect();
    let activation = activation(random);
    let small = |pair: [usize; 2]| pair.map(|x| x as u16);
    let params = Conv2d16Params {
        kernel: small(kernel),
        stride: small(stride),
        dilation: small(dilation),
        padding: small(padding),
        groups: groups as u32,
        activation_min: activation.0,
        activation_max: activation.1,
        weights: builder.data(&weights),
        channels: builder.data(&channels),
    };
    let output = builder.tensor16(to);
    builder.op(OpCode::Conv2d16, params, &[wide], &[output]);
    let middle = indices(to).map(|[n, y, x, o]| {
        let mut acc = 0i128;
        for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
            let place = |axis: usize, o: usize, tap: usize| {
                let at = (o * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis]);
                at.filter(|&at| at < from[1 + axis])
            };
            let Some((y, x)) = place(0, y, ky).zip(place(1, x, kx)) else { continue };
            for i in 0..per_group {
                let value = values[index(from, [n, y, x, o / (c_out / groups) * per_group + i])];
                let weight = weights[o * k + (ky * kernel[1] + kx) * per_group + i];
                acc += i128::from(value) * i128::from(weight);
            }
        }
        requantized(acc, &channels[o], activation)
    });
    let middle = middle.collect();
    narrowed(random, builder, (1, &[input], vec![bytes]), (output, to), middle)
}

fn add(family: Family, random: &mut Bytes) -> Wide {
    let mut builder = PlanBuilder::new(family);
    let shape = shape(random);
    let a = widened(random, &mut builder, shape);
    let b = widened(random, &mut builder, shape);
    let shift = 1 + random.below(40) as u8;
    let most = 1u64 << (u64::from(shift) + 1).min(30);
    let multipliers = [0; 2].map(|_| random.below(most) as i32 - (most / 2) as i32);
    let (low, high) = activation(random);
    let params =
        Add16Params { multipliers, shift, reserved: [0; 3], activation_min: low, activation_max: high };
    let output = builder.tensor16(shape);
    builder.op(OpCode::Add16, params, &[a.1, b.1], &[output]);
    let sum = |(&a, &b): (&i16, &i16)| {
        let products =
            i128::from(multipliers[0]) * i128::from(a) + i128::from(multipliers[1]) * i128::from(b);
        let q = (products + (1i128 << (shift - 1))) >> shift;
        q.clamp(low.into(), high.into()) as i16
    };
    let middle = a.3.iter().zip(&b.3).map(sum).collect();
    narrowed(random, builder, (2, &[a.0, b.0], vec![a.2, b.2]), (output, shape), middle)
}

fn mean(family: Family, random: &mut Bytes) -> Wide {
    let mut builder = PlanBuilder::new(family);
    let from = shape(random);
    let axes = random.below(16) as u8;
    let to: Shape = core::array::from_fn(|i| if axes >> i & 1 == 1 { 1 } else { from[i] });
    let (input, wide, bytes, values) = widened(random, &mut builder, from);
    let (low, high) = activation(random);
    let record = record(random, 17, 0);
    let params = Mean16Params { record, axes, reserved: [0; 3], activation_min: low, activation_max: high };
    let output = builder.tensor16([1, 1, 1, to.iter().product()]);
    builder.op(OpCode::Mean16, params, &[wide], &[output]);
    let mut sums = vec![0i128; to.iter().product()];
    for at in indices(from) {
        let out = core::array::from_fn(|i| if axes >> i & 1 == 1 { 0 } else { at[i] });
        sums[index(to, out)] += i128::from(values[index(from, at)]);
    }
    let middle = sums.into_iter().map(|acc| requantized(acc, &record, (low, high))).collect();
    let flat = [1, 1, 1, to.iter().product()];
    narrowed(random, builder, (1, &[input], vec![bytes]), (output, flat), middle)
}

fn table(family: Family, random: &mut Bytes) -> Wide {
    let mut builder = PlanBuilder::new(family);
    let shape = shape(random);
    let (input, wide, bytes, values) = widened(random, &mut builder, shape);
    let table: Vec<i16> = (0..513).map(|_| (random.next() as i16).max(-i16::MAX)).collect();
    let params = Table16Params { table: builder.data(&table) };
    let output = builder.tensor16(shape);
    builder.op(OpCode::Table16, params, &[wide], &[output]);
    let between = |&x: &i16| {
        let place = i64::from(x) + 32768;
        let (j, rest) = ((place / 128) as usize, place % 128);
        let (low, high) = (i64::from(table[j]), i64::from(table[j + 1]));
        (low + ((high - low) * rest + 64).div_euclid(128)) as i16
    };
    let middle = values.iter().map(between).collect();
    narrowed(random, builder, (1, &[input], vec![bytes]), (output, shape), middle)
}
