//! Seeded random numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

/// A generator; the seed fixes all it gives.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// Uniform in [min, max], in steps of (max − min) ⁄ 2⁵³ before rounding to `f32`.
    pub fn uniform(&mut self, [min, max]: [f32; 2]) -> f32 {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (f64::from(min) + (f64::from(max) - f64::from(min)) * unit) as f32
    }

    /// Close to the standard normal distribution (mean 0, variance 1, within ±6): the sum of twelve uniform numbers.
    /// Additions alone, so that no machine's logarithm has a say in the bits.
    pub fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_sequence() {
        let mut random = SplitMix64::new(1234567);
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!([(); 4].map(|()| random.next_u64()), expected);
    }

    #[test]
    fn uniform_stays_in_range_and_fills_it() {
        let mut random = SplitMix64::new(0);
        let values: Vec<f32> = (0..10_000).map(|_| random.uniform([-2.0, 6.0])).collect();
        assert!(values.iter().all(|value| (-2.0..=6.0).contains(value)));
        let mean = values.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 2.0).abs() < 0.1, "{mean}");
    }

    #[test]
    fn normal_has_its_moments() {
        let mut random = SplitMix64::new(0);
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(random.normal())).collect();
        let moment = |n| values.iter().map(|value| value.powi(n)).sum::<f64>() / 100_000.0;
        assert!(moment(1).abs() < 0.02, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "{}", moment(2));
        assert!(moment(3).abs() < 0.05, "{}", moment(3));
        // 3 for a normal distribution; twelve uniform numbers lack 0.1 of it.
        assert!((moment(4) - 2.9).abs() < 0.1, "{}", moment(4));
    }
}
