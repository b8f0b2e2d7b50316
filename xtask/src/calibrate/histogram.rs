//! The distribution of a value, and the ranges that can be chosen from it.

use super::Method;

const BINS: usize = 2048;
const STEPS: f64 = 255.0;

/// Counts between two extremes, in equal bins. Exact zeros are counted apart: int8 represents them exactly.
#[derive(Clone, Debug)]
pub struct Histogram {
    low: f32,
    high: f32,
    bins: Vec<u64>,
    zeros: u64,
}

impl Histogram {
    /// Without counts, for values in `low..=high`, where low ≤ 0 ≤ high.
    pub fn new(low: f32, high: f32) -> Self {
        Self { low, high, bins: vec![0; BINS], zeros: 0 }
    }

    /// Counts one value.
    pub fn add(&mut self, x: f32) {
        if x == 0.0 {
            self.zeros += 1;
        } else {
            let place = (x - self.low) / (self.high - self.low) * BINS as f32;
            // A float cast saturates.
            self.bins[(place as usize).min(BINS - 1)] += 1;
        }
    }

    /// Adds the counts of a histogram with the same extremes.
    pub fn merge(&mut self, other: &Self) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(a, b)| *a += b);
        self.zeros += other.zeros;
    }

    /// Smallest and largest value seen, widened to hold 0.
    pub fn extremes(&self) -> (f32, f32) {
        (self.low, self.high)
    }

    /// The range that `method` chooses; always holds 0.
    pub fn range(&self, method: Method) -> (f32, f32) {
        match method {
            Method::MinMax => self.extremes(),
            Method::Mse => self.mse_range(),
        }
    }

    /// Mean square of rounding errors inside `low..=high`, uniform over a step, and of clipping errors outside.
    fn error(&self, low: f64, high: f64) -> f64 {
        let step = (high - low) / STEPS;
        let rounding = step * step / 12.0;
        let width = (f64::from(self.high) - f64::from(self.low)) / BINS as f64;
        let mut sum = 0.0;
        for (i, &count) in self.bins.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let x = f64::from(self.low) + (i as f64 + 0.5) * width;
            let clipped = x - x.clamp(low, high);
            sum += count as f64 * if clipped == 0.0 { rounding } else { clipped * clipped };
        }
        sum
    }

    /// Coordinate descent over both ends, in hundredths of the extremes.
    fn mse_range(&self) -> (f32, f32) {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let mut best = (100, 100);
        let mut least = self.error(low, high);
        let mut improved = high > low;
        while improved {
            improved = false;
            for end in [0, 1] {
                for percent in 20..=100 {
                    let candidate = if end == 0 { (percent, best.1) } else { (best.0, percent) };
                    let error = self
                        .error(low * f64::from(candidate.0) / 100.0, high * f64::from(candidate.1) / 100.0);
                    if error < least {
                        (best, least, improved) = (candidate, error, true);
                    }
                }
            }
        }
        (self.low * best.0 as f32 / 100.0, self.high * best.1 as f32 / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = f32> + Clone) -> Histogram {
        let low = values.clone().fold(0f32, f32::min);
        let high = values.clone().fold(0f32, f32::max);
        let mut histogram = Histogram::new(low, high);
        values.for_each(|x| histogram.add(x));
        histogram
    }

    #[test]
    fn uniform_values_keep_their_extremes() {
        let histogram = of((0..10_000).map(|i| i as f32 / 100.0));
        assert_eq!(histogram.range(Method::MinMax), (0.0, 99.99));
        let (low, high) = histogram.range(Method::Mse);
        assert_eq!(low, 0.0);
        assert!(high >= 99.0, "{high}");
    }

    #[test]
    fn one_outlier_among_many_is_clipped() {
        let values = (0..1_000_000).map(|i| if i == 0 { 40.0 } else { (i % 1000) as f32 / 1000.0 - 0.5 });
        let histogram = of(values);
        assert_eq!(histogram.range(Method::MinMax).1, 40.0);
        let (low, high) = histogram.range(Method::Mse);
        assert!(low < -0.4 && high < 30.0, "{low} {high}");
    }

    #[test]
    fn a_constant_zero_has_an_empty_range() {
        let histogram = of([0.0f32; 5].into_iter());
        assert_eq!(histogram.range(Method::Mse), (0.0, 0.0));
    }
}
