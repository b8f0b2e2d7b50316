//! The float graph's values observed on calibration samples, or read where they were observed before.

use ndarray::ArrayD;
use still8_validation::data::Dataset;
use still8_validation::stream::SampleFile;
use still8_validation::{Result, files};

use super::{Progress, Settings, Source, float_sample};
use crate::calibrate::{self, Histogram, cache};
use crate::float::FloatRunner;
use crate::graph::ValueId;

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
