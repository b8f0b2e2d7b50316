//! Quantized ONNX in operator form, where its meaning is exact: integers in, scales as inputs of the node, integers out.
//!
//! Of `com.microsoft` but for QLinearConv and QLinearMatMul. Each is the float operator of its name on what the integers
//! stand for, with one rounding at the end.

use ndarray::ArrayD;
use still8_validation::Result;

use super::conv::{Weights, convolve};
use super::{concat, map, pool, softmax as plain_softmax};
use crate::graph::{Given, Op, ValueId};
use crate::import::call::{Call, bad, refuse};
use crate::import::quantized::{
    activation_quantization, bind_integers, dequantized, integer_type, middle, output_type, quantized,
    reads_as,
};
use crate::import::scope::Scales;
use crate::import::shapes::broadcast;

/// Inputs x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias (int32 of scale x_scale · w_scale).
pub fn conv(call: &mut Call<'_>) -> Result<()> {
    read_input(call, 0)?;
    let weights = dequantized(call, [3, 4, 5], 0)?;
    let channels = weights.contents.shape().first().copied().unwrap_or(0);
    let given = call.scope.weights_by(&weights.scales, 0, channels);
    let bias = bias(call, 8, &weights.scales.values, channels)?;
    convolve(call, 3, Weights { contents: weights.contents, given }, bias)?;
    write_output(call, 6)
}

/// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; b is constant.
pub fn mat_mul(call: &mut Call<'_>) -> Result<()> {
    read_input(call, 0)?;
    let weights = dequantized(call, [3, 4, 5], 1)?;
    product(call, 3, weights.contents, weights.scales, None)?;
    write_output(call, 6)
}

/// Inputs a, b, a_scale, b_scale, a_zero_point, b_zero_point, bias; b is constant, the output float.
pub fn mat_mul_integer_to_float(call: &mut Call<'_>) -> Result<()> {
    let id = call.activation(0)?;
    let quantization = activation_quantization(call, [2, 4], integer_type(call, 0))?;
    reads_as(call, id, quantization)?;
    let weights = dequantized(call, [1, 3, 5], 1)?;
    let bias = call.weights(6)?;
    product(call, 1, weights.contents, weights.scales, bias)?;
    call.made_floats()
}

/// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, c (int32 of scale α · a_scale · b_scale), y_scale, y_zero_point;
/// without the last two the output is float.
pub fn gemm(call: &mut Call<'_>) -> Result<()> {
    read_input(call, 0)?;
    let transposed = call.int("transB")?.unwrap_or(0) != 0;
    let weights = dequantized(call, [3, 4, 5], if transposed { 0 } else { 1 })?;
    let alpha = call.float("alpha")?.unwrap_or(1.0);
    if !(alpha.is_normal() && alpha > 0.0) {
        return refuse(format!("attribute alpha={alpha} is not supported; a positive number is"));
    }
    let (mut contents, mut scales) = (weights.contents, weights.scales);
    if contents.ndim() != 2 {
        return bad(format!("weights of shape {:?} are no matrix", contents.shape()));
    }
    if transposed {
        contents = contents.reversed_axes().as_standard_layout().into_owned();
        scales.axis = scales.axis.map(|axis| 1 - axis);
    }
    contents *= alpha;
    scales.values.iter_mut().for_each(|scale| *scale *= alpha);
    let columns = contents.shape()[1];
    let bias = bias(call, 6, &scales.values, columns)?;
    product(call, 3, contents, scales, bias)?;
    if call.input_name(7).is_some() { write_output(call, 7) } else { call.made_floats() }
}

/// x · weights `[k, m]` + bias; `at` is the input that the weights came from.
fn product(
    call: &mut Call<'_>,
    at: usize,
    contents: ArrayD<f32>,
    scales: Scales,
    bias: Option<ArrayD<f32>>,
) -> Result<()> {
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let (&[k, m], Some(last)) = (contents.shape(), shape.last_mut()) else {
        return bad(format!("weights of shape {:?} are no matrix", contents.shape()));
    };
    if *last != k {
        return bad(format!("input of shape {:?} and weights of shape [{k}, {m}]", call.shape(x)));
    }
    *last = m;
    if bias.as_ref().is_some_and(|bias| bias.shape() != [m]) {
        return bad(format!("the bias is not one number for each of {m} columns"));
    }
    let given = call.scope.weights_by(&scales, 1, m);
    let mut inputs = vec![x, call.add_weights(at, contents, given)];
    inputs.extend(bias.map(|bias| call.add_vector("bias", bias.into_iter().collect())));
    call.emit(Op::MatMul, inputs, shape)
}

/// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; one of a and b may be constant.
fn pair(call: &mut Call<'_>, op: Op) -> Result<()> {
    let operands = [operand(call, 0)?, operand(call, 3)?];
    if operands.iter().all(|&id| call.scope.graph.constant(id).is_some()) {
        return refuse("both inputs are constant; fold it before the export");
    }
    let shape = broadcast(&call.shape(operands[0]), &call.shape(operands[1]))?;
    call.emit(op, operands.to_vec(), shape)?;
    write_output(call, 6)
}

/// a + b.
pub fn add(call: &mut Call<'_>) -> Result<()> {
    pair(call, Op::Add)
}

/// a · b.
pub fn mul(call: &mut Call<'_>) -> Result<()> {
    pair(call, Op::Mul)
}

/// Inputs x, x_scale, x_zero_point, y_scale, y_zero_point; `build` adds the float operator on input 0.
fn single(call: &mut Call<'_>, build: impl FnOnce(&mut Call<'_>) -> Result<()>) -> Result<()> {
    read_input(call, 0)?;
    build(call)?;
    write_output(call, 3)
}

/// Sigmoid.
pub fn sigmoid(call: &mut Call<'_>) -> Result<()> {
    single(call, map::sigmoid)
}

/// LeakyRelu.
pub fn leaky_relu(call: &mut Call<'_>) -> Result<()> {
    single(call, map::leaky_relu)
}

/// AveragePool.
pub fn average_pool(call: &mut Call<'_>) -> Result<()> {
    single(call, pool::average)
}

/// GlobalAveragePool.
pub fn global_average_pool(call: &mut Call<'_>) -> Result<()> {
    single(call, pool::global_average)
}

/// Softmax by the rules of the operator set that an attribute names.
pub fn softmax(call: &mut Call<'_>) -> Result<()> {
    let opset = call.int("opset")?.unwrap_or(call.scope.opset);
    single(call, |call| plain_softmax::by_opset(call, opset))
}

/// Inputs y_scale, y_zero_point, then x, x_scale and x_zero_point of each part.
pub fn concat(call: &mut Call<'_>) -> Result<()> {
    if call.node.input.len() < 5 || call.node.input.len() % 3 != 2 {
        return bad(format!("{} inputs are no parts with scale and zero point", call.node.input.len()));
    }
    let parts = (2..call.node.input.len()).step_by(3);
    let parts = parts.map(|i| read_input(call, i)).collect::<Result<Vec<_>>>()?;
    concat::joined(call, parts)?;
    write_output(call, 0)
}

/// Input `i`, integers of the scale and zero point behind it.
fn read_input(call: &mut Call<'_>, i: usize) -> Result<ValueId> {
    let id = call.activation(i)?;
    let quantization = activation_quantization(call, [i + 1, i + 2], integer_type(call, i))?;
    reads_as(call, id, quantization)?;
    Ok(id)
}

/// [`read_input`], or a constant one with its scale and zero point.
fn operand(call: &mut Call<'_>, i: usize) -> Result<ValueId> {
    if !call.is_constant(i) {
        return read_input(call, i);
    }
    let constant = dequantized(call, [i, i + 1, i + 2], 0)?;
    let given = Scales { middle: middle(integer_type(call, i)), ..constant.scales }.operand();
    Ok(call.add_weights(i, constant.contents, given))
}

/// The node's output is integers of the scale and zero point at input `at`.
fn write_output(call: &mut Call<'_>, at: usize) -> Result<()> {
    let kind = output_type(call, at + 1)?;
    let quantization = activation_quantization(call, [at, at + 1], kind)?;
    let output = call.bound_output()?;
    // What the node computes moved no integers: it has no quantization yet.
    call.scope.graph.values[output].given = None;
    let id = quantized(call, output, quantization)?;
    debug_assert_eq!(call.scope.graph.values[id].given, Some(Given::Activation(quantization)));
    bind_integers(call, id, kind);
    Ok(())
}

/// The int32 bias of input `i` as floats.
fn bias(call: &Call<'_>, i: usize, scales: &[f32], channels: usize) -> Result<Option<ArrayD<f32>>> {
    let Some(integers) = call.integers(i)? else {
        return Ok(None);
    };
    let Some(x_scale) = call.number(1)? else {
        return bad("the input's scale is missing");
    };
    if integers.len() != channels {
        return bad(format!("a bias of {} numbers for {channels} output channels", integers.len()));
    }
    let scale = |c: usize| if scales.len() == 1 { scales[0] } else { scales.get(c).copied().unwrap_or(0.0) };
    let bias = integers
        .iter()
        .enumerate()
        .map(|(c, &q)| (q as f64 * f64::from(x_scale) * f64::from(scale(c))) as f32);
    Ok(Some(ndarray::Array1::from_iter(bias).into_dyn()))
}
