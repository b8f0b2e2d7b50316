//! The constants of an addition; the formula is in [`still8::ops::Add`].

use still8::format::AddParams;

use crate::quantization::Quantization;

/// The multipliers that are tried lie so far from the rounded ones.
const NEIGHBOURS: i32 = 3;

/// Multipliers of both inputs (the second one's times `sign`, 1 or −1), shift and offset: with the largest shift that keeps every sum within int32, those next to the
/// rounded ones that give the exact sum's rounding (half up) for most of the 65,536 pairs of inputs, nearly always all.
///
/// # Errors
/// Where the inputs' scales are too far above the output's.
pub fn add_params(
    inputs: [Quantization; 2],
    sign: f64,
    output: Quantization,
    (activation_min, activation_max): (i8, i8),
) -> Result<AddParams, String> {
    let [a, b] = inputs.map(|input| f64::from(input.scale) / f64::from(output.scale));
    let ratio = [a, sign * b];
    let zero_points = inputs.map(|input| input.zero_point);
    for shift in (1..=30u8).rev() {
        let factors = ratio.map(|ratio| (ratio * f64::from(1u32 << shift)).round());
        if factors.iter().any(|&m| m.abs() > f64::from(1 << 24)) {
            continue;
        }
        let params = |multipliers: [i32; 2]| {
            let zero: i64 = (0..2).map(|i| i64::from(multipliers[i]) * i64::from(zero_points[i])).sum();
            let offset = (i64::from(output.zero_point) << shift) + (1 << (shift - 1)) - zero;
            let bound = 128 * multipliers.iter().map(|&m| i64::from(m).abs()).sum::<i64>() + offset.abs();
            let offset = i32::try_from(offset).ok().filter(|_| bound < 1 << 31)?;
            Some(AddParams { multipliers, offset, shift, reserved: 0, activation_min, activation_max })
        };
        let rounded = factors.map(|m| m as i32);
        let Some(nearest) = params(rounded) else {
            continue;
        };
        let exact = Exact::new(ratio, zero_points, output.zero_point);
        let near = (-NEIGHBOURS..=NEIGHBOURS).flat_map(|a| (-NEIGHBOURS..=NEIGHBOURS).map(move |b| [a, b]));
        let candidates = near.map(|[a, b]| [rounded[0] + a, rounded[1] + b]);
        let candidates = candidates.filter_map(params);
        // Of equals the nearest, which comes first.
        let best = std::iter::once(nearest).chain(candidates).min_by_key(|params| exact.unlike(params));
        return Ok(best.unwrap_or(nearest));
    }
    Err(format!(
        "the scales {:e} and {:e} of its inputs are too far above its output's {:e}",
        inputs[0].scale, inputs[1].scale, output.scale
    ))
}

/// The exact sums of pairs whose rounding is in question: those next to a half.
struct Exact {
    pairs: Vec<([i32; 2], i64)>,
}

impl Exact {
    fn new(ratio: [f64; 2], zero_points: [i32; 2], zero_point: i32) -> Self {
        let mut pairs = Vec::new();
        for a in -128..128 {
            for b in -128..128 {
                let real =
                    ratio[0] * f64::from(a - zero_points[0]) + ratio[1] * f64::from(b - zero_points[1]);
                let upper = real + 0.5;
                // What multipliers of 20 bits and more, and their neighbours, can change.
                let close = (upper - upper.round()).abs() < 1e-2;
                if close && (-300.0..300.0).contains(&real) {
                    pairs.push(([a, b], upper.floor() as i64 + i64::from(zero_point)));
                }
            }
        }
        Self { pairs }
    }

    /// Pairs that `params` round otherwise.
    fn unlike(&self, params: &AddParams) -> usize {
        let [m0, m1] = params.multipliers.map(i64::from);
        let sum = |[a, b]: [i32; 2]| {
            (m0 * i64::from(a) + m1 * i64::from(b) + i64::from(params.offset)) >> params.shift
        };
        self.pairs.iter().filter(|&&(pair, exact)| sum(pair) != exact).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use still8::format::DataType;

    use super::*;

    proptest! {
        #[test]
        fn sums_are_rounded_exactly(
            scales in prop::array::uniform2(0.02f32..1.0), output in 0.02f32..1.0, zero_points in prop::array::uniform3(any::<i8>()),
        ) {
            let quantization = |scale, zero_point: i8| {
                Quantization { scale, zero_point: zero_point.into(), dtype: DataType::Int8 }
            };
            let inputs = [quantization(scales[0], zero_points[0]), quantization(scales[1], zero_points[1])];
            let params = add_params(inputs, 1.0, quantization(output, zero_points[2]), (-128, 127)).unwrap();
            let unlike = (-128..128).flat_map(|a| (-128..128).map(move |b| [a, b])).filter(|&[a, b]| {
                let real = |i: usize, q: i32| {
                    f64::from(scales[i]) / f64::from(output) * f64::from(q - i32::from(zero_points[i]))
                };
                let exact = (real(0, a) + real(1, b) + 0.5).floor() as i64 + i64::from(zero_points[2]);
                let products = params.multipliers[0] * a + params.multipliers[1] * b;
                let sum = (products + params.offset) >> params.shift;
                i64::from(sum.clamp(-128, 127)) != exact.clamp(-128, 127)
            });
            prop_assert!(unlike.count() <= 3);
        }
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let of = |scale| Quantization { scale, zero_point: 0, dtype: DataType::Int8 };
        let error = add_params([of(1e12), of(1.0)], 1.0, of(1.0), (-128, 127)).unwrap_err();
        assert!(error.contains("too far above"), "{error}");
    }
}
