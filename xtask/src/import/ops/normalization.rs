//! BatchNormalization at inference: a scale and an offset for each channel.

use still8_validation::Result;

use crate::graph::Op;
use crate::import::call::{Call, bad};

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
