//! Functions of one element.

use still8_validation::Result;

use crate::expression::Expression;
use crate::function::Function;
use crate::graph::Op;
use crate::import::call::{Call, bad, refuse};

fn emit(call: &mut Call<'_>, function: Function) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    call.emit(Op::Map(Expression::of(function)), vec![x], shape)
}

/// An operator without attributes.
macro_rules! plain {
    ($($name:ident => $function:ident),* $(,)?) => {
        $(
            #[doc = concat!("[`Function::", stringify!($function), "`].")]
            pub fn $name(call: &mut Call<'_>) -> Result<()> {
                emit(call, Function::$function)
            }
        )*
    };
}

plain! {
    abs => Abs,
    erf => Erf,
    exp => Exp,
    hard_swish => HardSwish,
    reciprocal => Reciprocal,
    sigmoid => Sigmoid,
    softplus => Softplus,
    sqrt => Sqrt,
    tanh => Tanh,
}

fn parameter(call: &Call<'_>, name: &str, default: f32) -> Result<f32> {
    match call.float(name)?.unwrap_or(default) {
        value if value.is_finite() => Ok(value),
        value => bad(format!("attribute {name}={value} is no number")),
    }
}

/// [`Function::LeakyRelu`].
pub fn leaky_relu(call: &mut Call<'_>) -> Result<()> {
    let alpha = parameter(call, "alpha", 0.01)?;
    emit(call, Function::LeakyRelu { alpha })
}

/// [`Function::Elu`].
pub fn elu(call: &mut Call<'_>) -> Result<()> {
    let alpha = parameter(call, "alpha", 1.0)?;
    emit(call, Function::Elu { alpha })
}

/// [`Function::HardSigmoid`].
pub fn hard_sigmoid(call: &mut Call<'_>) -> Result<()> {
    let (alpha, beta) = (parameter(call, "alpha", 0.2)?, parameter(call, "beta", 0.5)?);
    emit(call, Function::HardSigmoid { alpha, beta })
}

/// [`Function::Gelu`], or its approximation by tanh.
pub fn gelu(call: &mut Call<'_>) -> Result<()> {
    match call.text("approximate")?.as_deref() {
        None | Some("none") => emit(call, Function::Gelu),
        Some("tanh") => emit(call, Function::GeluTanh),
        Some(other) => refuse(format!("attribute approximate={other} is not known")),
    }
}

/// x to a constant power.
pub fn pow(call: &mut Call<'_>) -> Result<()> {
    if let Some(exponents) = call.weights(1)?
        && exponents.len() != 1
    {
        return refuse(format!(
            "exponents of shape {:?}; one for all elements is supported",
            exponents.shape()
        ));
    }
    match call.number(1)? {
        Some(exponent) if exponent.is_finite() => emit(call, Function::Power { exponent }),
        Some(exponent) => bad(format!("the exponent {exponent} is no number")),
        None => bad("the exponent is missing"),
    }
}

/// [`Function::Silu`], which is Swish with alpha 1.
pub fn swish(call: &mut Call<'_>) -> Result<()> {
    match parameter(call, "alpha", 1.0)? {
        1.0 => emit(call, Function::Silu),
        alpha => refuse(format!("attribute alpha={alpha} is not supported; 1 is")),
    }
}
