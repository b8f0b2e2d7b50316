//! BatchNormalization at inference, a scale and an offset for each channel, and LayerNormalization.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad};
use crate::import::shapes::axis;

/// γ · (x − μ) / √(σ² + ε) + β = x · s + (β − μ · s), s = γ / √(σ² + ε) in f64.
pub fn batch(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let Some(&channels) = shape.get(1) else {
        return bad(format!("input of shape {shape:?} has no channel axis"));
    };
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| call.required_weights(i));
    let parameters = [gamma?, beta?, mean?, variance?];
    if let Some(wrong) = parameters.iter().find(|parameter| parameter.shape() != [channels]) {
        return bad(format!("parameter of shape {:?} for {channels} channels", wrong.shape()));
    }
    let epsilon = f64::from(call.float("epsilon")?.unwrap_or(1e-5));
    let (mut scales, mut offsets) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
    let [gamma, beta, mean, variance] = &parameters;
    for (channel, (((gamma, beta), mean), variance)) in
        gamma.iter().zip(beta).zip(mean).zip(variance).enumerate()
    {
        let scale = f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt();
        let offset = f64::from(*beta) - f64::from(*mean) * scale;
        if !((scale as f32).is_finite() && (offset as f32).is_finite()) {
            return bad(format!("channel {channel}: variance {variance} makes the scale {scale}"));
        }
        scales.push(scale as f32);
        offsets.push(offset as f32);
    }
    let scale = call.add_vector("scale", scales);
    let offset = call.add_vector("offset", offsets);
    call.emit(Op::ScaleOffset, vec![x, scale, offset], shape)
}

/// (x − mean) ⁄ √(variance + ε) · scale + bias over the last axes, which become one.
pub fn layer(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let shape = call.shape(x);
    let first = axis(call.int("axis")?.unwrap_or(-1), shape.len())?;
    let rows: usize = shape[..first].iter().product();
    let c: usize = shape[first..].iter().product();
    let epsilon = call.float("epsilon")?.unwrap_or(1e-5);
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        return bad(format!("attribute epsilon={epsilon} is no number of at least 0"));
    }
    let mut parameters = Vec::new();
    for (i, default) in [(1, 1.0), (2, 0.0)] {
        let values = match call.weights(i)? {
            Some(values) => match values.broadcast(&shape[first..]) {
                Some(values) => values.iter().copied().collect(),
                None => {
                    let own = values.shape();
                    return bad(format!(
                        "input {i} of shape {own:?} does not fit axes {:?}",
                        &shape[first..]
                    ));
                }
            },
            None => vec![default; c],
        };
        parameters.push(call.add_vector(["scale", "offset"][i - 1], values));
    }
    let &[scale, offset] = &parameters[..] else { return bad("its parameters") };
    let op = Op::LayerNorm { epsilon };
    if first + 1 == shape.len() {
        return call.emit(op, vec![x, scale, offset], shape);
    }
    let x = call.emit_step("rows", Op::Reshape, vec![x], vec![rows, c])?;
    let normal = call.emit_step("normal", op, vec![x, scale, offset], vec![rows, c])?;
    call.emit(Op::Reshape, vec![normal], shape)
}
