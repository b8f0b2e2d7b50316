//! One example per operator, computed by hand.

use super::builder::{PlanBuilder, run};
use super::cases::record;
use crate::format::*;

/// m = 2³⁰ with this shift and left shift scales by 1 exactly: 2³⁰ · 2³ ⁄ 2³³.
pub(super) fn one(bias: i32, zero_point: i8) -> ChannelRecord {
    ChannelRecord { left: 3, ..record(bias, 1 << 30, 1, zero_point) }
}

/// Runs one op of one input.
fn unary<P: bytemuck::NoUninit>(
    code: OpCode,
    (from, zp_in): ([usize; 4], i8),
    (to, zp_out): ([usize; 4], i8),
    input: &[i8],
    params: impl FnOnce(&mut PlanBuilder) -> P,
) -> Vec<i8> {
    let mut builder = PlanBuilder::new(Family::Portable);
    let (a, b) = (builder.tensor(from, zp_in), builder.tensor(to, zp_out));
    let params = params(&mut builder);
    builder.op(code, params, &[a], &[b]);
    builder.io(&[a], &[b]);
    run(&builder.build(), &[input.to_vec()]).remove(0)
}

fn window(
    builder: &mut PlanBuilder,
    groups: u32,
    weights: &[i8],
    channels: &[ChannelRecord],
) -> Conv2dParams {
    Conv2dParams {
        kernel: [1, 2],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [0, 1],
        groups,
        activation_min: -128,
        activation_max: 127,
        reserved: 0,
        weights: builder.data(weights),
        channels: builder.data(channels),
        scratch: builder.arena(2),
    }
}

#[test]
fn conv2d_reads_padding_as_the_zero_point() {
    // Reals 1, 2, 3 about zero point 5; weights (2, 10): 0·2 + 1·10, 1·2 + 2·10, 2·2 + 3·10, 3·2 + 0·10.
    let out = unary(OpCode::Conv2d, ([1, 1, 3, 1], 5), ([1, 1, 4, 1], -7), &[6, 7, 8], |builder| {
        window(builder, 1, &[2, 10], &[one(-5 * 12, -7)])
    });
    assert_eq!(out, [10 - 7, 22 - 7, 34 - 7, 6 - 7]);
}

#[test]
fn depthwise_conv2d_keeps_channels_apart() {
    // Channels (1, 10), (2, 20); taps (1, 2) for channel 0 and (3, -1) for channel 1.
    let out =
        unary(OpCode::DepthwiseConv2d, ([1, 1, 2, 2], 0), ([1, 1, 2, 2], 0), &[1, 10, 2, 20], |builder| {
            window(builder, 2, &[1, 3, 2, -1], &[one(0, 0), one(0, 0)])
        });
    assert_eq!(out, [2, -10, 1 + 4, 30 - 20]);
}

#[test]
fn fully_connected_clamps_to_the_activation() {
    let out = unary(OpCode::FullyConnected, ([1, 1, 1, 3], 0), ([1, 1, 1, 2], 0), &[1, 2, 3], |builder| {
        FullyConnectedParams {
            weights: builder.data(&[1i8, 1, 1, 10, 10, -10]),
            channels: builder.data(&[one(4, 0), one(-50, 0)]),
            activation_min: -20,
            activation_max: 9,
            reserved: 0,
        }
    });
    assert_eq!(out, [9, -20], "10 and -50 lie outside");
}

#[test]
fn add_rounds_half_up() {
    // (a + b) ⁄ 2 as (2·a + 2·b + 2) >> 2.
    let mut builder = PlanBuilder::new(Family::Portable);
    let tensors = [(); 3].map(|()| builder.tensor([1, 1, 1, 4], 0));
    let (activation_min, activation_max) = (-128, 127);
    let params =
        AddParams { multipliers: [2, 2], offset: 2, shift: 2, reserved: 0, activation_min, activation_max };
    builder.op(OpCode::Add, params, &tensors[..2], &tensors[2..]);
    builder.io(&tensors[..2], &tensors[2..]);
    let out = run(&builder.build(), &[vec![1, -1, 3, 127], vec![2, -2, 4, 127]]);
    assert_eq!(out, [[2, -1, 4, 127]], "1.5, -1.5, 3.5, 127");
}

fn pool(count_padding: u8) -> Pool2dParams {
    Pool2dParams {
        kernel: [1, 2],
        stride: [1, 2],
        padding: [0, 1],
        count_padding,
        ties_away: 0,
        activation_min: -128,
        activation_max: 127,
    }
}

#[test]
fn average_pool2d_counts_padding_only_where_told() {
    let run = |count_padding| {
        let shape = ([1, 1, 3, 1], 4);
        unary(OpCode::AveragePool2d, shape, ([1, 1, 3, 1], 4), &[7, -3, -4], |_| pool(count_padding))
    };
    assert_eq!(run(0), [7, -3, 4], "floor(-3.5 + 0.5); the last window is empty");
    assert_eq!(run(1), [6, -3, 4], "5.5 rounds up");
    let away = Pool2dParams { ties_away: 1, ..pool(0) };
    let shape = ([1, 1, 3, 1], 4);
    let out = unary(OpCode::AveragePool2d, shape, ([1, 1, 2, 1], 4), &[8, -3, -4], |_| away);
    assert_eq!(out, [8, -4], "-3.5 rounds away from 0");
}

#[test]
fn max_pool2d_ignores_padding() {
    let out = unary(OpCode::MaxPool2d, ([1, 1, 3, 1], 4), ([1, 1, 3, 1], 4), &[-7, -3, -4], |_| pool(0));
    assert_eq!(out, [-7, -3, 4]);
}

#[test]
fn mean_divides_in_its_rounding() {
    // Two pixels of two channels; m = 2³⁰, L = 2 scale by 1/2.
    let channel = ChannelRecord { left: 2, ..record(0, 1 << 30, 1, 10) };
    let params = MeanParams { channel, axes: 0b110, reserved: 0, activation_min: -128, activation_max: 127 };
    let out = unary(OpCode::Mean, ([1, 2, 1, 2], 0), ([1, 1, 1, 2], 10), &[1, 20, 2, 40], |_| params);
    assert_eq!(out, [12, 40], "10 + 1.5 and 10 + 30");
}

#[test]
fn pad_surrounds_with_the_value() {
    let params = PadParams { before: [0, 0, 1, 0], value: 9, reserved: [0; 3] };
    let out = unary(OpCode::Pad, ([1, 1, 2, 1], 0), ([1, 1, 4, 1], 0), &[1, 2], |_| params);
    assert_eq!(out, [9, 1, 2, 9]);
}

#[test]
fn concat_interleaves_inner_axes() {
    let mut builder = PlanBuilder::new(Family::Portable);
    let inputs = [builder.tensor([1, 1, 2, 1], 0), builder.tensor([1, 1, 2, 2], 0)];
    let out = builder.tensor([1, 1, 2, 3], 0);
    builder.op(OpCode::Concat, ConcatParams { axis: 3, reserved: [0; 3] }, &inputs, &[out]);
    builder.io(&inputs, &[out]);
    assert_eq!(run(&builder.build(), &[vec![1, 2], vec![3, 4, 5, 6]]), [[1, 3, 4, 2, 5, 6]]);
}

#[test]
fn softmax_of_equals_is_uniform() {
    let mut table = [0u32; 256];
    table[0] = 1 << 20;
    let out = unary(OpCode::Softmax, ([1, 1, 2, 2], 0), ([1, 1, 2, 2], -128), &[5, 5, 6, 5], |builder| {
        SoftmaxParams { table: builder.data(&table) }
    });
    assert_eq!(out, [0, 0, 127, -128], "one half each; 256/256 saturates to 255/256");
}

#[test]
fn transpose_moves_axes() {
    let params = TransposeParams { permutation: [0, 1, 3, 2] };
    let out = unary(OpCode::Transpose, ([1, 1, 2, 3], 0), ([1, 1, 3, 2], 0), &[1, 2, 3, 4, 5, 6], |_| params);
    assert_eq!(out, [1, 4, 2, 5, 3, 6]);
}

#[test]
fn table_starts_at_the_lowest_input() {
    let entries: [i8; 256] = core::array::from_fn(|i| if i == 0 { 1 } else { 127 - (i / 2) as i8 });
    let out = unary(OpCode::Table, ([1, 1, 1, 3], 0), ([1, 1, 1, 3], 0), &[-128, 0, 127], |builder| {
        TableParams { table: builder.data(&entries) }
    });
    assert_eq!(out, [1, 127 - 64, 0]);
}
