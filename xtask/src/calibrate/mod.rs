//! Calibration: the range of every value of the float graph over sample data.
//!
//! Two passes, the first for the extremes, the second for histograms between them; both
//! stream, so that memory does not grow with the number of samples.

pub mod cache;
mod histogram;
mod probe;

use ndarray::ArrayD;
use rayon::prelude::*;
use still8_validation::{Failure, Result};

pub use histogram::Histogram;
pub use probe::{RANDOM_RANGES, relative_variation};

pub use still8_validation::recipe::Calibration as Method;

/// Runs `samples` samples through `run`, which computes the values of these names, and returns a histogram for each.
///
/// `progress` is called after each sample of either pass.
///
/// # Errors
/// [`Failure::Data`] where a value becomes NaN or infinite: names the value and the sample; those of `run`.
pub fn observe(
    names: &[String],
    samples: usize,
    run: impl Fn(usize) -> Result<Vec<ArrayD<f32>>> + Sync,
    progress: impl Fn() + Sync,
) -> Result<Vec<Histogram>> {
    let run = |i: usize| {
        let values = run(i);
        progress();
        values
    };
    let extremes = (0..samples)
        .into_par_iter()
        .map(|i| {
            let of_value = |(name, value): (&String, &ArrayD<f32>)| {
                if value.iter().all(|x| x.is_finite()) {
                    return Ok(value.iter().fold((0f32, 0f32), |(low, high), &x| (low.min(x), high.max(x))));
                }
                Err(Failure::Data(format!(
                    "calibration sample {i}: `{name}` becomes NaN or infinite; remove the sample or mend the model"
                )))
            };
            names.iter().zip(&run(i)?).map(of_value).collect::<Result<Vec<_>>>()
        })
        .try_reduce(
            || vec![(0f32, 0f32); names.len()],
            |a, b| Ok(a.iter().zip(&b).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect()),
        )?;
    let empty = || extremes.iter().map(|&(low, high)| Histogram::new(low, high)).collect::<Vec<_>>();
    (0..samples)
        .into_par_iter()
        .try_fold(empty, |mut histograms, i| {
            for (histogram, value) in histograms.iter_mut().zip(&run(i)?) {
                value.iter().for_each(|&x| histogram.add(x));
            }
            Ok(histograms)
        })
        .try_reduce(empty, |mut a, b| {
            a.iter_mut().zip(&b).for_each(|(a, b)| a.merge(b));
            Ok(a)
        })
}
