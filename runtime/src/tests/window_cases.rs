//! Random plans of the operators with weights or windows; the rest of [`cases`](super::cases).

use super::builder::PlanBuilder;
use super::cases::{Case, activation, clamp, index, indices, requantized, shape, size, zero_point};
use super::random::{Bytes, channel};
use crate::format::*;
use crate::ops::{Conv2d, Conv2dInt4, DepthwiseConv2d, DepthwiseConv2dInt4, FullyConnectedInt4};
use crate::packing::{MatrixOrder, WindowOrder};

pub(super) fn convolution(code: OpCode, family: Family, random: &mut Bytes) -> Case {
    let depthwise = matches!(code, OpCode::DepthwiseConv2d | OpCode::DepthwiseConv2dInt4);
    let int4 = matches!(code, OpCode::Conv2dInt4 | OpCode::DepthwiseConv2dInt4);
    let two = |random: &mut Bytes, end| [size(random, end), size(random, end)];
    // Now and then windows of more taps, or more channels than any kernel takes at once.
    let (wide, deep) = (random.below(6) == 0, random.below(6) == 0);
    let mut kernel = two(random, if wide { 9 } else { 4 });
    let (mut stride, dilation) = (two(random, 3), two(random, 3));
    let mut padding = [random.below(9) as usize, random.below(9) as usize];
    let pointwise = random.below(4) == 0;
    let [h, w] = two(random, 6);
    let [mut out_h, mut out_w] = two(random, 6);
    if pointwise {
        (kernel, stride, padding, out_h, out_w) = ([1, 1], [1, 1], [0, 0], h, w);
    }
    let (c_in, c_out, groups) = if depthwise {
        let c = size(random, if deep { 70 } else { 9 });
        (c, c * [1, 1, 1, 2, 3][random.below(5) as usize], c)
    } else {
        let groups = if int4 { 1 } else { [1, 1, 2, 3][random.below(4) as usize] };
        // Now and then more weights of four bits than are unpacked at once.
        let (ends_in, ends_out) = if deep { (40, if int4 { 70 } else { 20 }) } else { (9, 5) };
        (groups * size(random, ends_in), groups * size(random, ends_out), groups)
    };
    let n = size(random, 2);
    let (from, to) = ([n, h, w, c_in], [n, out_h, out_w, c_out]);
    let (zp_in, zp_out, activation) = (zero_point(random), zero_point(random), activation(random));
    let channels: Vec<_> = (0..c_out).map(|_| channel(random, zp_out)).collect();
    let (taps, c_group, rows) = (kernel[0] * kernel[1], c_in / groups, c_out / groups);
    let order = MatrixOrder { family, rows, k: taps * c_group, dense: false };
    let window = WindowOrder { family, taps, channels: c_out };
    let bytes = if depthwise { window.bytes() } else { order.bytes() * groups };
    let flips = if depthwise { [0; 2] } else { order.flips() };
    let mut weights = random.stored(bytes, flips);
    if int4 {
        make_nibbles(&mut weights, flips);
    }
    let group = |o: usize| &weights[o / rows * order.bytes()..];
    let weight = |o: usize, tap: usize, i: usize| {
        i64::from(if depthwise {
            weights[window.index(tap, o)]
        } else {
            order.weight(group(o), o % rows, tap * c_group + i)
        })
    };
    let input = random.vec(from.iter().product());
    let expected = indices(to).map(|[n, y, x, o]| {
        let mut acc = i64::from(channels[o].bias);
        if !depthwise {
            acc -= i64::from(order.folded(group(o), o % rows));
        }
        for tap in 0..taps {
            let position = |axis: usize, o: usize, tap: usize| {
                (o * stride[axis] + tap * dilation[axis])
                    .checked_sub(padding[axis])
                    .filter(|&p| p < from[1 + axis])
            };
            let at = position(0, y, tap / kernel[1]).zip(position(1, x, tap % kernel[1]));
            for i in 0..c_group {
                let value = at.map_or(zp_in, |(y, x)| input[index(from, [n, y, x, o / rows * c_group + i])]);
                acc += i64::from(value) * weight(o, tap, i);
            }
        }
        requantized(acc, &channels[o], activation)
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor(from, zp_in), builder.tensor(to, zp_out));
    let small = |pair: [usize; 2]| pair.map(|x| x as u16);
    let mut params = Conv2dParams {
        kernel: small(kernel),
        stride: small(stride),
        dilation: small(dilation),
        padding: small(padding),
        groups: groups as u32,
        activation_min: activation.0,
        activation_max: activation.1,
        reserved: 0,
        weights: if int4 { builder.data(&packed(&weights, flips)) } else { builder.data(&weights) },
        channels: builder.data(&channels),
        scratch: DataRef { offset: 0, bytes: 0 },
    };
    let rule = match code {
        OpCode::Conv2d => Conv2d::scratch_bytes,
        OpCode::Conv2dInt4 => Conv2dInt4::scratch_bytes,
        OpCode::DepthwiseConv2dInt4 => DepthwiseConv2dInt4::scratch_bytes,
        _ => DepthwiseConv2d::scratch_bytes,
    };
    params.scratch = builder.arena(rule(family, &params, from.map(|d| d as u32), to.map(|d| d as u32)));
    builder.op(code, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}

pub(super) fn fully_connected(code: OpCode, family: Family, random: &mut Bytes) -> Case {
    let longest = if random.below(4) == 0 { 600 } else { 40 };
    let (k, rows) =
        (size(random, longest), size(random, if code == OpCode::FullyConnectedInt4 { 20 } else { 9 }));
    let (zp_in, zp_out, activation) = (zero_point(random), zero_point(random), activation(random));
    let order = MatrixOrder { family, rows, k, dense: true };
    let (mut weights, input) = (random.stored(order.bytes(), order.flips()), random.vec(k));
    let int4 = code == OpCode::FullyConnectedInt4;
    if int4 {
        make_nibbles(&mut weights, order.flips());
    }
    let channels: Vec<_> = (0..rows).map(|_| channel(random, zp_out)).collect();
    let expected = (0..rows).map(|o| {
        let product = |i: usize| i64::from(input[i]) * i64::from(order.weight(&weights, o, i));
        let start = i64::from(channels[o].bias) - i64::from(order.folded(&weights, o));
        let acc = start + (0..k).map(product).sum::<i64>();
        requantized(acc, &channels[o], activation)
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor([1, 1, 1, k], zp_in), builder.tensor([1, 1, 1, rows], zp_out));
    let stored = if int4 { packed(&weights, order.flips()) } else { weights };
    let params = FullyConnectedParams {
        weights: builder.data(&stored),
        channels: builder.data(&channels),
        activation_min: activation.0,
        activation_max: activation.1,
        reserved: 0,
    };
    if int4 {
        let scratch = builder.arena(FullyConnectedInt4::scratch_bytes(family, k, rows));
        builder.op(code, FullyConnectedInt4Params { dense: params, scratch }, &[a], &[b]);
    } else {
        builder.op(code, params, &[a], &[b]);
    }
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}

/// Leaves weights of four bits, sixteen times as large.
fn make_nibbles(stored: &mut [i8], flips: [i8; 2]) {
    for (place, byte) in stored.iter_mut().enumerate() {
        let weight = ((*byte ^ flips[place % 2]) & -16).max(-112);
        *byte = weight ^ flips[place % 2];
    }
}

/// Two stored bytes in one, eight at a time.
fn packed(stored: &[i8], flips: [i8; 2]) -> Vec<i8> {
    let byte = |place: usize| stored.get(place).copied().unwrap_or(flips[place % 2]) as u8;
    let pair = |i: usize| (byte(i / 4 * 8 + i % 4) >> 4 | byte(i / 4 * 8 + 4 + i % 4) & 0xf0) as i8;
    (0..stored.len().div_ceil(8) * 4).map(pair).collect()
}

pub(super) fn pool(code: OpCode, family: Family, random: &mut Bytes) -> Case {
    let from = shape(random);
    let to = [from[0], size(random, 5), size(random, 5), from[3]];
    let pair = |random: &mut Bytes, end| [size(random, end), size(random, end)];
    let (kernel, stride) = (pair(random, 5), pair(random, 3));
    let padding = [random.below(6) as usize, random.below(6) as usize];
    let (count_padding, ties_away) = (random.below(2), random.below(2) == 1);
    let (zero_point, activation, input) =
        (zero_point(random), activation(random), random.vec(from.iter().product()));
    let expected = indices(to).map(|[n, y, x, c]| {
        let taps = (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx)));
        let inside: Vec<i64> = taps
            .filter_map(|(ky, kx)| {
                let y = (y * stride[0] + ky).checked_sub(padding[0]).filter(|&y| y < from[1])?;
                let x = (x * stride[1] + kx).checked_sub(padding[1]).filter(|&x| x < from[2])?;
                Some(i64::from(input[index(from, [n, y, x, c])]))
            })
            .collect();
        let (mut sum, mut count) = (inside.iter().sum::<i64>(), inside.len() as i64);
        if count_padding == 1 {
            let all = (kernel[0] * kernel[1]) as i64;
            sum += (all - count) * i64::from(zero_point);
            count = all;
        }
        let q = match (code, count) {
            (OpCode::MaxPool2d, _) => inside.iter().max().copied().unwrap_or(zero_point.into()),
            (_, 0) => zero_point.into(),
            // Rounded as reals are, which is another formula than the kernel's.
            _ if ties_away => (sum as f64 / count as f64).round() as i64,
            _ => (sum as f64 / count as f64 + 0.5).floor() as i64,
        };
        clamp(q, activation)
    });
    let expected = expected.collect();
    let mut builder = PlanBuilder::new(family);
    let (a, b) = (builder.tensor(from, zero_point), builder.tensor(to, zero_point));
    let params = Pool2dParams {
        kernel: kernel.map(|x| x as u16),
        stride: stride.map(|x| x as u16),
        padding: padding.map(|x| x as u16),
        count_padding: count_padding as u8,
        ties_away: ties_away.into(),
        activation_min: activation.0,
        activation_max: activation.1,
    };
    builder.op(code, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    Case { builder, inputs: vec![input], expected }
}
