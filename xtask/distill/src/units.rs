//! In which units the quantities of a regression are learned.

/// Outputs are learned times `scale`, so that weights of the usual size reach them, and begin at their means; errors of each
/// quantity count by its variance, so that none is drowned by another one's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// A power of two that brings the largest quantity to about 1.
    pub scale: f32,
    /// Mean of each quantity, times `scale`; nothing where outputs have no units.
    pub means: Vec<f32>,
    /// 1 ⁄ variance of each quantity times `scale`; nothing where outputs have no units.
    pub weights: Vec<f32>,
}

/// Least variance, of quantities that are about 1: a constant one is not learned to the last bit.
const VARIANCE: f32 = 1e-6;

impl Units {
    /// Of outputs without units.
    pub const NONE: Self = Self { scale: 1.0, means: Vec::new(), weights: Vec::new() };

    /// Of these rows, one a sample.
    pub fn of(rows: &[Vec<f32>]) -> Self {
        let Some(first) = rows.first() else { return Self::NONE };
        let largest = rows.iter().flatten().fold(0f32, |most, y| most.max(y.abs()));
        let scale = if largest.is_normal() { (-largest.log2().floor()).exp2() } else { 1.0 };
        let mean = |of: &dyn Fn(&Vec<f32>) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
        let scaled = |row: &Vec<f32>, i: usize| f64::from(row[i]) * f64::from(scale);
        let means: Vec<f64> = (0..first.len()).map(|i| mean(&|row| scaled(row, i))).collect();
        let variance = |i: usize| mean(&|row| (scaled(row, i) - means[i]).powi(2)) as f32;
        Self {
            scale,
            weights: (0..first.len()).map(|i| 1.0 / variance(i).max(VARIANCE)).collect(),
            means: means.into_iter().map(|mean| mean as f32).collect(),
        }
    }

    /// Quantities as they are learned.
    pub fn scaled(&self, quantities: impl Iterator<Item = f32>) -> Vec<f32> {
        quantities.map(|y| y * self.scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_brought_to_about_one() {
        let units = Units::of(&[vec![300.0, 1.0], vec![-100.0, 3.0]]);
        assert_eq!((units.scale, units.means[0]), (1.0 / 256.0, 100.0 / 256.0));
        assert!((units.weights[0] - (256.0f32 / 200.0).powi(2)).abs() < 1e-5);
        assert!((units.weights[1] / (256.0f32 * 256.0) - 1.0).abs() < 1e-3);
        let small = Units::of(&[vec![1e-3], vec![1e-3]]);
        assert_eq!((small.scale, small.weights[0]), (512.0 * 2.0, 1.0 / VARIANCE));
        assert_eq!(Units::of(&[]), Units::NONE);
        assert_eq!(Units::of(&[vec![0.0]]).scale, 1.0);
    }
}
