//! Scales of activations, tuned one after the other on the network's output.

use still8_validation::Result;

use super::Refined;
use crate::quantization::Quantization;
use crate::quantize::params::free_groups;
use crate::quantize::trial::Trial;

/// Factors of a range that are tried.
const FACTORS: [f32; 4] = [0.8, 0.9, 0.95, 1.08];
/// A change must lower the error by this share to count as more than chance.
const GAIN: f64 = 0.005;

/// Tries narrower and wider ranges for every group of values that share their quantization, and keeps what lowers the
/// error on `fit`, and on `held` as well: what helps by chance on one seldom does on both.
///
/// # Errors
/// As [`Trial::error`].
pub fn tune(refined: &mut Refined<'_>, fit: &Trial, held: &Trial, step: &dyn Fn()) -> Result<()> {
    let mut least = fit.error(&refined.graph, refined.steps, &refined.scheme)?;
    let mut least_held = held.error(&refined.graph, refined.steps, &refined.scheme)?;
    for group in free_groups(&refined.graph, refined.steps) {
        let Some(&own) = group.first().and_then(|value| refined.scheme.values.get(value)) else {
            continue;
        };
        let (low, high) = own.range();
        for factor in FACTORS {
            let mut scheme = refined.scheme.clone();
            let tried = Quantization::int8(low * factor, high * factor);
            for value in &group {
                scheme.values.insert(*value, tried);
            }
            // A scheme that cannot be lowered is not an error of the search.
            let Ok(error) = fit.error(&refined.graph, refined.steps, &scheme) else {
                continue;
            };
            if error >= least * (1.0 - GAIN) {
                continue;
            }
            let error_held = held.error(&refined.graph, refined.steps, &scheme)?;
            if error_held < least_held {
                (least, least_held, refined.scheme) = (error, error_held, scheme);
            }
        }
        step();
    }
    Ok(())
}
