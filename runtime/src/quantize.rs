//! Between real numbers and int8, at the edge of a network: never inside the inference path.

/// real = scale × (q − zero_point).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QuantParams {
    /// Real value of one step.
    pub scale: f32,
    /// Integer that stands for 0.
    pub zero_point: i32,
}

/// What [`quantize_input`] had to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InputReport {
    /// Values outside the representable range, set to its end.
    pub saturated: usize,
    /// NaNs, set to the zero point.
    pub nan: usize,
}

impl QuantParams {
    /// round(real ⁄ scale) + zero_point, halves away from zero, saturating; NaN becomes the zero point.
    pub fn quantize(&self, real: f32) -> i8 {
        let q = libm_round(real / self.scale);
        // A float cast saturates and turns NaN into 0.
        (q as i32).saturating_add(self.zero_point).clamp(-128, 127) as i8
    }

    /// scale × (q − zero_point).
    pub fn dequantize(&self, q: i8) -> f32 {
        self.scale * (i32::from(q) - self.zero_point) as f32
    }
}

/// Rounds to the nearest integer, halves away from zero; `f32::round` is not in `core` at the MSRV.
fn libm_round(x: f32) -> f32 {
    // From 2²³ on every f32 is an integer, and adding a half would not be exact.
    if x.is_nan() || x.abs() >= 8_388_608.0 {
        return x;
    }
    let truncated = (x as i32) as f32;
    let fraction = x - truncated;
    if fraction >= 0.5 {
        truncated + 1.0
    } else if fraction <= -0.5 {
        truncated - 1.0
    } else {
        truncated
    }
}

/// Quantizes `reals` into `out`, element by element in the order given; the shorter slice sets the length.
///
/// Saturates; NaN becomes the zero point; both are counted in the report.
pub fn quantize_input(reals: &[f32], params: QuantParams, out: &mut [i8]) -> InputReport {
    let mut report = InputReport::default();
    let lowest = (-128 - params.zero_point) as f32 - 0.5;
    let highest = (127 - params.zero_point) as f32 + 0.5;
    for (out, &real) in out.iter_mut().zip(reals) {
        *out = params.quantize(real);
        if real.is_nan() {
            report.nan += 1;
        } else {
            let steps = real / params.scale;
            report.saturated += usize::from(steps < lowest || steps > highest);
        }
    }
    report
}

/// Dequantizes `quantized` into `out`; the shorter slice sets the length.
pub fn dequantize_output(quantized: &[i8], params: QuantParams, out: &mut [f32]) {
    for (out, &q) in out.iter_mut().zip(quantized) {
        *out = params.dequantize(q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: QuantParams = QuantParams { scale: 0.5, zero_point: 10 };

    #[test]
    fn saturates_and_counts() {
        let reals = [0.0, 0.25, -0.25, 1000.0, -1000.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 58.5];
        let mut out = [0; 9];
        let report = quantize_input(&reals, PARAMS, &mut out);
        assert_eq!(out, [10, 11, 9, 127, -128, 10, 127, -128, 127]);
        assert_eq!(report, InputReport { saturated: 4, nan: 1 });
    }

    #[test]
    fn dequantize_inverts_quantize_on_the_grid() {
        for q in i8::MIN..=i8::MAX {
            assert_eq!(PARAMS.quantize(PARAMS.dequantize(q)), q);
        }
    }

    #[test]
    fn rounds_like_the_standard_library() {
        for x in [-2.5f32, -1.5, -0.5, -0.49999997, 0.49999997, 0.5, 1.5, 2.4999998, 8388607.5, 1e30, -1e30] {
            assert_eq!(libm_round(x), x.round(), "{x}");
        }
    }
}
