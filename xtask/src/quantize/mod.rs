//! Quantize: from the float graph and the ranges of its values to the int8 network.

mod addition;
mod axes;
pub(crate) mod channel;
pub mod evidence;
pub(crate) mod fuse;
pub mod golden;
pub mod isolate;
mod layout;
pub(crate) mod lower;
mod lower_arithmetic;
mod lower_average;
mod lower_movement;
mod lower_ops;
pub(crate) mod lower_wide;
pub mod mixed;
mod noise;
mod observe;
pub(crate) mod params;
pub mod pins;
pub mod scheme;
pub mod search;
pub mod trial;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayD;
use still8_validation::data::{Dataset, InputSpec, Sample};
use still8_validation::recipe::Task;
use still8_validation::stream::SampleFile;
use still8_validation::{Failure, Result};

use crate::calibrate::cache::Cache;
use crate::calibrate::{self, Histogram, Method};
use crate::float::FloatRunner;
use crate::graph::{Given, Graph, ValueId};
use crate::import::{self, Imported};
use crate::network::Network;
use crate::qdq;
use crate::recover::{self, Recovery, Refined};
use crate::simplify;
pub use channel::accumulator_bound;
pub use fuse::fuse_activations as steps;
use pins::Pin;
pub use scheme::Scheme;
use trial::Trial;

/// Samples on which the error of each layer is measured.
const SQNR_SAMPLES: usize = 64;
/// Samples of a trial of a random range.
const TRIAL_SAMPLES: usize = 32;
/// Held-out samples: with fewer than twice the least, all samples serve for both; more than the most say little more.
const HELD_OUT_LEAST: usize = 8;
const HELD_OUT_MOST: usize = 64;
/// Samples whose moments weights are rounded by.
const MOMENT_SAMPLES: usize = 256;
/// Samples that scales are tuned on.
const TUNE_SAMPLES: usize = 128;
/// Fewer calibration samples than this earn a warning.
const FEW_SAMPLES: usize = 32;

/// What to do beyond the defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the model; the graph's own where it is empty.
    pub name: String,
    /// What the model does: whether its outputs decide by the largest, or by their distance from the input.
    pub task: Task,
    /// How ranges are chosen; `None`: the way that serves best on held-out samples.
    pub method: Option<Method>,
    /// Which steps recover accuracy, in order.
    pub recover: Vec<Recovery>,
    /// Layers of another precision than int8.
    pub pins: Vec<Pin>,
    /// Real ranges of inputs that the recipe fixes, by name.
    pub input_ranges: HashMap<String, (f32, f32)>,
    /// Sizes of symbolic dimensions.
    pub dims: Vec<(String, usize)>,
    /// Where model and data came from (TOML), to be carried in the plan.
    pub lineage: Option<String>,
    /// All calibration samples, where they are too many to be held: ranges are observed on them, all else on those given.
    pub file: Option<Arc<SampleFile>>,
    /// Where observed ranges are kept for the next time.
    pub cache: Option<Cache>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            task: Task::Classification,
            method: None,
            recover: Recovery::ALL.to_vec(),
            pins: Vec::new(),
            input_ranges: HashMap::new(),
            dims: Vec::new(),
            lineage: None,
            file: None,
            cache: None,
        }
    }
}

impl Settings {
    /// These without a step of recovery.
    fn without(&self, recovery: Recovery) -> Self {
        let recover = self.recover.iter().copied().filter(|&step| step != recovery).collect();
        Self { recover, ..self.clone() }
    }
}

/// How ranges were chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The method.
    pub method: Method,
    /// Output SQNR in dB on held-out samples by every method that was tried.
    pub errors: Vec<(Method, f64)>,
}

impl Calibrated {
    /// The method with the least error.
    fn least(error: impl Fn(Method) -> Result<f64>) -> Result<Self> {
        let mut errors = Vec::new();
        for method in Method::ALL {
            errors.push((method, error(method)?));
        }
        // Of equals the first, which is the simpler one.
        let best = errors.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(Method::MinMax, |best| best.0);
        let errors = errors.into_iter().map(|(method, error)| (method, trial::decibels(error))).collect();
        Ok(Self { method: best, errors })
    }
}

/// Indices of the samples to calibrate on while something is chosen, and of those to judge by: the last quarter, or all
/// where they are few.
fn parts(samples: usize) -> (Vec<usize>, Vec<usize>) {
    if samples < 2 * HELD_OUT_LEAST {
        return ((0..samples).collect(), (0..samples).collect());
    }
    let fit = samples - samples / 4;
    ((0..fit).collect(), spread(&(fit..samples).collect::<Vec<_>>(), HELD_OUT_MOST))
}

/// At most so many of `indices`, spread evenly.
fn spread(indices: &[usize], most: usize) -> Vec<usize> {
    let kept = indices.len().min(most);
    (0..kept).map(|i| indices[i * indices.len() / kept]).collect()
}

/// An imported model that waits for calibration data.
pub struct Source {
    path: std::path::PathBuf,
    imported: Imported,
    folded: Vec<String>,
}

/// A quantized model.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The int8 network, with its golden self-test.
    pub network: Network,
    /// The float graph that it was made of, with recovered biases.
    pub graph: Graph,
    /// The float graph whose values the integers stand for: the source's, or with ranges shared out between layers.
    pub float: Graph,
    /// Its integers.
    pub scheme: Scheme,
    /// Signal to quantization noise of each op's output against the float run, in dB; `None` for ops that only move
    /// data.
    pub sqnr_db: Vec<Option<f64>>,
    /// How ranges were chosen.
    pub calibration: Calibrated,
    /// What recovery did.
    pub recovery: Vec<recover::Step>,
    /// What users should look at.
    pub warnings: Vec<String>,
    /// What import and simplify folded and fused.
    pub folded: Vec<String>,
}

impl Quantized {
    /// The network as standard ONNX in QDQ form.
    ///
    /// # Errors
    /// As [`qdq::export`].
    pub fn to_qdq(&self) -> Result<Vec<u8>> {
        qdq::export(&self.graph, &self.scheme, &self.network.name, self.network.source_sha256)
    }
}

impl Source {
    /// Imports and simplifies the ONNX file at `path`.
    ///
    /// # Errors
    /// As [`import::import`].
    pub fn open(path: &Path, dims: &[(String, usize)]) -> Result<Self> {
        let mut imported = import::import(path, dims)?;
        let folded = simplify::simplify(&mut imported.graph);
        Ok(Self { path: path.to_owned(), imported, folded })
    }

    /// The float graph.
    pub fn graph(&self) -> &Graph {
        &self.imported.graph
    }

    /// Name, shape and, where the recipe fixes it, range of each input.
    pub fn inputs(&self, ranges: &HashMap<String, (f32, f32)>) -> Vec<InputSpec> {
        let graph = &self.imported.graph;
        let spec = |&input: &ValueId| {
            let value = &graph.values[input];
            let given = match &value.given {
                Some(Given::Activation(given)) => Some(given.range()),
                _ => None,
            };
            let range = ranges.get(&value.name).copied().or(given).map(|(low, high)| [low, high]);
            InputSpec { name: value.name.clone(), shape: value.shape.clone(), range }
        };
        graph.inputs.iter().map(spec).collect()
    }

    /// Whether the file brings the quantization of every value, so that no calibration is needed.
    pub fn is_quantized(&self) -> bool {
        let graph = &self.imported.graph;
        params::all_given(graph, &fuse::fuse_activations(graph))
    }

    /// Random calibration samples. Inputs without a range in `specs` get the one of [`calibrate::RANDOM_RANGES`] whose
    /// quantization keeps most of the output's variation.
    ///
    /// # Errors
    /// As [`Self::quantize`].
    pub fn random_data(
        &self,
        seed: u64,
        specs: &[InputSpec],
        samples: usize,
        settings: &Settings,
    ) -> Result<Dataset> {
        let with = |range: [f32; 2]| -> Vec<InputSpec> {
            specs.iter().map(|spec| InputSpec { range: spec.range.or(Some(range)), ..spec.clone() }).collect()
        };
        let quick = Settings { method: Some(Method::Mse), recover: vec![], ..settings.clone() };
        let mut best = (f64::NEG_INFINITY, calibrate::RANDOM_RANGES[0]);
        if specs.iter().any(|spec| spec.range.is_none()) {
            let graph = &self.imported.graph;
            let float = FloatRunner::new(graph, &graph.outputs);
            for range in calibrate::RANDOM_RANGES {
                let data = Dataset::random(seed, &with(range), TRIAL_SAMPLES);
                let outputs: Vec<Vec<f32>> = (0..TRIAL_SAMPLES)
                    .map(|i| float.run(&float_sample(&data, i, graph)).iter().flatten().copied().collect())
                    .collect();
                let quantized = self.quantize(&data, &quick, &Silent)?;
                let sqnr_db = quantized.sqnr_db.iter().rev().find_map(|&db| db).unwrap_or(0.0);
                let score = 10.0 * calibrate::relative_variation(&outputs).log10() + sqnr_db;
                if score > best.0 {
                    best = (score, range);
                }
            }
        }
        Ok(Dataset::random(seed, &with(best.1), samples))
    }

    /// Calibrates on `data` and quantizes. `progress` is told the number of steps first, then called for each.
    ///
    /// # Errors
    /// [`Failure::Data`] for data that does not serve, [`Failure::Unsupported`] for nodes without an int8 form.
    pub fn quantize(
        &self,
        data: &Dataset,
        settings: &Settings,
        progress: &(impl Progress + Sync),
    ) -> Result<Quantized> {
        data.require_finite()?;
        if let Some((step, balanced)) = self.balanced(data, settings)? {
            let settings = settings.without(Recovery::Equalize);
            let source = if step.kept { &balanced } else { self };
            let mut quantized = source.quantize(data, &settings, progress)?;
            quantized.recovery.insert(0, step);
            return Ok(quantized);
        }
        let graph = &self.imported.graph;
        let mut warnings = self.imported.warnings.clone();
        let samples = data.samples();
        if samples < FEW_SAMPLES {
            warnings.push(format!(
                "only {samples} calibration samples; {FEW_SAMPLES} or more give steadier ranges"
            ));
        }
        let steps = fuse::fuse_activations(graph);
        let precisions = pins::precisions(graph, &steps, &settings.pins)?;
        let values: Vec<ValueId> =
            graph.inputs.iter().copied().chain(steps.iter().map(|step| step.output)).collect();
        let (fit, held) = parts(samples);
        let trials = if self.is_quantized() { vec![] } else { settings.recover.clone() };
        let auto = settings.method.is_none() && !self.is_quantized();
        let seen = settings.file.as_ref().map_or(samples, |file| file.samples());
        progress.start(2 * seen + if auto { 2 * fit.len() } else { 0 } + trials.len());

        let observed = match &settings.file {
            Some(file) => self.observe_file(file, &values, (settings, progress))?,
            None => self.observe(data, 0..samples, &values, (settings, progress))?,
        };
        warnings.extend(self.constants(&values, &observed));
        let extremes =
            |input: ValueId| values.iter().position(|&value| value == input).map(|i| observed[i].extremes());
        let fixed = self.fixed_ranges(&settings.input_ranges, extremes, &mut warnings)?;
        let scheme = |histograms: &[Histogram], method, warnings: &mut Vec<String>| {
            let ranges = values.iter().zip(histograms).map(|(&value, seen)| (value, seen.range(method)));
            let values = params::assign(graph, &steps, &ranges.collect(), &fixed, warnings);
            Scheme::new(graph, &steps, values, &precisions)
        };
        let on_held = Trial::new(graph, data, &held);
        let calibration = match settings.method {
            Some(method) => Calibrated { method, errors: vec![] },
            None if !auto => Calibrated { method: Method::MinMax, errors: vec![] },
            None => {
                let seen = self.observe(data, 0..fit.len(), &values, (settings, progress))?;
                let error = |method| on_held.error(graph, &steps, &scheme(&seen, method, &mut vec![])?);
                Calibrated::least(error)?
            }
        };
        let scheme = scheme(&observed, calibration.method, &mut warnings)?;
        warnings.extend(scheme.held_in_int8(graph, &steps));
        let mut refined = Refined { original: graph, graph: graph.clone(), steps: &steps, scheme };
        let recovery = self.recover(&mut refined, &trials, data, &fit, &on_held, progress)?;
        let Refined { graph, scheme, .. } = refined;

        let mut lowered = lower::lower(&graph, &steps, &scheme)?;
        if !settings.name.is_empty() {
            lowered.network.name.clone_from(&settings.name);
        }
        lowered.network.source_sha256 = self.imported.sha256;
        lowered.network.lineage.clone_from(&settings.lineage);
        // Against the source's own floats: recovery changed biases.
        let float = FloatRunner::new(&self.imported.graph, &values);
        let floats = (0..samples.min(SQNR_SAMPLES)).map(|i| float_sample(data, i, &graph));
        let (sqnr_db, golden) = noise::measure(&lowered, &float, &values, data, floats)?;
        lowered.network.golden = golden;
        let folded = self.folded.clone();
        Ok(Quantized {
            network: lowered.network,
            graph,
            float: self.imported.graph.clone(),
            scheme,
            sqnr_db,
            calibration,
            recovery,
            warnings,
            folded,
        })
    }

    /// The model with equalized weights, and whether its integers come closer to the float outputs on held-out samples; `None`
    /// where that is not asked for or nothing can be equalized.
    fn balanced(&self, data: &Dataset, settings: &Settings) -> Result<Option<(recover::Step, Self)>> {
        if !settings.recover.contains(&Recovery::Equalize) || self.is_quantized() {
            return Ok(None);
        }
        let Some(graph) = recover::equalize::equalized(&self.imported.graph) else { return Ok(None) };
        let imported = Imported { graph, ..self.imported.clone() };
        let balanced = Self { path: self.path.clone(), imported, folded: self.folded.clone() };
        let (fit, held) = parts(data.samples());
        let calibration = data.pick(&spread(&fit, HELD_OUT_MOST));
        let quick = Settings {
            method: settings.method.or(Some(Method::MinMax)),
            recover: vec![],
            file: None,
            ..settings.clone()
        };
        let error = |source: &Self| {
            let quantized = source.quantize(&calibration, &quick, &Silent)?;
            let graph = &source.imported.graph;
            Trial::new(graph, data, &held).error(graph, &fuse::fuse_activations(graph), &quantized.scheme)
        };
        let (before, after) = (error(self)?, error(&balanced)?);
        let step = recover::Step {
            recovery: Recovery::Equalize,
            before_db: trial::decibels(before),
            after_db: trial::decibels(after),
            kept: after < before,
        };
        Ok(Some((step, balanced)))
    }

    /// The steps of recovery, on the float graph as it was imported.
    fn recover(
        &self,
        refined: &mut Refined<'_>,
        recoveries: &[Recovery],
        data: &Dataset,
        fit: &[usize],
        held: &Trial,
        progress: &(impl Progress + Sync),
    ) -> Result<Vec<recover::Step>> {
        if recoveries.is_empty() {
            return Ok(vec![]);
        }
        let graph = refined.original;
        let seen = spread(fit, MOMENT_SAMPLES);
        let samples: Vec<_> = seen.iter().map(|&i| float_sample(data, i, graph)).collect();
        let on_fit = Trial::new(graph, data, &spread(fit, TUNE_SAMPLES));
        recover::recover(refined, recoveries, &samples, &on_fit, held, &|| progress.step())
    }

    /// The ranges that the recipe fixes, by input; warns where the data lie outside.
    fn fixed_ranges(
        &self,
        ranges: &HashMap<String, (f32, f32)>,
        observed: impl Fn(ValueId) -> Option<(f32, f32)>,
        warnings: &mut Vec<String>,
    ) -> Result<HashMap<ValueId, (f32, f32)>> {
        let graph = &self.imported.graph;
        let mut fixed = HashMap::new();
        for (name, &range) in ranges {
            let input = graph.inputs.iter().find(|&&input| graph.values[input].name == *name);
            let &input = input.ok_or_else(|| {
                Failure::Usage(format!(
                    "the recipe fixes the range of `{name}`, which is not an input of {}",
                    self.path.display()
                ))
            })?;
            let slack = (range.1 - range.0) / 100.0;
            if let Some((low, high)) = observed(input)
                && (low < range.0 - slack || high > range.1 + slack)
            {
                warnings.push(format!(
                    "input `{name}` holds {low}..{high} in the calibration data, outside its range {}..{}: it saturates",
                    range.0, range.1
                ));
            }
            fixed.insert(input, range);
        }
        Ok(fixed)
    }
}

/// Progress that nobody watches.
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _steps: usize) {}
    fn step(&self) {}
}

/// Told how long work takes.
pub trait Progress {
    /// Work of this many steps begins.
    fn start(&self, steps: usize);
    /// One step is done.
    fn step(&self);
}

/// The sample's inputs as float arrays of the graph's shapes.
fn float_sample(data: &Dataset, i: usize, graph: &Graph) -> Vec<ArrayD<f32>> {
    let array = |((_, tensor), &input): (&(String, _), &ValueId)| {
        let tensor: &still8_validation::data::Tensor = tensor;
        let values = match tensor.sample(i) {
            Sample::Float(values) => values.to_vec(),
            // Calibration data is float: `Dataset::require_float` was asked for it.
            Sample::Int8(values) => values.iter().map(|&q| f32::from(q)).collect(),
        };
        let shape = graph.values[input].shape.as_slice();
        ArrayD::from_shape_vec(shape, values).unwrap_or_else(|_| ArrayD::zeros(shape))
    };
    data.inputs.iter().zip(&graph.inputs).map(array).collect()
}
