//! Add of two activations, and Add, Sub, Mul and Div with a constant for each channel: scale · x + offset.

use ndarray::ArrayD;
use still8_validation::Result;

use crate::graph::{Op, ValueId};
use crate::import::call::{Call, bad, refuse};
use crate::import::fold::MAX_FOLDED;
use crate::import::scope::Operand;

/// x + y, x + constant, constant + x.
pub fn add(call: &mut Call<'_>) -> Result<()> {
    let (Ok(a), Ok(b)) = (call.activation(0), call.activation(1)) else {
        let x = usize::from(matches!(call.operand(0), Some(Operand::Constant(_))));
        return add_constant(call, x);
    };
    let (left, right) = (call.shape(a), call.shape(b));
    if left != right {
        return refuse(format!("adds activations of shapes {left:?} and {right:?}; they must be equal"));
    }
    call.emit(Op::Add, vec![a, b], left)
}

/// −x.
pub fn neg(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let channels = per_channel(&ndarray::arr1(&[-1.0]).into_dyn(), &shape)?;
    let scale = call.add_vector("scale", channels);
    let offset = call.add_vector("offset", vec![0.0; call.shape(scale)[0]]);
    call.emit(Op::ScaleOffset, vec![x, scale, offset], shape)
}

/// Two activations of one shape.
fn pair(call: &mut Call<'_>, op: Op) -> Result<()> {
    let (a, b) = (call.activation(0)?, call.activation(1)?);
    let (left, right) = (call.shape(a), call.shape(b));
    if left != right {
        let shapes = format!("combines activations of shapes {left:?} and {right:?}; they must be equal");
        return refuse(shapes);
    }
    call.emit(op, vec![a, b], left)
}

fn both_activations(call: &Call<'_>) -> bool {
    [0, 1].iter().all(|&i| matches!(call.operand(i), Some(Operand::Activation(_) | Operand::Integers(_))))
}

/// x − y, x − constant, constant − x.
pub fn sub(call: &mut Call<'_>) -> Result<()> {
    if both_activations(call) {
        return pair(call, Op::Sub);
    }
    match call.operand(0) {
        Some(Operand::Constant(_)) => affine(call, 1, |c| (-1.0, c)),
        _ => affine(call, 0, |c| (1.0, -c)),
    }
}

/// x · y, x · constant, constant · x.
pub fn mul(call: &mut Call<'_>) -> Result<()> {
    if both_activations(call) {
        return pair(call, Op::Mul);
    }
    let x = usize::from(matches!(call.operand(0), Some(Operand::Constant(_))));
    affine(call, x, |c| (c, 0.0))
}

/// x / constant.
pub fn div(call: &mut Call<'_>) -> Result<()> {
    affine(call, 0, |c| (1.0 / c, 0.0))
}

/// The activation is input `x`; the other input, a constant c, gives scale and offset by `coefficients`.
fn affine(call: &mut Call<'_>, x: usize, coefficients: impl Fn(f32) -> (f32, f32)) -> Result<()> {
    let id = activation_beside(call, x)?;
    let shape = call.shape(id);
    let constant = call.required_weights(1 - x)?;
    let channels = per_channel(&constant, &shape)?;
    let (scale, offset): (Vec<_>, Vec<_>) = channels.into_iter().map(coefficients).unzip();
    if let Some(i) = scale.iter().position(|scale| !scale.is_finite()) {
        return bad(format!("`{}` makes channel {i} infinite", call.input_name(1 - x).unwrap_or_default()));
    }
    let scale = call.add_vector("scale", scale);
    let offset = call.add_vector("offset", offset);
    call.emit(Op::ScaleOffset, vec![id, scale, offset], shape)
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
        return affine(call, x, |c| (1.0, c));
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
