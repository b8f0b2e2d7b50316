//! Scale, zero point and type of an integer tensor.

use still8::format::DataType;

/// real = scale · (q − zero point).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Real value of one step.
    pub scale: f32,
    /// Integer that stands for 0.
    pub zero_point: i32,
    /// Type of the integers.
    pub dtype: DataType,
}

impl Quantization {
    /// Int8 over `low..=high`, widened to hold 0, with the end points on the grid as far as 0 allows.
    ///
    /// An empty range (a tensor that is always 0) gets scale 1.
    pub fn int8(low: f32, high: f32) -> Self {
        let (low, high) = (f64::from(low.min(0.0)), f64::from(high.max(0.0)));
        let scale = ((high - low) / 255.0) as f32;
        if scale < f32::MIN_POSITIVE {
            return Self { scale: 1.0, zero_point: 0, dtype: DataType::Int8 };
        }
        let zero_point = (-128.0 - low / f64::from(scale)).round().clamp(-128.0, 127.0);
        Self { scale, zero_point: zero_point as i32, dtype: DataType::Int8 }
    }

    /// Int16 over `low..=high`: symmetric, in [−32767, 32767].
    pub fn int16(low: f32, high: f32) -> Self {
        let scale = low.abs().max(high.abs()) / 32767.0;
        let scale = if scale < f32::MIN_POSITIVE { 1.0 } else { scale };
        Self { scale, zero_point: 0, dtype: DataType::Int16 }
    }

    /// Int8 over the same range, where this one is wider.
    pub fn in_int8(self) -> Self {
        let (low, high) = self.range();
        if self.dtype == DataType::Int16 { Self::int8(low, high) } else { self }
    }

    /// Smallest and largest integer.
    pub fn limits(&self) -> (i32, i32) {
        match self.dtype {
            DataType::Int4 => (-7, 7),
            DataType::Int8 => (-128, 127),
            DataType::Int16 => (-32767, 32767),
            DataType::Int32 => (i32::MIN, i32::MAX),
        }
    }

    /// The real numbers that the smallest and the largest integer stand for.
    pub fn range(&self) -> (f32, f32) {
        let (low, high) = self.limits();
        (self.dequantize(low), self.dequantize(high))
    }

    /// The integer for a real value: saturates, ±∞ included.
    pub fn quantize(&self, real: f32) -> i32 {
        let (low, high) = self.limits();
        let q = (f64::from(real) / f64::from(self.scale)).round() + f64::from(self.zero_point);
        q.clamp(low.into(), high.into()) as i32
    }

    /// [`Self::quantize`] for int8.
    pub fn quantize_i8(&self, real: f32) -> i8 {
        self.quantize(real) as i8
    }

    /// The integers that an int8 or int16 tensor holds in these bytes.
    pub fn integers(&self, bytes: &[i8]) -> Vec<i32> {
        match self.dtype {
            DataType::Int16 => {
                let pair = |pair: &[i8; 2]| i16::from_le_bytes(pair.map(|byte| byte as u8)).into();
                bytes.as_chunks::<2>().0.iter().map(pair).collect()
            }
            _ => bytes.iter().map(|&byte| byte.into()).collect(),
        }
    }

    /// The real value of an integer.
    pub fn dequantize(&self, q: i32) -> f32 {
        (f64::from(self.scale) * (i64::from(q) - i64::from(self.zero_point)) as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_an_image_lies_on_the_grid() {
        let params = Quantization::int8(0.0, 1.0);
        assert_eq!(params, Quantization { scale: 1.0 / 255.0, zero_point: -128, dtype: DataType::Int8 });
        assert_eq!(
            [params.quantize(0.0), params.quantize(1.0), params.quantize(f32::INFINITY)],
            [-128, 127, 127]
        );
    }

    #[test]
    fn int16_is_symmetric() {
        let params = Quantization::int16(-1.0, 0.5);
        assert_eq!([-1.0, 0.0, 1.0, 9.0].map(|x| params.quantize(x)), [-32767, 0, 32767, 32767]);
        assert_eq!(Quantization::int16(0.0, 0.0).scale, 1.0);
    }
}
