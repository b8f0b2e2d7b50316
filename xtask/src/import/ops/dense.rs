//! MatMul with constant weights on one side, and Gemm; products of activations are in `batch.rs`.

use ndarray::{ArrayD, Ix2};
use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};
use crate::import::ops::batch;

/// x · W, W · x or x · y.
pub fn mat_mul(call: &mut Call<'_>) -> Result<()> {
    let ranks = [0, 1].map(|i| call.weights(i).ok().flatten().map(|weights| weights.ndim()));
    match ranks {
        [Some(2), _] => weights_first(call),
        [_, Some(2)] => weights_second(call),
        _ => batch::mat_mul(call),
    }
}

fn weights_second(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let mut shape = call.shape(x);
    let weights = matrix(call, 1)?;
    let (&[k, m], Some(last)) = (weights.shape(), shape.last_mut()) else {
        return bad("one side has no axes");
    };
    if *last != k {
        return bad(format!("input of shape {:?} and weights of shape [{k}, {m}]", call.shape(x)));
    }
    *last = m;
    let given = call.given_weights(1, 1, m);
    let weights = call.add_weights(1, weights, given);
    call.emit(Op::MatMul, vec![x, weights], shape)
}

/// W · x = (xᵀ · Wᵀ)ᵀ.
fn weights_first(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(1)?;
    let shape = call.shape(x);
    let weights = matrix(call, 0)?;
    let &[m, k] = weights.shape() else {
        return bad("the weights have no two axes");
    };
    let &[ref lead @ .., rows, n] = shape.as_slice() else {
        return refuse(format!("weights times an activation of shape {shape:?}"));
    };
    if rows != k {
        return bad(format!("weights of shape [{m}, {k}] and input of shape {shape:?}"));
    }
    let mut permutation: Vec<_> = (0..shape.len()).collect();
    permutation.swap(lead.len(), lead.len() + 1);
    let swap = Op::Transpose { permutation };
    let given = call.given_weights(0, 0, m);
    let weights = weights.reversed_axes().as_standard_layout().into_owned();
    let weights = call.add_weights(0, weights, given);
    let x = call.emit_step("transposed", swap.clone(), vec![x], [lead, &[n, k]].concat())?;
    let product = call.emit_step("product", Op::MatMul, vec![x, weights], [lead, &[n, m]].concat())?;
    call.emit(swap, vec![product], [lead, &[m, n]].concat())
}

/// Constant input `i` as a matrix.
fn matrix(call: &Call<'_>, i: usize) -> Result<ArrayD<f32>> {
    let weights = call.required_weights(i)?;
    match weights.ndim() {
        2 => Ok(weights),
        1 => refuse("the weights are a vector; give them a second axis of size 1"),
        _ => refuse(format!("the weights of shape {:?} are more than one matrix", weights.shape())),
    }
}

/// α · A · B + β · C, A and B transposed or not.
pub fn gemm(call: &mut Call<'_>) -> Result<()> {
    if !call.is_constant(1) {
        return batch::gemm(call);
    }
    let x = batch::left(call)?;
    let &[n, k] = call.shape(x).as_slice() else {
        return bad(format!("input 0 of shape {:?} is no matrix", call.shape(x)));
    };
    let alpha = call.float("alpha")?.unwrap_or(1.0);
    let Ok(mut weights) = call.required_weights(1)?.into_dimensionality::<Ix2>() else {
        return bad("input 1 is no matrix");
    };
    let transposed = call.int("transB")?.unwrap_or(0) != 0;
    if transposed {
        weights = weights.reversed_axes();
    }
    let (rows, m) = weights.dim();
    if rows != k {
        return bad(format!("input of shape [{n}, {k}] and weights of {rows} rows"));
    }
    let weights = scaled(weights.as_standard_layout().into_owned().into_dyn(), alpha, "alpha")?;
    let given = call.given_weights(1, usize::from(!transposed), m).filter(|_| alpha == 1.0);
    let mut inputs = vec![x, call.add_weights(1, weights, given)];
    let beta = call.float("beta")?.unwrap_or(1.0);
    if call.input_name(2).is_none() || beta == 0.0 {
        return call.emit(Op::MatMul, inputs, vec![n, m]);
    }
    if call.is_constant(2)
        && let Some(bias) = call.weights(2)?
        && let Some(row) = bias_row(&bias, n, m)?
    {
        let bias = scaled(row, beta, "beta")?;
        inputs.push(call.add_constant(2, bias));
        return call.emit(Op::MatMul, inputs, vec![n, m]);
    }
    let product = call.emit_step("product", Op::MatMul, inputs, vec![n, m])?;
    batch::add_c(call, product, beta)
}

/// Gemm's C as one number for each of `m` columns; `None` where it differs from row to row.
fn bias_row(bias: &ArrayD<f32>, n: usize, m: usize) -> Result<Option<ArrayD<f32>>> {
    let shape = bias.shape();
    match *shape {
        [columns] | [1, columns] if columns == m => {}
        [] | [1] | [1, 1] => {}
        [rows, columns] if rows == n && (columns == m || columns == 1) => return Ok(None),
        _ => {
            return bad(format!("input 2 of shape {shape:?} does not fit a product of shape [{n}, {m}]"));
        }
    }
    let values: Vec<f32> = bias.iter().copied().cycle().take(m).collect();
    Ok(Some(ndarray::Array1::from_vec(values).into_dyn()))
}

pub(super) fn scaled(weights: ArrayD<f32>, factor: f32, name: &str) -> Result<ArrayD<f32>> {
    let scaled = if factor == 1.0 { weights } else { weights.mapv(|weight| weight * factor) };
    match scaled.iter().all(|weight| weight.is_finite()) {
        true => Ok(scaled),
        false => bad(format!("attribute {name}={factor} makes a weight infinite")),
    }
}
