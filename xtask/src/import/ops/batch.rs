//! Products of matrices of activations.

use ndarray::ArrayD;
use still8_validation::Result;

use super::dense::scaled;
use super::movement::picked;
use crate::expression::Expression;
use crate::graph::{Op, ValueId};
use crate::import::call::{Call, bad};
use crate::import::shapes::broadcast;

/// Input `i`, constant or not.
fn operand(call: &mut Call<'_>, i: usize) -> Result<ValueId> {
    if !call.is_constant(i) {
        return call.activation(i);
    }
    let contents: ArrayD<f32> = call.required_weights(i)?;
    Ok(call.add_operand(i, contents))
}

/// x · y as numpy has it: vectors get an axis that the result loses again, leading axes are broadcast.
pub fn mat_mul(call: &mut Call<'_>) -> Result<()> {
    let [mut a, mut b] = [operand(call, 0)?, operand(call, 1)?];
    let [vector_a, vector_b] = [a, b].map(|id| call.shape(id).len() == 1);
    if vector_a {
        let k = call.shape(a)[0];
        a = reshaped(call, a, vec![1, k])?;
    }
    if vector_b {
        let k = call.shape(b)[0];
        b = reshaped(call, b, vec![k, 1])?;
    }
    let (left, right) = (call.shape(a), call.shape(b));
    let (&[ref lead_a @ .., m, k], &[ref lead_b @ .., rows, p]) = (&left[..], &right[..]) else {
        return bad("one side has no axes");
    };
    if k != rows {
        return bad(format!("shapes {left:?} and {right:?} do not fit a product"));
    }
    let lead = broadcast(lead_a, lead_b)?;
    a = expanded(call, a, &[&lead[..], &[m, k]].concat())?;
    b = expanded(call, b, &[&lead[..], &[k, p]].concat())?;
    let mut shape = [&lead[..], &[m, p]].concat();
    if !vector_a && !vector_b {
        return call.emit(Op::BatchMatMul, vec![a, b], shape);
    }
    let product = call.emit_step("product", Op::BatchMatMul, vec![a, b], shape.clone())?;
    if vector_b {
        shape.pop();
    }
    if vector_a {
        shape.remove(lead.len());
    }
    call.emit(Op::Reshape, vec![product], shape)
}

/// α · A · B + β · C of activations.
pub fn gemm(call: &mut Call<'_>) -> Result<()> {
    let alpha = call.float("alpha")?.unwrap_or(1.0);
    let (a, mut b) = (left(call)?, operand(call, 1)?);
    if call.int("transB")?.unwrap_or(0) != 0 {
        b = transposed(call, b)?;
    }
    let (&[n, k], &[rows, m]) = (&call.shape(a)[..], &call.shape(b)[..]) else {
        return bad("its inputs are no matrices");
    };
    if k != rows {
        return bad(format!("shapes [{n}, {k}] and [{rows}, {m}] do not fit a product"));
    }
    let beta = call.float("beta")?.unwrap_or(1.0);
    let has_c = call.input_name(2).is_some() && beta != 0.0;
    if !has_c && alpha == 1.0 {
        return call.emit(Op::BatchMatMul, vec![a, b], vec![n, m]);
    }
    let product = call.emit_step("product", Op::BatchMatMul, vec![a, b], vec![n, m])?;
    if !has_c {
        return call.emit(Op::Map(times(alpha)), vec![product], vec![n, m]);
    }
    let product = match alpha {
        1.0 => product,
        alpha => call.emit_step("scaled", Op::Map(times(alpha)), vec![product], vec![n, m])?,
    };
    add_c(call, product, beta)
}

/// `product` + β · C.
pub fn add_c(call: &mut Call<'_>, product: ValueId, beta: f32) -> Result<()> {
    let c = if call.is_constant(2) {
        let c = scaled(call.required_weights(2)?, beta, "beta")?;
        call.add_constant(2, c)
    } else {
        let c = call.activation(2)?;
        let shape = call.shape(c);
        if beta == 1.0 { c } else { call.emit_step("c", Op::Map(times(beta)), vec![c], shape)? }
    };
    let shape = call.shape(product);
    if broadcast(&shape, &call.shape(c))? != shape {
        return bad(format!(
            "input 2 of shape {:?} does not fit a product of shape {shape:?}",
            call.shape(c)
        ));
    }
    call.emit(Op::Add, vec![product, c], shape)
}

/// Gemm's A, transposed where the node says so.
pub fn left(call: &mut Call<'_>) -> Result<ValueId> {
    let a = operand(call, 0)?;
    if call.int("transA")?.unwrap_or(0) != 0 { transposed(call, a) } else { Ok(a) }
}

fn times(factor: f32) -> Expression {
    Expression::Affine(factor, 0.0, Box::new(Expression::X))
}

fn transposed(call: &mut Call<'_>, id: ValueId) -> Result<ValueId> {
    let &[rows, columns] = &call.shape(id)[..] else {
        return bad(format!("a value of shape {:?} is no matrix", call.shape(id)));
    };
    if let Some(contents) = call.scope.graph.constant(id) {
        let contents = contents.clone().reversed_axes().as_standard_layout().into_owned();
        return Ok(call.scope.add_constant("transposed", contents));
    }
    call.emit_step("transposed", Op::Transpose { permutation: vec![1, 0] }, vec![id], vec![columns, rows])
}

fn reshaped(call: &mut Call<'_>, id: ValueId, shape: Vec<usize>) -> Result<ValueId> {
    if let Some(contents) = call.scope.graph.constant(id) {
        let contents = contents.clone().into_shape_with_order(shape);
        return match contents {
            Ok(contents) => Ok(call.scope.add_constant("matrix", contents)),
            Err(error) => bad(error.to_string()),
        };
    }
    call.emit_step("matrix", Op::Reshape, vec![id], shape)
}

/// The value repeated along leading axes.
fn expanded(call: &mut Call<'_>, id: ValueId, shape: &[usize]) -> Result<ValueId> {
    let own = call.shape(id);
    if own == shape {
        return Ok(id);
    }
    if let Some(contents) = call.scope.graph.constant(id) {
        return match contents.broadcast(shape) {
            Some(contents) => Ok(call.scope.add_constant("expanded", contents.to_owned())),
            None => bad(format!("shape {own:?} cannot become {shape:?}")),
        };
    }
    let aligned = [&vec![1; shape.len() - own.len()][..], &own].concat();
    let id = if aligned == own { id } else { reshaped(call, id, aligned.clone())? };
    let repeated: Vec<(usize, Vec<usize>)> = (0..shape.len())
        .filter(|&axis| aligned[axis] != shape[axis])
        .map(|axis| (axis, vec![0; shape[axis]]))
        .collect();
    picked(call, id, &repeated)
}
