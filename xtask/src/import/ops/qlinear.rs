//! Quantized ONNX in operator form, where its meaning is exact: integers in, scales as inputs of the node, integers out.

use ndarray::ArrayD;
use still8_validation::Result;

use super::conv::{Weights, convolve};
use crate::graph::{Given, Op};
use crate::import::call::{Call, bad};
use crate::import::quantized::{
    activation_quantization, bind_integers, dequantized, integer_type, output_type, quantized, reads_as,
};

/// Inputs x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias (int32 of scale x_scale · w_scale).
pub fn conv(call: &mut Call<'_>) -> Result<()> {
    read_input(call, 0)?;
    let weights = dequantized(call, [3, 4, 5], 0)?;
    let channels = weights.contents.shape().first().copied().unwrap_or(0);
    let given = call.weights_by(&weights.scales, 0, channels);
    let bias = bias(call, 8, &weights.scales.values, channels)?;
    convolve(call, 3, Weights { contents: weights.contents, given }, bias)?;
    write_output(call, 6)
}

/// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point; b is constant.
pub fn mat_mul(call: &mut Call<'_>) -> Result<()> {
    read_input(call, 0)?;
    let weights = dequantized(call, [3, 4, 5], 1)?;
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let (&[k, m], Some(last)) = (weights.contents.shape(), shape.last_mut()) else {
        return bad(format!("weights of shape {:?} are no matrix", weights.contents.shape()));
    };
    if *last != k {
        return bad(format!("input of shape {:?} and weights of shape [{k}, {m}]", call.shape(x)));
    }
    *last = m;
    let given = call.weights_by(&weights.scales, 1, m);
    let weights = call.add_weights(3, weights.contents, given);
    call.emit(Op::MatMul, vec![x, weights], shape)?;
    write_output(call, 6)
}

/// Input `i` holds integers of the scale and zero point behind it.
fn read_input(call: &mut Call<'_>, i: usize) -> Result<()> {
    let id = call.activation(i)?;
    let quantization = activation_quantization(call, i + 1, integer_type(call, i))?;
    reads_as(call, id, quantization)
}

/// The node's output is integers of the scale and zero point at input `at`.
fn write_output(call: &mut Call<'_>, at: usize) -> Result<()> {
    let kind = output_type(call, at + 1)?;
    let quantization = activation_quantization(call, at, kind)?;
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
