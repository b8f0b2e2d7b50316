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

    /// Bytes of [`Self::to_bytes`].
    pub const BYTES: usize = 16 + 8 * BINS;

    /// Extremes and counts, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let extremes = [self.low, self.high].map(f32::to_le_bytes).concat();
        let counts = std::iter::once(&self.zeros).chain(&self.bins);
        extremes.into_iter().chain(counts.flat_map(|count| count.to_le_bytes())).collect()
    }

    /// The inverse of [`Self::to_bytes`]; `None` for another number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([low, high], counts) = bytes.split_at_checked(8).map(|(extremes, counts)| {
            let (floats, _) = extremes.as_chunks::<4>();
            ([floats[0], floats[1]].map(f32::from_le_bytes), counts)
        })?;
        let (counts, rest) = counts.as_chunks::<8>();
        let counts: Vec<u64> = counts.iter().map(|&count| u64::from_le_bytes(count)).collect();
        let (&zeros, bins) = counts.split_first()?;
        (rest.is_empty() && bins.len() == BINS).then(|| Self { low, high, bins: bins.to_vec(), zeros })
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

    /// Counts of the values other than 0 in `bins` equal bins between the extremes; `bins` divides 2048.
    pub fn counts(&self, bins: usize) -> Vec<u64> {
        self.bins.chunks(BINS / bins).map(|bins| bins.iter().sum()).collect()
    }

    /// The one value that was seen, other than 0, more than once and alone, to one part in 2048.
    pub fn constant(&self) -> Option<f32> {
        let (value, bin) = match (self.low, self.high) {
            (low, 0.0) if low < 0.0 => (low, self.bins[0]),
            (0.0, high) if high > 0.0 => (high, self.bins[BINS - 1]),
            _ => return None,
        };
        (self.zeros == 0 && bin > 1 && self.bins.iter().sum::<u64>() == bin).then_some(value)
    }

    /// Number of values that are 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The range that `method` chooses; always holds 0.
    pub fn range(&self, method: Method) -> (f32, f32) {
        match method {
            Method::MinMax => self.extremes(),
            Method::Percentile(share) => self.percentile_range(f64::from(share) / 100_000.0),
            Method::Mse => self.descended(|low, high| self.error(low, high)),
            Method::Entropy => self.descended(|low, high| self.divergence(low, high)),
        }
    }

    fn width(&self) -> f64 {
        (f64::from(self.high) - f64::from(self.low)) / BINS as f64
    }

    /// The range that leaves half of 1 − `share` of all values out at either end.
    fn percentile_range(&self, share: f64) -> (f32, f32) {
        let total = self.bins.iter().sum::<u64>() + self.zeros;
        let outside = (total as f64 * (1.0 - share) / 2.0).floor() as u64;
        let end = |bins: &mut dyn Iterator<Item = &u64>| {
            let mut left_out = 0;
            bins.take_while(|&&count| {
                left_out += count;
                left_out <= outside
            })
            .count()
        };
        let (below, above) = (end(&mut self.bins.iter()), end(&mut self.bins.iter().rev()));
        let low = f64::from(self.low) + below as f64 * self.width();
        let high = f64::from(self.high) - above as f64 * self.width();
        (low.min(0.0) as f32, high.max(0.0) as f32)
    }

    /// Kullback-Leibler divergence of the values from what 256 steps over `low..=high` make of them, as TensorRT's
    /// calibration has it (Migacz, 8-bit Inference with TensorRT, 2017): what lies outside is counted at the ends, and the
    /// values of a step are spread evenly over its bins that hold any.
    fn divergence(&self, low: f64, high: f64) -> f64 {
        let (width, total) = (self.width(), self.bins.iter().sum::<u64>() as f64);
        let place = |x: f64| (((x - f64::from(self.low)) / width).round() as usize).min(BINS);
        let (first, end) = (place(low), place(high));
        if end <= first || total == 0.0 {
            return f64::INFINITY;
        }
        let mut inside: Vec<f64> = self.bins[first..end].iter().map(|&count| count as f64).collect();
        let own = inside.clone();
        inside[0] += self.bins[..first].iter().sum::<u64>() as f64;
        if let Some(last) = inside.last_mut() {
            *last += self.bins[end..].iter().sum::<u64>() as f64;
        }
        let bins = inside.len();
        let mut divergence = 0.0;
        let mut at = 0;
        for step in 0..256 {
            let to = ((step + 1) * bins).div_ceil(256).min(bins);
            let (real, own) = (&inside[at..to.max(at)], &own[at..to.max(at)]);
            at = to.max(at);
            let filled = own.iter().filter(|&&count| count > 0.0).count();
            let share = own.iter().sum::<f64>() / filled.max(1) as f64;
            for (&p, &own) in real.iter().zip(own).filter(|(p, _)| **p > 0.0) {
                // Clipped values in a bin that holds none of its own: what the steps say is next to nothing.
                let q = if own > 0.0 { share } else { 1e-3 };
                divergence += p / total * (p / q).ln();
            }
        }
        divergence
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
    fn descended(&self, cost: impl Fn(f64, f64) -> f64) -> (f32, f32) {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let mut best = (100, 100);
        let mut least = cost(low, high);
        let mut improved = high > low;
        while improved {
            improved = false;
            for end in [0, 1] {
                for percent in 20..=100 {
                    let candidate = if end == 0 { (percent, best.1) } else { (best.0, percent) };
                    let error =
                        cost(low * f64::from(candidate.0) / 100.0, high * f64::from(candidate.1) / 100.0);
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
    fn percentiles_leave_out_their_share_at_either_end() {
        let histogram = of((0..100_000).map(|i| i as f32 / 50_000.0 - 1.0));
        let (low, high) = histogram.range(Method::Percentile(90_000));
        assert!((low + 0.9).abs() < 0.01 && (high - 0.9).abs() < 0.01, "{low} {high}");
        assert_eq!(histogram.range(Method::Percentile(100_000)), histogram.extremes());
    }

    #[test]
    fn entropy_clips_a_thin_tail_and_keeps_a_uniform_distribution() {
        // A slope, whose shape wide steps lose, with a few values far outside.
        let slope = |i: u32| (i as f32 / 100_000.0).sqrt();
        let tailed = of((0..100_000).map(|i| if i % 50_000 == 0 { 30.0 } else { slope(i) }));
        let (_, high) = tailed.range(Method::Entropy);
        assert!((0.9..20.0).contains(&high), "{high}");
        let (low, high) = of((0..100_000).map(|i| i as f32 / 50_000.0 - 1.0)).range(Method::Entropy);
        assert!(low < -0.9 && high > 0.9, "{low} {high}");
    }

    #[test]
    fn a_constant_zero_has_an_empty_range() {
        let histogram = of([0.0f32; 5].into_iter());
        assert_eq!(histogram.range(Method::Mse), (0.0, 0.0));
    }
}
