//! The float graph's values observed on calibration samples, or read where they were observed before.

use ndarray::ArrayD;
use still8_validation::data::Dataset;
use still8_validation::stream::SampleFile;
use still8_validation::{Result, files};

use super::{Progress, Settings, Source, float_sample};
use crate::calibrate::{self, Histogram, cache};
use crate::float::FloatRunner;
use crate::graph::ValueId;

/// Constant values that a warning names.
const CONSTANTS_NAMED: usize = 5;

impl Source {
    /// Histograms of `values` over some samples.
    pub(super) fn observe(
        &self,
        data: &Dataset,
        samples: std::ops::Range<usize>,
        values: &[ValueId],
        (settings, progress): (&Settings, &(impl Progress + Sync)),
    ) -> Result<Vec<Histogram>> {
        let graph = &self.imported.graph;
        let float = FloatRunner::new(graph, values);
        let run = |i: usize| Ok(float.run(&float_sample(data, samples.start + i, graph)));
        let key = || Ok(cache::hash_samples(data, samples.clone()));
        self.observed(values, (settings, progress), key, samples.len(), run)
    }

    /// Histograms of `values` over all samples of a file.
    pub(super) fn observe_file(
        &self,
        file: &SampleFile,
        values: &[ValueId],
        (settings, progress): (&Settings, &(impl Progress + Sync)),
    ) -> Result<Vec<Histogram>> {
        let graph = &self.imported.graph;
        let float = FloatRunner::new(graph, values);
        let run = |i: usize| {
            let sample = file.read(&[i])?;
            sample.require_finite()?;
            Ok(float.run(&float_sample(&sample, 0, graph)))
        };
        let key = || Ok(files::sha256_file(file.path())?.into_bytes());
        self.observed(values, (settings, progress), key, file.samples(), run)
    }

    /// A warning of the values that were one number other than 0 on all samples, where the file does not say what they mean.
    pub(super) fn constants(&self, values: &[ValueId], observed: &[Histogram]) -> Option<String> {
        let graph = &self.imported.graph;
        let found: Vec<String> = values
            .iter()
            .zip(observed)
            .filter(|(value, _)| graph.values[**value].given.is_none())
            .filter_map(|(&value, seen)| {
                Some(format!("`{}` ({})", graph.values[value].name, seen.constant()?))
            })
            .collect();
        let more = found.len().saturating_sub(CONSTANTS_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!found.is_empty()).then(|| {
            format!(
                "the same number on all calibration data, so that their ranges say nothing of other data: {}{more}",
                found[..found.len().min(CONSTANTS_NAMED)].join(", ")
            )
        })
    }

    /// Histograms out of the cache, or of `samples` samples, which `run` computes and `key` hashes.
    fn observed(
        &self,
        values: &[ValueId],
        (settings, progress): (&Settings, &(impl Progress + Sync)),
        key: impl FnOnce() -> Result<Vec<u8>>,
        samples: usize,
        run: impl Fn(usize) -> Result<Vec<ArrayD<f32>>> + Sync,
    ) -> Result<Vec<Histogram>> {
        let graph = &self.imported.graph;
        let names: Vec<String> = values.iter().map(|&value| graph.values[value].name.clone()).collect();
        let observe = || calibrate::observe(&names, samples, run, || progress.step());
        let Some(cache) = &settings.cache else { return observe() };
        let key = cache::Key::new(graph, values, &key()?);
        if let Some(histograms) = cache.load(&key, values.len()) {
            return Ok(histograms);
        }
        let histograms = observe()?;
        cache.store(&key, &histograms)?;
        Ok(histograms)
    }
}
