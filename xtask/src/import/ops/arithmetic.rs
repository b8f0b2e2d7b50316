//! Arithmetic on two activations, and on one with a constant: for each channel scale · x + offset, which folds into its neighbours,
//! else a constant operand.

use ndarray::ArrayD;
use still8_validation::{Failure, Result};

use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Op, ValueId};
use crate::import::call::{Call, bad, refuse};
use crate::import::fold::MAX_FOLDED;
use crate::import::scope::Operand;
use crate::import::shapes::broadcast;

/// x + y, x + constant, constant + x.
pub fn add(call: &mut Call<'_>) -> Result<()> {
    if both_activations(call) {
        return pair(call, Op::Add);
    }
    let x = usize::from(call.is_constant(0));
    add_constant(call, x)
}

/// The sum of any number of values.
pub fn sum(call: &mut Call<'_>) -> Result<()> {
    let inputs = (0..call.node.input.len()).map(|i| call.activation(i)).collect::<Result<Vec<_>>>()?;
    let Some((&last, first)) = inputs.split_last() else {
        return bad("it has no input");
    };
    let Some((&start, middle)) = first.split_first() else {
        let shape = call.shape(last);
        return call.emit(Op::Reshape, vec![last], shape);
    };
    let mut total = start;
    for &value in middle {
        let shape = broadcast(&call.shape(total), &call.shape(value))?;
        total = call.emit_step("sum", Op::Add, vec![total, value], shape)?;
    }
    let shape = broadcast(&call.shape(total), &call.shape(last))?;
    call.emit(Op::Add, vec![total, last], shape)
}

/// −x.
pub fn neg(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    scaled(call, x, (-1.0, 0.0))
}

/// scale · x + offset by one expression of each element.
fn scaled(call: &mut Call<'_>, x: ValueId, (scale, offset): (f32, f32)) -> Result<()> {
    let shape = call.shape(x);
    let expression = Expression::Affine(scale, offset, Box::new(Expression::X));
    call.emit(Op::Map(expression), vec![x], shape)
}

/// Two activations, broadcast.
fn pair(call: &mut Call<'_>, op: Op) -> Result<()> {
    let (a, b) = (call.activation(0)?, call.activation(1)?);
    let shape = broadcast(&call.shape(a), &call.shape(b))?;
    call.emit(op, vec![a, b], shape)
}

fn both_activations(call: &Call<'_>) -> bool {
    [0, 1].iter().all(|&i| matches!(call.operand(i), Some(Operand::Activation(_) | Operand::Integers(_))))
}

/// x − y, x − constant, constant − x.
pub fn sub(call: &mut Call<'_>) -> Result<()> {
    if both_activations(call) {
        return pair(call, Op::Sub);
    }
    match call.is_constant(0) {
        true => affine(call, 1, |c| (-1.0, c), Op::Sub),
        false => affine(call, 0, |c| (1.0, -c), Op::Sub),
    }
}

/// x · y, x · constant, constant · x.
pub fn mul(call: &mut Call<'_>) -> Result<()> {
    if both_activations(call) {
        return pair(call, Op::Mul);
    }
    let x = usize::from(call.is_constant(0));
    affine(call, x, |c| (c, 0.0), Op::Mul)
}

/// x ⁄ constant, and by way of the reciprocal x ⁄ y and constant ⁄ x.
pub fn div(call: &mut Call<'_>) -> Result<()> {
    if !call.is_constant(1) {
        let (a, b) = (call.operand(0), call.activation(1)?);
        let shape = call.shape(b);
        let op = Op::Map(Expression::of(Function::Reciprocal));
        let reciprocal = call.emit_step("reciprocal", op, vec![b], shape.clone())?;
        let a = match a {
            Some(Operand::Constant(_)) => {
                let numerator = call.required_weights(0)?;
                call.add_constant(0, numerator)
            }
            _ => call.activation(0)?,
        };
        let shape = broadcast(&call.shape(a), &shape)?;
        return call.emit(Op::Mul, vec![a, reciprocal], shape);
    }
    affine(call, 0, |c| (1.0 / c, 0.0), Op::Mul)
}

/// The activation is input `x`; the other input, a constant c, gives scale and offset by `coefficients`. A constant that is
/// no number for each channel is an operand of `op`: the scale of a product, else c itself.
fn affine(call: &mut Call<'_>, x: usize, coefficients: impl Fn(f32) -> (f32, f32), op: Op) -> Result<()> {
    let id = activation_beside(call, x)?;
    let shape = call.shape(id);
    let constant = call.required_weights(1 - x)?;
    let infinite = |name: &str, i: usize| bad(format!("`{name}` makes channel {i} infinite"));
    let name = call.input_name(1 - x).unwrap_or_default();
    let channels = match per_channel(&constant, &shape) {
        Err(Failure::Unsupported(_)) => {
            if let (1, Some(&c)) = (constant.len(), constant.first())
                && constant.ndim() <= shape.len()
            {
                let (scale, offset) = coefficients(c);
                return if scale.is_finite() { scaled(call, id, (scale, offset)) } else { infinite(name, 0) };
            }
            let shape = broadcast(&shape, constant.shape())?;
            let changed = op == Op::Mul && coefficients(2.0).0 != 2.0;
            let operand = if changed { constant.mapv(|c| coefficients(c).0) } else { constant };
            if let Some(i) = operand.iter().position(|value| !value.is_finite()) {
                return infinite(name, i);
            }
            let operand = match changed {
                true => call.add_constant(1 - x, operand),
                false => call.add_operand(1 - x, operand),
            };
            let operands = if x == 0 { vec![id, operand] } else { vec![operand, id] };
            return call.emit(op, operands, shape);
        }
        channels => channels?,
    };
    let (scale, offset): (Vec<_>, Vec<_>) = channels.into_iter().map(coefficients).unzip();
    if let Some(i) = scale.iter().position(|scale| !scale.is_finite()) {
        return infinite(name, i);
    }
    let scale = call.add_vector("scale", scale);
    let offset = call.add_vector("offset", offset);
    call.emit(Op::ScaleOffset, vec![id, scale, offset], shape)
}

/// x where it is positive, else x times a slope: one a channel, or any that can be repeated along the axes of x.
pub fn prelu(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let slopes = call.required_weights(1)?;
    match per_channel(&slopes, &shape) {
        Ok(channels) => {
            let slopes = call.add_vector("slope", channels);
            call.emit(Op::PRelu, vec![x, slopes], shape)
        }
        Err(Failure::Unsupported(_)) => {
            if broadcast(&shape, slopes.shape())? != shape {
                return bad(format!("slopes of shape {:?} widen x of shape {shape:?}", slopes.shape()));
            }
            let half = |low, high| Op::Clip { low, high };
            let above = call.emit_step("positive", half(0.0, f32::INFINITY), vec![x], shape.clone())?;
            let below = call.emit_step("negative", half(f32::NEG_INFINITY, 0.0), vec![x], shape.clone())?;
            let slopes = call.add_constant(1, slopes);
            let below = call.emit_step("sloped", Op::Mul, vec![below, slopes], shape.clone())?;
            call.emit(Op::Add, vec![above, below], shape)
        }
        Err(other) => Err(other),
    }
}

fn activation_beside(call: &Call<'_>, x: usize) -> Result<ValueId> {
    let id = call.activation(x)?;
    match call.operand(1 - x) {
        Some(Operand::Activation(_)) => {
            refuse("both inputs are activations; only one with a constant, or Add of two, is supported")
        }
        _ => Ok(id),
    }
}

/// A bias along the last axis goes into the MatMul before it; any other constant must be one number a channel.
fn add_constant(call: &mut Call<'_>, x: usize) -> Result<()> {
    let id = activation_beside(call, x)?;
    let shape = call.shape(id);
    let bias = call.required_weights(1 - x)?;
    let along_last = bias.shape().last() == shape.last() && bias.shape().last() == Some(&bias.len());
    let writer = call.scope.graph.writer(id);
    let product = writer.filter(|&i| {
        let node = &call.scope.graph.nodes[i];
        node.op == Op::MatMul && node.inputs.len() == 2
    });
    let read_once = call.input_name(x).is_some_and(|name| call.scope.reads(name) == 1);
    // With two axes, the last one is the channel, and simplify folds it visibly.
    let Some(product) =
        product.filter(|_| along_last && read_once && shape.len() != 2 && bias.ndim() <= shape.len())
    else {
        return affine(call, x, |c| (1.0, c), Op::Add);
    };
    let bias = call.add_vector("bias", bias.into_iter().collect());
    // The product alone is read by nothing else: the sum takes its node's place.
    let product = call.scope.graph.nodes.remove(product);
    call.emit(Op::MatMul, [product.inputs, vec![bias]].concat(), shape)
}

/// The constant's value for each channel (axis 1) of `shape`.
fn per_channel(constant: &ArrayD<f32>, shape: &[usize]) -> Result<Vec<f32>> {
    let (own, have) = (constant.shape(), shape);
    let Some(&channels) = have.get(1) else {
        return refuse(format!("the activation of shape {have:?} has no channel axis"));
    };
    if let (1, Some(&value)) = (constant.len(), constant.first()) {
        if channels > MAX_FOLDED || own.len() > have.len() {
            return refuse(format!("a constant of shape {own:?} on {channels} channels"));
        }
        return Ok(vec![value; channels]);
    }
    let Some(missing) = have.len().checked_sub(own.len()) else {
        return refuse(format!("a constant of shape {own:?} widens the activation of shape {have:?}"));
    };
    for (i, &size) in own.iter().enumerate().filter(|(_, size)| **size != 1) {
        match have.get(i + missing) {
            Some(&there) if there == size => {}
            Some(1) => {
                return refuse(format!(
                    "a constant of shape {own:?} widens the activation of shape {have:?}"
                ));
            }
            _ => {
                return bad(format!(
                    "a constant of shape {own:?} does not fit the activation of shape {have:?}"
                ));
            }
        }
        if i + missing != 1 {
            return refuse(format!(
                "a constant of shape {own:?} on an activation of shape {have:?}; only one value a channel (axis 1) is supported"
            ));
        }
    }
    Ok(constant.iter().copied().collect())
}
