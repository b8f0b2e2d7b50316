//! From one output channel's float weights to int8 weights and a channel record with a proven accumulator.

use still8::format::ChannelRecord;
use still8::requantize;

/// Largest |activation| that an int8 tensor can hold.
const LARGEST_ACTIVATION: i64 = 128;

/// Scale and zero point of an int8 tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Int8 {
    /// Real value of one step.
    pub scale: f32,
    /// Integer that stands for 0.
    pub zero_point: i8,
}

impl Int8 {
    /// Covers `low..=high`, widened to hold 0, with the end points on the grid as far as 0 allows.
    ///
    /// An empty range (a tensor that is always 0) gets scale 1.
    pub fn covering(low: f32, high: f32) -> Self {
        let (low, high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let scale = ((high - low) / 255.0) as f32;
        if scale < f32::MIN_POSITIVE {
            return Self { scale: 1.0, zero_point: 0 };
        }
        let zero_point = (-128.0 - low / f64::from(scale)).round().clamp(-128.0, 127.0);
        Self { scale, zero_point: zero_point as i8 }
    }

    /// The integer for a real value: saturates, ±∞ included.
    pub fn quantize(&self, real: f32) -> i8 {
        let q = (f64::from(real) / f64::from(self.scale)).round() + f64::from(self.zero_point);
        q.clamp(-128.0, 127.0) as i8
    }

    /// The real value of an integer.
    pub fn dequantize(&self, q: i8) -> f32 {
        self.scale * (i32::from(q) - i32::from(self.zero_point)) as f32
    }
}

/// The multiplier, shift and left shift whose product is closest to `scale`: scale ≈ m · 2ᴸ ⁄ 2ⁿ, by the contract of
/// [`still8::requantize`].
///
/// # Errors
/// Where the scale is not a positive number below 2²⁹.
pub fn multiplier(scale: f64, zero_point: i8, bias: i32) -> Result<ChannelRecord, String> {
    if !(scale > 0.0 && scale < f64::from(1 << 29)) {
        return Err(format!("its requantization scale {scale:e} is outside (0, 2²⁹)"));
    }
    // scale = fraction · 2^exponent with the fraction in [½, 1), so that m = fraction · 2³¹ and n = 31 − exponent.
    let mut exponent = scale.log2().floor() as i32 + 1;
    let mut m = (scale * 2f64.powi(31 - exponent)).round() as i64;
    if m >= 1 << 31 {
        m >>= 1;
        exponent += 1;
    } else if m < 1 << 30 {
        exponent -= 1;
        m = (scale * 2f64.powi(31 - exponent)).round() as i64;
    }
    let mut n = 31 - exponent;
    let mut left = 0;
    if n < 33 {
        left = 33 - n;
        n = 33;
    } else if n > 55 {
        m = (scale * 2f64.powi(55)).round() as i64;
        n = 55;
    }
    let shift = (n - 32) as u8;
    let offset = requantize::offset(zero_point, shift);
    Ok(ChannelRecord { bias, multiplier: m as i32, offset, shift, left: left as u8, reserved: 0 })
}

/// An output channel in int8.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Weights in the order they came in, in [−127, 127].
    pub weights: Vec<i8>,
    /// Bias and requantization.
    pub record: ChannelRecord,
}

/// Largest |accumulator| of an output channel on any int8 input, whatever the order of the sum. `bias` has the input's
/// zero point folded in.
pub fn accumulator_bound(weights: impl Iterator<Item = i8>, bias: i64) -> i64 {
    weights.map(|w| i64::from(w).abs()).sum::<i64>() * LARGEST_ACTIVATION + bias.abs()
}

/// Quantizes one output channel: symmetric weights with the scale max|w| ⁄ 127, bias with scale s_in · s_w.
///
/// The scale grows where the bias would otherwise not leave the accumulator below 2³¹.
///
/// # Errors
/// Says why the channel cannot be represented.
pub fn quantize_channel(weights: &[f32], bias: f32, input: Int8, output: Int8) -> Result<Channel, String> {
    let largest = weights.iter().fold(0f32, |max, w| max.max(w.abs()));
    let smallest = f64::from(bias.abs()) / (f64::from(input.scale) * f64::from(1u32 << 30));
    let mut scale = (f64::from(largest) / 127.0).max(smallest) as f32;
    if scale < f32::MIN_POSITIVE {
        // All weights and the bias are zero (or vanish): any scale serves.
        scale = (f64::from(output.scale) / f64::from(input.scale) / 2.0) as f32;
    }
    let quantized: Vec<i8> =
        weights.iter().map(|&w| (w / scale).round().clamp(-127.0, 127.0) as i8).collect();
    let sum: i64 = quantized.iter().map(|&w| i64::from(w)).sum();
    let accumulator_scale = f64::from(input.scale) * f64::from(scale);
    let bias = (f64::from(bias) / accumulator_scale).round() as i64 - i64::from(input.zero_point) * sum;
    let bound = accumulator_bound(quantized.iter().copied(), bias);
    if bound >= 1 << 31 {
        return Err(format!("its accumulator can reach {bound}, past the 2³¹ of int32"));
    }
    let record = multiplier(accumulator_scale / f64::from(output.scale), output.zero_point, bias as i32)?;
    Ok(Channel { weights: quantized, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The scale that a record stands for.
    fn value(record: &ChannelRecord) -> f64 {
        f64::from(record.multiplier) * 2f64.powi(i32::from(record.left) - 32 - i32::from(record.shift))
    }

    proptest! {
        #[test]
        fn multipliers_keep_the_contract(exponent in -60.0f64..28.9, zero_point in any::<i8>()) {
            let scale = 2f64.powf(exponent);
            let record = multiplier(scale, zero_point, 0).unwrap();
            prop_assert!(requantize::is_valid(&record, zero_point));
            let error = (value(&record) - scale).abs();
            // Half a unit of m; at n = 55 the unit is 2⁻⁵⁵ whatever the scale.
            prop_assert!(error <= (scale * 2f64.powi(-31)).max(2f64.powi(-56)));
        }

        #[test]
        fn channels_are_within_a_step_of_the_float_result(
            weights in proptest::collection::vec(-2.0f32..2.0, 1..40),
            bias in -5.0f32..5.0,
            zero_point in any::<i8>(),
            x in any::<i8>(),
        ) {
            let input = Int8 { scale: 0.05, zero_point };
            let output = Int8 { scale: 0.9, zero_point: 3 };
            let channel = quantize_channel(&weights, bias, input, output).unwrap();
            let acc = channel.weights.iter().fold(channel.record.bias, |acc, &w| acc + i32::from(w) * i32::from(x));
            let bound = accumulator_bound(channel.weights.iter().copied(), channel.record.bias.into());
            prop_assert!(i64::from(acc).abs() <= bound);
            let real: f32 = bias + weights.iter().map(|w| w * input.dequantize(x)).sum::<f32>();
            let q = requantize::requantize(acc, &channel.record, -128, 127);
            if (-127..127).contains(&q) {
                let step = weights.iter().fold(0f32, |max, w| max.max(w.abs())) / 127.0;
                let weight_error = step * 0.51 * input.dequantize(x).abs() * weights.len() as f32;
                prop_assert!((output.dequantize(q) - real).abs() <= output.scale * 0.51 + weight_error + 0.01);
            }
        }
    }

    #[test]
    fn the_range_of_an_image_lies_on_the_grid() {
        let params = Int8::covering(0.0, 1.0);
        assert_eq!(params, Int8 { scale: 1.0 / 255.0, zero_point: -128 });
        assert_eq!(
            [params.quantize(0.0), params.quantize(1.0), params.quantize(f32::INFINITY)],
            [-128, 127, 127]
        );
    }

    #[test]
    fn dead_channels_and_large_biases_are_representable() {
        let params = Int8 { scale: 0.1, zero_point: 0 };
        let dead = quantize_channel(&[0.0; 9], 0.0, params, params).unwrap();
        assert_eq!(requantize::requantize(dead.record.bias, &dead.record, -128, 127), 0);
        let biased = quantize_channel(&[0.0; 9], 3.0, params, params).unwrap();
        assert_eq!(requantize::requantize(biased.record.bias, &biased.record, -128, 127), 30);
        let tiny = quantize_channel(&[1e-12; 9], 3.0, params, params).unwrap();
        assert_eq!(requantize::requantize(tiny.record.bias, &tiny.record, -128, 127), 30);
    }

    #[test]
    fn an_accumulator_past_int32_is_refused() {
        let params = Int8 { scale: 0.1, zero_point: 0 };
        let error = quantize_channel(&vec![1.0; 140_000], 0.0, params, params).unwrap_err();
        assert!(error.contains("past the 2³¹"), "{error}");
    }
}
