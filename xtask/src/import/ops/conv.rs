//! Conv over one or two spatial axes.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};
use crate::import::shapes::sizes;
use crate::import::window::{kernel_shape, window};

/// Σ weights · window of x, plus bias.
pub fn conv(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let weights = call.required_weights(1)?;
    let (&[n, c_in, ref spatial @ ..], &[c_out, per_group, ref kernel @ ..]) =
        (shape.as_slice(), weights.shape())
    else {
        return bad(format!("input of shape {shape:?} and weights of shape {:?}", weights.shape()));
    };
    if spatial.len() > 2 {
        return refuse(format!("{} spatial axes; one or two are supported", spatial.len()));
    }
    if spatial.is_empty() || kernel.len() != spatial.len() {
        return bad(format!("input of shape {shape:?} and weights of shape {:?}", weights.shape()));
    }
    if call.ints("kernel_shape")?.is_some() && kernel_shape(call)? != kernel {
        return bad(format!("attribute kernel_shape does not fit weights of shape {:?}", weights.shape()));
    }
    let groups = sizes(&[call.int("group")?.unwrap_or(1)], "attribute group")?[0];
    if groups == 0 || per_group.checked_mul(groups) != Some(c_in) || c_out % groups != 0 {
        let channels = "input channels and weights of shape";
        return bad(format!("{c_in} {channels} {:?} in {groups} groups", weights.shape()));
    }
    let bias = call.weights(2)?;
    if bias.as_ref().is_some_and(|bias| bias.shape() != [c_out]) {
        return bad(format!("the bias is not one number for each of {c_out} output channels"));
    }
    let (window, out) = window(call, kernel, spatial)?;
    let output = [vec![n, c_out], out].concat();
    let given = call.given_weights(1, 0, c_out);
    let mut inputs = vec![x, call.add_weights(1, weights, given)];
    inputs.extend(bias.map(|bias| call.add_constant(2, bias)));
    call.emit(Op::Conv { window, groups }, inputs, output)
}
