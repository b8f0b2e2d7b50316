//! From one output channel's float weights to int8 weights and a channel record with a proven accumulator.

use still8::format::ChannelRecord;
use still8::requantize;

use super::scheme::Weights;
use crate::quantization::Quantization;

/// Largest |activation| that an int8 tensor can hold.
const LARGEST_ACTIVATION: i64 = 128;

/// The multiplier, shift and left shift whose product is closest to `scale`: scale ≈ m · 2ᴸ ⁄ 2ⁿ, by the contract of
/// [`still8::requantize`].
///
/// # Errors
/// Where the scale is not a positive number below 2²⁹.
pub fn multiplier(scale: f64, zero_point: i32, bias: i32) -> Result<ChannelRecord, String> {
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
    let offset = requantize::offset(zero_point as i8, shift);
    Ok(ChannelRecord { bias, multiplier: m as i32, offset, shift, left: left as u8, reserved: 0 })
}

/// [`multiplier`] for a scale out of a file, whose integers another engine made by float32 arithmetic: near `scale`, the one
/// that rounds most accumulators as `round_ties_even(acc as f32 * scale)` does.
///
/// Both can differ only next to a half: each half that the output can reach, and the two accumulators around it, bound the
/// factor from below or above.
///
/// # Errors
/// As [`multiplier`].
pub fn float32_multiplier(scale: f32, zero_point: i32, bias: i32) -> Result<ChannelRecord, String> {
    let nominal = f64::from(scale);
    // wanted − ½ ≤ acc · factor < wanted + ½ bounds the factor by an interval for each accumulator.
    let reach = [nominal * (1.0 - 1e-6), nominal * (1.0 + 1e-6)];
    let interval = |acc: f64| {
        let wanted = f64::from((acc as f32 * scale).round_ties_even());
        let ends = [(wanted - 0.5) / acc, (wanted + 0.5) / acc];
        [ends[0].min(ends[1]).max(reach[0]), ends[0].max(ends[1]).min(reach[1])]
    };
    // Small outputs are the frequent ones.
    let intervals: Vec<([f64; 2], f64)> = (-129 - zero_point..=128 - zero_point)
        .flat_map(|q| {
            let below = ((f64::from(q) + 0.5) / nominal).floor();
            [below, below + 1.0]
        })
        .filter(|acc| acc.abs() < f64::from(1u32 << 30) && *acc != 0.0)
        .map(|acc| (interval(acc), 1.0 / (1.0 + (acc * nominal).abs())))
        .collect();
    let [low, high] = densest(&intervals, reach, nominal);
    // Not at an end, where the multiplier's own rounding would decide.
    let factor = nominal.clamp(low + (high - low) / 8.0, high - (high - low) / 8.0);
    multiplier(factor, zero_point, bias)
}

/// The part of `reach` that lies in intervals of most weight; of several, the one nearest to `nominal`.
fn densest(intervals: &[([f64; 2], f64)], reach: [f64; 2], nominal: f64) -> [f64; 2] {
    let mut ends: Vec<f64> = intervals.iter().flat_map(|(interval, _)| *interval).chain(reach).collect();
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    let mut best = (0.0, f64::INFINITY, reach);
    for part in ends.windows(2) {
        let middle = (part[0] + part[1]) / 2.0;
        let around = intervals.iter().filter(|([low, high], _)| (*low..*high).contains(&middle));
        let weight: f64 = around.map(|(_, weight)| weight).sum();
        let distance = (middle - nominal).abs();
        if weight > best.0 || (weight == best.0 && distance < best.1) {
            best = (weight, distance, [part[0], part[1]]);
        }
    }
    best.2
}

/// Largest |accumulator| of an output channel on any int8 input, whatever the order of the sum. `bias` has the input's
/// zero point folded in.
pub fn accumulator_bound(weights: impl Iterator<Item = i8>, bias: i64) -> i64 {
    weights.map(|w| i64::from(w).abs()).sum::<i64>() * LARGEST_ACTIVATION + bias.abs()
}

/// The scale of one output channel's weights: max|w| ⁄ (2ᵇⁱᵗˢ⁻¹ − 1).
///
/// It grows where the bias, with scale s_in · s_w, would otherwise not leave the accumulator below 2³¹.
pub fn scale(weights: &[f32], bias: f32, bits: u8, input: &Quantization, output: &Quantization) -> f32 {
    let largest = weights.iter().fold(0f32, |max, w| max.max(w.abs()));
    // With four bits an accumulator counts in sixteenths of the scale.
    let unit = if bits == 4 { 16.0 } else { 1.0 };
    let smallest = unit * f64::from(bias.abs()) / (f64::from(input.scale) * f64::from(1u32 << 30));
    let widest = f64::from(largest) / f64::from(Weights::limit(bits));
    let scale = if bits == 4 { least_error(weights, widest, bits) } else { widest }.max(smallest) as f32;
    if scale < f32::MIN_POSITIVE {
        // All weights and the bias are zero (or vanish): any scale serves.
        return (f64::from(output.scale) / f64::from(input.scale) / 2.0) as f32;
    }
    scale
}

/// The share of `widest` by which the weights are rounded with the least squared error, those beyond the largest integer clipped.
fn least_error(weights: &[f32], widest: f64, bits: u8) -> f64 {
    let error = |share: f64| {
        let scale = (widest * share) as f32;
        let rounded = round(weights, scale, bits);
        let off = |(&w, q): (&f32, i8)| (f64::from(w) - f64::from(scale) * f64::from(q)).powi(2);
        weights.iter().zip(rounded).map(off).sum::<f64>()
    };
    let shares = (0..=50).map(|i| 1.0 - f64::from(i) / 100.0).filter(|share| widest * share > 1e-30);
    // Of equals the widest, which comes first.
    let best = shares.map(|share| (error(share), share)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(widest, |(_, share)| widest * share)
}

/// Weights of one scale, rounded to nearest.
pub fn round(weights: &[f32], scale: f32, bits: u8) -> Vec<i8> {
    let limit = f32::from(Weights::limit(bits));
    weights.iter().map(|&w| (w / scale).round().clamp(-limit, limit) as i8).collect()
}

/// Bias and requantization of an output channel with these weights.
///
/// # Errors
/// Says why the channel cannot be represented.
pub fn record(
    weights: &[i8],
    scale: f32,
    bias: f32,
    input: &Quantization,
    output: &Quantization,
) -> Result<ChannelRecord, String> {
    let bias = folded_bias(weights, scale, bias, input)?;
    let accumulator_scale = f64::from(input.scale) * f64::from(scale);
    multiplier(accumulator_scale / f64::from(output.scale), output.zero_point, bias)
}

/// [`record`] with a scale out of a file, by [`float32_multiplier`].
///
/// # Errors
/// As [`record`].
pub fn given_record(
    weights: &[i8],
    scale: f32,
    bias: f32,
    input: &Quantization,
    output: &Quantization,
) -> Result<ChannelRecord, String> {
    let bias = folded_bias(weights, scale, bias, input)?;
    float32_multiplier(input.scale * scale / output.scale, output.zero_point, bias)
}

/// The bias as an integer of scale s_in · s_w.
pub fn integer_bias(bias: f32, scale: f32, input: &Quantization) -> i64 {
    (f64::from(bias) / (f64::from(input.scale) * f64::from(scale))).round() as i64
}

/// [`integer_bias`] with the input's zero point folded in.
fn folded_bias(weights: &[i8], scale: f32, bias: f32, input: &Quantization) -> Result<i32, String> {
    let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
    let bias = integer_bias(bias, scale, input) - i64::from(input.zero_point) * sum;
    let bound = accumulator_bound(weights.iter().copied(), bias);
    if bound >= 1 << 31 {
        return Err(format!("its accumulator can reach {bound}, past the 2³¹ of int32"));
    }
    Ok(bias as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use still8::format::DataType;

    fn int8(scale: f32, zero_point: i8) -> Quantization {
        Quantization { scale, zero_point: zero_point.into(), dtype: DataType::Int8 }
    }

    /// Scale, weights and record of a channel.
    fn channel(
        weights: &[f32],
        bias: f32,
        input: Quantization,
        output: Quantization,
    ) -> Result<(Vec<i8>, ChannelRecord), String> {
        let scale = scale(weights, bias, 8, &input, &output);
        let rounded = round(weights, scale, 8);
        let record = record(&rounded, scale, bias, &input, &output)?;
        Ok((rounded, record))
    }

    /// The scale that a record stands for.
    fn value(record: &ChannelRecord) -> f64 {
        f64::from(record.multiplier) * 2f64.powi(i32::from(record.left) - 32 - i32::from(record.shift))
    }

    proptest! {
        #[test]
        fn multipliers_keep_the_contract(exponent in -60.0f64..28.9, zero_point in any::<i8>()) {
            let scale = 2f64.powf(exponent);
            let record = multiplier(scale, zero_point.into(), 0).unwrap();
            prop_assert!(requantize::is_valid(&record, zero_point));
            let error = (value(&record) - scale).abs();
            // Half a unit of m; at n = 55 the unit is 2⁻⁵⁵ whatever the scale.
            prop_assert!(error <= (scale * 2f64.powi(-31)).max(2f64.powi(-56)));
        }

        #[test]
        fn given_scales_round_as_float32_does(mantissa in 1.0f32..2.0, exponent in -14i32..-4, zero_point in any::<i8>()) {
            let scale = mantissa * 2f32.powi(exponent);
            let record = float32_multiplier(scale, zero_point.into(), 0).unwrap();
            prop_assert!(requantize::is_valid(&record, zero_point));
            let reach = (300.0 / scale) as i32;
            for acc in -reach..reach {
                let float = (acc as f32 * scale).round_ties_even() as i32 + i32::from(zero_point);
                let q = requantize::requantize(acc, &record, -128, 127);
                let real = f64::from(acc) * f64::from(scale);
                let to_half = (real - real.floor() - 0.5).abs();
                prop_assert!(i32::from(q) == float.clamp(-128, 127) || to_half < 1e-4 * (1.0 + real.abs()), "{acc}");
            }
        }

        #[test]
        fn channels_are_within_a_step_of_the_float_result(
            weights in proptest::collection::vec(-2.0f32..2.0, 1..40),
            bias in -5.0f32..5.0,
            zero_point in any::<i8>(),
            x in any::<i8>(),
        ) {
            let (input, output) = (int8(0.05, zero_point), int8(0.9, 3));
            let (rounded, record) = channel(&weights, bias, input, output).unwrap();
            let acc = rounded.iter().fold(record.bias, |acc, &w| acc + i32::from(w) * i32::from(x));
            let bound = accumulator_bound(rounded.iter().copied(), record.bias.into());
            prop_assert!(i64::from(acc).abs() <= bound);
            let real: f32 = bias + weights.iter().map(|w| w * input.dequantize(x.into())).sum::<f32>();
            let q = requantize::requantize(acc, &record, -128, 127);
            if (-127..127).contains(&q) {
                let step = weights.iter().fold(0f32, |max, w| max.max(w.abs())) / 127.0;
                let weight_error = step * 0.51 * input.dequantize(x.into()).abs() * weights.len() as f32;
                prop_assert!((output.dequantize(q.into()) - real).abs() <= output.scale * 0.51 + weight_error + 0.01);
            }
        }
    }

    #[test]
    fn dead_channels_and_large_biases_are_representable() {
        let params = int8(0.1, 0);
        let (_, dead) = channel(&[0.0; 9], 0.0, params, params).unwrap();
        assert_eq!(requantize::requantize(dead.bias, &dead, -128, 127), 0);
        let (_, biased) = channel(&[0.0; 9], 3.0, params, params).unwrap();
        assert_eq!(requantize::requantize(biased.bias, &biased, -128, 127), 30);
        let (_, tiny) = channel(&[1e-12; 9], 3.0, params, params).unwrap();
        assert_eq!(requantize::requantize(tiny.bias, &tiny, -128, 127), 30);
    }

    #[test]
    fn an_accumulator_past_int32_is_refused() {
        let params = int8(0.1, 0);
        let error = channel(&vec![1.0; 140_000], 0.0, params, params).unwrap_err();
        assert!(error.contains("past the 2³¹"), "{error}");
    }
}
