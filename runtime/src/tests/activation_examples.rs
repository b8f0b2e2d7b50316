//! Examples by hand of operators on activations alone, on four-bit weights and on int16.

use super::builder::{PlanBuilder, run};
use super::examples::one;
use crate::format::*;

/// Runs a plan of one op whose inputs have these shapes, zero points and contents.
fn op<P: bytemuck::NoUninit>(
    code: OpCode,
    inputs: &[([usize; 4], i8, &[i8])],
    (shape, zero_point): ([usize; 4], i8),
    params: impl FnOnce(&mut PlanBuilder) -> P,
) -> Vec<i8> {
    let mut builder = PlanBuilder::new(Family::Portable);
    let tensors: Vec<u16> = inputs.iter().map(|&(shape, zp, _)| builder.tensor(shape, zp)).collect();
    let output = builder.tensor(shape, zero_point);
    if code == OpCode::ArgMax {
        builder.tensors[usize::from(output)].scale = 1.0;
    }
    let params = params(&mut builder);
    builder.op(code, params, &tensors, &[output]);
    builder.io(&tensors, &[output]);
    let data: Vec<Vec<i8>> = inputs.iter().map(|(_, _, data)| data.to_vec()).collect();
    run(&builder.build(), &data).remove(0)
}

#[test]
fn mul_repeats_its_second_operand() {
    // Reals (1, 2), (3, 4) about 10 times (5, −6) about −1, plus 3.
    let a: &[i8] = &[11, 12, 13, 14];
    let params = MulParams { channel: one(0, 3), activation_min: -128, activation_max: 20, reserved: 0 };
    let inputs = [([1, 1, 2, 2], 10, a), ([1, 1, 1, 2], -1, &[4, -7])];
    let out = op(OpCode::Mul, &inputs, ([1, 1, 2, 2], 3), |_| params);
    assert_eq!(out, [5 + 3, -12 + 3, 18, -24 + 3]);
}

#[test]
fn prelu_has_a_slope_for_each_channel() {
    // Shift 1: factor 2 keeps x, slopes 1 and −4 halve it and turn it to −2 · x.
    let out =
        op(OpCode::PRelu, &[([1, 1, 2, 2], 5, &[9, 9, 1, 1])], ([1, 1, 2, 2], -3), |builder| PReluParams {
            slopes: builder.data(&[1i32, -4]),
            multiplier: 2,
            offset: (-3 << 1) + 1,
            shift: 1,
            reserved: [0; 3],
        });
    assert_eq!(out, [4 - 3, 4 - 3, -2 - 3, 8 - 3]);
}

#[test]
fn mat_mul_reads_both_along_their_rows() {
    // (1, 2) · (3, 4) = 11 and (1, 2) · (−5, 6) = 7.
    let inputs: [([usize; 4], i8, &[i8]); 2] =
        [([1, 1, 1, 2], 1, &[2, 3]), ([1, 1, 2, 2], 0, &[3, 4, -5, 6])];
    let params = MatMulParams { channel: one(0, 2), activation_min: -128, activation_max: 127, reserved: 0 };
    assert_eq!(op(OpCode::MatMul, &inputs, ([1, 1, 1, 2], 2), |_| params), [13, 9]);
}

#[test]
fn layer_norm_of_two_values_is_plus_and_minus_one() {
    // mean 5, deviation 3; scale 10 and offset 1: 1 ± 10. The second row is constant, which leaves the offset.
    let shape = [1, 1, 2, 2];
    let out = op(OpCode::LayerNorm, &[(shape, 7, &[2, 8, 4, 4])], (shape, 0), |builder| {
        // shift 10: multiplier 10 · 2¹¹, offset (0 + 1 + ½) · 2¹⁰.
        let record = NormRecord { multiplier: 10 << 11, offset: 3 << 9 };
        LayerNormParams { channels: builder.data(&[record; 2]), epsilon: [0; 2], shift: 10, reserved: [0; 3] }
    });
    assert_eq!(out, [-9, 11, 1, 1]);
}

#[test]
fn gather_picks_in_the_order_of_its_indices() {
    let out = op(OpCode::Gather, &[([1, 1, 3, 2], 0, &[1, 2, 3, 4, 5, 6])], ([1, 1, 4, 2], 0), |builder| {
        GatherParams { indices: builder.data(&[2u16, 0, 0, 1]), axis: 2, reserved: [0; 3] }
    });
    assert_eq!(out, [5, 6, 1, 2, 1, 2, 3, 4]);
}

#[test]
fn resize_linear_rounds_once() {
    // Columns 0, a quarter of the way, and the last: 10, 10 + 11 ⁄ 4 = 12.75, 21.
    let tap = |low, high, share| TapRecord { low, high, share, reserved: 0 };
    let out = op(OpCode::ResizeLinear, &[([1, 1, 2, 1], 0, &[10, 21])], ([1, 1, 3, 1], 0), |builder| {
        let rows = builder.data(&[tap(0, 0, 0)]);
        let columns = builder.data(&[tap(0, 1, 0), tap(0, 1, 512), tap(0, 1, 2048)]);
        ResizeLinearParams { rows, columns }
    });
    assert_eq!(out, [10, 13, 21]);
}

#[test]
fn arg_max_takes_the_first_or_the_last_of_equals() {
    let place = |last| {
        let params = ArgMaxParams { last, reserved: [0; 3] };
        op(OpCode::ArgMax, &[([1, 1, 1, 4], 0, &[1, 9, 9, -3])], ([1, 1, 1, 1], -128), |_| params)
    };
    assert_eq!([place(0), place(1)], [[-127], [-126]]);
}

#[test]
fn four_bit_weights_count_sixteenfold() {
    // Weights (1, −2) as 16 and −32, packed into the lower halves; reals (3, 5): 16 · (3 − 10) = −112.
    let out = op(OpCode::FullyConnectedInt4, &[([1, 1, 1, 2], 0, &[3, 5])], ([1, 1, 1, 1], 0), |builder| {
        let dense = FullyConnectedParams {
            weights: builder.data(&[0x01i8, 0x0e, 0, 0]),
            channels: builder.data(&[one(0, 0)]),
            activation_min: -128,
            activation_max: 127,
            reserved: 0,
        };
        FullyConnectedInt4Params { dense, scratch: builder.arena(16) }
    });
    assert_eq!(out, [-112]);
}

#[test]
fn sixteen_bits_hold_what_eight_do_not() {
    // 100 becomes 25,600 in int16; times weight 3 and plus 200, over 1,000: 77.
    let mut builder = PlanBuilder::new(Family::Portable);
    let shape = [1, 1, 1, 1];
    let (input, output) = (builder.tensor(shape, 0), builder.tensor(shape, -7));
    let (wide, product) = (builder.tensor16(shape), builder.tensor16(shape));
    let record =
        |bias: u32, multiplier, shift| WideRecord { bias: [bias, 0], multiplier, shift, reserved: [0; 3] };
    builder.op(OpCode::Convert, ConvertParams { record: record(0, 512, 1) }, &[input], &[wide]);
    let params = Conv2d16Params {
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        padding: [0, 0],
        groups: 1,
        activation_min: -i16::MAX,
        activation_max: i16::MAX,
        weights: builder.data(&[3i8]),
        // A quarter: 77,000 ⁄ 4 = 19,250.
        channels: builder.data(&[record(200, 1, 2)]),
    };
    builder.op(OpCode::Conv2d16, params, &[wide], &[product]);
    // 1 ⁄ 250 as 67,109 ⁄ 2²⁴.
    builder.op(OpCode::Convert, ConvertParams { record: record(0, 67_109, 24) }, &[product], &[output]);
    builder.io(&[input], &[output]);
    assert_eq!(run(&builder.build(), &[vec![100]]), [[77 - 7]]);
}
