//! Conv over one or two spatial axes.

use ndarray::ArrayD;
use still8_validation::Result;

use crate::graph::{Given, Op};
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes::sizes;
use crate::import::window::{kernel_shape, window};

/// Σ weights · window of x, plus bias.
pub fn conv(call: &mut Call<'_>) -> Result<()> {
    let weights = call.required_weights(1)?;
    let given = call.given_weights(1, 0, weights.shape().first().copied().unwrap_or(0));
    let bias = call.weights(2)?;
    convolve(call, 1, Weights { contents: weights, given }, bias)
}

/// Weights with the quantization that the file gives them.
pub(super) struct Weights {
    /// `[c_out, c_in / groups, (kh,) kw]`.
    pub contents: ArrayD<f32>,
    /// Their quantization.
    pub given: Option<Given>,
}

/// The convolution of input 0; `at` is the input that the weights came from.
pub(super) fn convolve(
    call: &mut Call<'_>,
    at: usize,
    Weights { contents: weights, given }: Weights,
    bias: Option<ArrayD<f32>>,
) -> Result<()> {
    let x = call.activation(0)?;
    let (op, output) = geometry(call, &call.shape(x), weights.shape())?;
    let c_out = output[1];
    if bias.as_ref().is_some_and(|bias| bias.shape() != [c_out]) {
        return bad(format!("the bias is not one number for each of {c_out} output channels"));
    }
    let mut inputs = vec![x, call.add_weights(at, weights, given)];
    inputs.extend(bias.map(|bias| call.add_vector("bias", bias.into_iter().collect())));
    call.emit(op, inputs, output)
}

/// The operator by the node's attributes, and the output's shape.
pub(in crate::import) fn geometry(
    call: &Call<'_>,
    shape: &[usize],
    weights: &[usize],
) -> Result<(Op, Vec<usize>)> {
    let (&[n, c_in, ref spatial @ ..], &[c_out, per_group, ref kernel @ ..]) = (shape, weights) else {
        return bad(format!("input of shape {shape:?} and weights of shape {weights:?}"));
    };
    if spatial.len() > 2 {
        return refuse(format!("{} spatial axes; one or two are supported", spatial.len()));
    }
    if spatial.is_empty() || kernel.len() != spatial.len() {
        return bad(format!("input of shape {shape:?} and weights of shape {weights:?}"));
    }
    if call.ints("kernel_shape")?.is_some() && kernel_shape(call)? != kernel {
        return bad(format!("attribute kernel_shape does not fit weights of shape {weights:?}"));
    }
    let groups = sizes(&[call.int("group")?.unwrap_or(1)], "attribute group")?[0];
    if groups == 0 || per_group.checked_mul(groups) != Some(c_in) || c_out % groups != 0 {
        let channels = "input channels and weights of shape";
        return bad(format!("{c_in} {channels} {weights:?} in {groups} groups"));
    }
    let (window, out) = window(call, kernel, spatial)?;
    Ok((Op::Conv { window, groups }, [vec![n, c_out], out].concat()))
}
