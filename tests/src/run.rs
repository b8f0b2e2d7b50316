//! Runs a float network over a data set, in parallel.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::data::{Sample, Tensor};
use crate::{Failure, Result, metrics};

/// Logits of a classification, one vector a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// `[samples][classes]`.
    pub logits: Vec<Vec<f32>>,
}

impl Outputs {
    /// The logits of a float tensor `[samples, ..]`.
    ///
    /// # Errors
    /// [`Failure::Data`] for an int8 tensor, which must be dequantized first.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let logits = (0..tensor.samples()).map(|i| Ok(floats(tensor, i)?.to_vec()));
        Ok(Self { logits: logits.collect::<Result<_>>()? })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.logits.len()
    }

    /// The class that each sample is given.
    pub fn classes(&self) -> Vec<usize> {
        self.logits.iter().map(|logits| metrics::argmax(logits)).collect()
    }

    /// All logits, samples outermost.
    pub fn concat(&self) -> Vec<f32> {
        self.logits.concat()
    }
}

/// Runs `network` on every sample of its input. `progress` gets the number of samples done, in no fixed
/// thread.
///
/// # Errors
/// The first error of `network`; [`Failure::Data`] for an int8 tensor, which a float network cannot take.
pub fn run_float(
    network: impl Fn(&[f32]) -> Result<Vec<f32>> + Sync,
    input: &Tensor,
    progress: impl Fn(usize) + Sync,
) -> Result<Outputs> {
    let counter = Counter::new(progress);
    let run = |i| {
        let logits = network(floats(input, i)?)?;
        counter.step();
        Ok(logits)
    };
    let logits: Result<_> = (0..input.samples()).into_par_iter().map(run).collect();
    Ok(Outputs { logits: logits? })
}

/// Counts finished samples over threads.
pub(crate) struct Counter<F> {
    done: AtomicUsize,
    progress: F,
}

impl<F: Fn(usize) + Sync> Counter<F> {
    pub(crate) fn new(progress: F) -> Self {
        Self { done: AtomicUsize::new(0), progress }
    }

    pub(crate) fn step(&self) {
        (self.progress)(self.done.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

fn floats(tensor: &Tensor, i: usize) -> Result<&[f32]> {
    match tensor.sample(i) {
        Sample::Float(values) => Ok(values),
        Sample::Int8(_) => Err(Failure::Data(
            "a float network needs float samples; these are int8 already quantized".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Values;

    #[test]
    fn order_is_kept_and_progress_counts_all() {
        let input = Tensor::new(vec![100, 2], Values::Float((0..200).map(|i| i as f32).collect()));
        let largest = AtomicUsize::new(0);
        let swap = |sample: &[f32]| Ok(vec![sample[1], sample[0]]);
        let progress = |done| {
            largest.fetch_max(done, Ordering::Relaxed);
        };
        let outputs = run_float(swap, &input, progress).unwrap();
        assert_eq!(largest.into_inner(), 100);
        assert_eq!(outputs.logits[99], [199.0, 198.0]);
        assert_eq!(outputs.classes(), [0; 100]);
        assert_eq!(Outputs::from_tensor(&input).unwrap().concat().len(), 200);
    }

    #[test]
    fn failure_and_int8_samples_are_errors() {
        let input = Tensor::new(vec![2, 1], Values::Float(vec![0.0, 1.0]));
        let fail = |_: &[f32]| Err(Failure::Unsupported("no such operator".to_owned()));
        assert_eq!(run_float(fail, &input, |_| ()).unwrap_err().exit_code(), 3);
        let input = Tensor::new(vec![1, 1], Values::Int8(vec![0]));
        assert_eq!(run_float(|x| Ok(x.to_vec()), &input, |_| ()).unwrap_err().exit_code(), 4);
    }
}
