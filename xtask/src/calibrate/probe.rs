//! The range of random calibration samples for a network whose units nobody stated.
//!
//! Random data of the wrong magnitude leaves a network's output almost constant, and a quantization made for it says
//! nothing. So a few usual ranges are tried, and the one is taken whose quantization keeps most of what the output
//! owes to the input: the output's variation from sample to sample against the quantization error.

/// Usual ranges of inputs: normalized features, raw bytes, centred bytes.
pub const RANDOM_RANGES: [[f32; 2]; 3] = [[-1.0, 1.0], [0.0, 255.0], [-128.0, 127.0]];

/// Variance over the samples, summed over the elements, relative to their mean square; 0 where that is not a number.
pub fn relative_variation(outputs: &[Vec<f32>]) -> f64 {
    let n = outputs.len() as f64;
    let elements = outputs.first().map_or(0, Vec::len);
    let (mut variance, mut square) = (0.0, 0.0);
    for i in 0..elements {
        let mean = outputs.iter().map(|output| f64::from(output[i])).sum::<f64>() / n;
        let mean_square = outputs.iter().map(|output| f64::from(output[i]).powi(2)).sum::<f64>() / n;
        variance += mean_square - mean * mean;
        square += mean_square;
    }
    let variation = variance / square;
    if variation.is_finite() { variation } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::relative_variation;

    #[test]
    fn a_constant_output_does_not_vary() {
        assert_eq!(relative_variation(&[vec![2.0, 0.0], vec![2.0, 0.0]]), 0.0);
        assert_eq!(relative_variation(&[vec![0.0], vec![0.0]]), 0.0);
        assert_eq!(relative_variation(&[vec![1.0], vec![-1.0]]), 1.0);
    }
}
