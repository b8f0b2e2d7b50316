//! `cargo xtask compare ort`: our quantizer against ONNX Runtime's, on the same calibration data and other test data.
//!
//! Both in int8 only: ONNX Runtime by the best of its calibration methods (QDQ, per channel), judged on the test data
//! itself; ours by its defaults.

mod judge;
pub mod onnx;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use still8::format::Family;
use still8_validation::data::{Dataset, InputSpec, Sample};
use still8_validation::fields::smooth;
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, Model};
use still8_validation::npy::{Arrays, Values, write_npy};
use still8_validation::recipe::Task;
use still8_validation::{Failure, Result, files};

use crate::boards::root;
use crate::commands::bench::every_model;
use crate::commands::tables::replace;
use crate::console::{Console, table};
use crate::emit::emit;
use crate::python::{ONNX_RUNTIME, Python};
use crate::quantize::{Settings, Source};
use judge::{Judged, judge};

/// Samples of networks without data of their own.
const CALIBRATION_SAMPLES: usize = 128;
const TEST_SAMPLES: usize = 500;
const CALIBRATION_SEED: u64 = 11;
const TEST_SEED: u64 = 12;

/// Public float networks, with the range of their inputs: raw pixels, pixels from 0 to 1, and spectral features.
const PUBLIC: &[(&str, [f32; 2])] = &[
    ("ad", [-60.0, 20.0]),
    ("ic", [0.0, 255.0]),
    ("ic_large", [0.0, 255.0]),
    ("kws", [-60.0, 60.0]),
    ("vww", [0.0, 1.0]),
];

const LIMIT: Duration = Duration::from_secs(1800);

/// Options of the command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Model folders, or float ONNX files named as those of MLPerf Tiny [default: every model, and the files in --public].
    pub models: Vec<PathBuf>,
    /// Folder with MLPerf Tiny's float networks (ad_float.onnx, ic_float.onnx, …).
    #[arg(long, value_name = "FOLDER", default_value_os_t = root().join("../shared/models/mlperf_tiny"))]
    pub public: PathBuf,
    /// Write the table into the README.
    #[arg(long)]
    pub write: bool,
}

/// The command's report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub results: Vec<Compared>,
    pub passed: bool,
}

/// Both quantizers on a model.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Compared {
    pub model: String,
    pub calibration_samples: usize,
    pub test_samples: usize,
    /// Our choice.
    pub method: String,
    /// Theirs: the best of those tried.
    pub ort_method: String,
    #[serde(flatten)]
    pub judged: Judged,
}

/// A network with the data to compare on.
struct Case {
    name: String,
    onnx: PathBuf,
    settings: Settings,
    calibration: Dataset,
    test: Dataset,
}

/// Compares.
///
/// # Errors
/// [`Failure::Missing`] without Python or its packages; those of quantizing.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let python = Python::with(ONNX_RUNTIME)?;
    let cases = cases(options, console)?;
    let mut results = Vec::new();
    for case in &cases {
        console.note(format!("{}: ONNX Runtime's quantizer, then ours", case.name));
        results.push(compare(case, &python, console)?);
    }
    let passed = results.iter().all(|result| result.judged.passed);
    let text = render(&results).to_string();
    console.say(&text);
    if options.write {
        replace(&root().join("README.md"), "ort", &text)?;
    }
    Ok(Report { schema: 1, results, passed })
}

/// # Errors
/// [`Failure::Missed`] where ONNX Runtime's quantizer loses less on some model.
pub fn missed(report: &Report) -> Result<()> {
    let worse: Vec<&str> = report
        .results
        .iter()
        .filter(|result| !result.judged.passed)
        .map(|result| result.model.as_str())
        .collect();
    if worse.is_empty() {
        return Ok(());
    }
    Err(Failure::Missed(format!("ONNX Runtime's quantizer loses less on {}", worse.join(", "))))
}

fn cases(options: &Options, console: Console) -> Result<Vec<Case>> {
    let mut models = options.models.clone();
    if models.is_empty() {
        models = every_model(console)?;
        let files = PUBLIC.iter().map(|(name, _)| options.public.join(format!("{name}_float.onnx")));
        let (there, absent): (Vec<_>, Vec<_>) = files.partition(|file| file.is_file());
        if !absent.is_empty() {
            console.warn(format!("SKIPPED: no {}", absent[0].display()));
        }
        models.extend(there);
    }
    models.iter().map(|path| if path.is_dir() { own(path) } else { public(path) }).collect()
}

fn own(folder: &Path) -> Result<Case> {
    let model = Model::open(folder)?;
    let recipe = model.recipe();
    let mut settings = Settings { name: recipe.name.clone(), ..Settings::default() };
    if let Some([low, high]) = model.input().range {
        settings.input_ranges.insert(recipe.input.name.clone(), (low, high));
    }
    // All labelled samples where there are such and the model's recipe has made them, else those that ship.
    let mut test = match recipe.data.full.as_ref().map(|_| model.dataset(DataKind::Full)) {
        None | Some(Err(Failure::Missing(_))) => model.dataset(DataKind::Test),
        Some(full) => full,
    }?;
    // The largest output is no class: what counts is how close the outputs are.
    if recipe.task == Task::Anomaly {
        test.labels = None;
    }
    Ok(Case {
        name: recipe.name.clone(),
        onnx: model.student()?,
        settings,
        calibration: model.dataset(DataKind::Calibration)?,
        test,
    })
}

fn public(path: &Path) -> Result<Case> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem.strip_suffix("_float").unwrap_or(&stem);
    let range = PUBLIC.iter().find(|(known, _)| *known == name).map(|(_, range)| *range);
    let range = range.ok_or_else(|| {
        Failure::Usage(format!(
            "{}: neither a model's folder nor one of MLPerf Tiny's float networks (NAME_float.onnx)",
            path.display()
        ))
    })?;
    let source = Source::open(path, &[])?;
    let specs = source.inputs(&HashMap::new());
    let specs: Vec<_> = specs.into_iter().map(|spec| InputSpec { range: Some(range), ..spec }).collect();
    Ok(Case {
        name: name.to_owned(),
        onnx: path.to_owned(),
        settings: Settings { name: name.to_owned(), ..Settings::default() },
        calibration: smooth(CALIBRATION_SEED, &specs, CALIBRATION_SAMPLES),
        test: smooth(TEST_SEED, &specs, TEST_SAMPLES),
    })
}

fn compare(case: &Case, python: &Python, console: Console) -> Result<Compared> {
    let folder = tempfile::tempdir().map_err(|error| Failure::data(&std::env::temp_dir(), error))?;
    let [calibration, test, output] =
        ["calibration.npy", "test.npy", "output.npz"].map(|file| folder.path().join(file));
    for (path, data) in [(&calibration, &case.calibration), (&test, &case.test)] {
        let tensor = &data.inputs[0].1;
        files::write_atomically(path, |file| write_npy(file, tensor.shape(), tensor.values()))?;
    }
    python.run("ort_quantize.py", &[&case.onnx, &calibration, &test, &output], LIMIT)?;
    let theirs = Arrays::parse(&files::read(&output)?).map_err(|error| Failure::data(&output, error))?;
    let Arrays::Named(theirs) = theirs else {
        return Err(Failure::data(&output, "no archive"));
    };
    let rows = |values: Vec<f32>, samples: usize| -> Vec<Vec<f32>> {
        values.chunks(values.len() / samples.max(1)).map(<[f32]>::to_vec).collect()
    };
    let samples = case.test.samples();
    let mut float = Vec::new();
    let mut methods = Vec::new();
    for (name, array) in theirs {
        let Some(Values::Float(values)) = array.values() else { continue };
        match name.as_str() {
            "float" => float = rows(values, samples),
            _ => methods.push((name, rows(values, samples))),
        }
    }

    let source = Source::open(&case.onnx, &[])?;
    let quantized = source.quantize(&case.calibration, &case.settings, &console.progress(&case.name))?;
    let plan = emit(&quantized.network, Family::Portable)?.bytes;
    let runner =
        HostRunner::new(&plan).map_err(|error| Failure::Unsupported(format!("{}: {error}", case.name)))?;
    let outputs = runner.run(&case.test, |_| ())?.0.dequantized();
    let ours: Vec<Vec<f32>> = (0..samples)
        .map(|i| match outputs[0].1.sample(i) {
            Sample::Float(values) => values.to_vec(),
            Sample::Int8(values) => values.iter().map(|&q| q.into()).collect(),
        })
        .collect();
    let labels = case.test.labels.as_deref();
    let (ort_method, judged) = judge(&float, &ours, &methods, labels)
        .ok_or_else(|| Failure::Data(format!("{}: ONNX Runtime quantized it by no method", case.name)))?;
    Ok(Compared {
        model: case.name.clone(),
        calibration_samples: case.calibration.samples(),
        test_samples: samples,
        method: quantized.calibration.method.to_string(),
        ort_method,
        judged,
    })
}

fn render(results: &[Compared]) -> comfy_table::Table {
    let mut rows = table(&[
        "model",
        "test samples",
        "measure",
        "float",
        "still8",
        "ONNX Runtime",
        "its best method",
        "still8 better by",
        "95 % interval",
        "SQNR dB, still8",
        "ONNX Runtime",
    ]);
    for result in results {
        let judged = &result.judged;
        let value = |value: f64| {
            if judged.measure == "accuracy" {
                format!("{:.2} %", 100.0 * value)
            } else {
                format!("{value:.2} dB")
            }
        };
        rows.add_row([
            result.model.clone(),
            result.test_samples.to_string(),
            judged.measure.to_owned(),
            judged.float.map_or_else(|| "-".to_owned(), value),
            value(judged.ours),
            value(judged.ort),
            result.ort_method.clone(),
            value(judged.better_by),
            format!("{} to {}", value(judged.interval[0]), value(judged.interval[1])),
            format!("{:.2}", judged.sqnr_db),
            format!("{:.2}", judged.ort_sqnr_db),
        ]);
    }
    rows
}
