//! `cargo xtask validate`: teacher, float student and int8 student over the test data, judged by the recipe.

use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use still8::format::Family;
use still8_validation::data::Dataset;
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, Model};
use still8_validation::oracle::Oracle;
use still8_validation::recipe::Task;
use still8_validation::run::{Outputs, run_float};
use still8_validation::validate::{Comparison, Report, Verdict, compare};
use still8_validation::{Failure, Result, files, render};

use crate::boards::root;
use crate::commands::quantize::{is_model, quantize_model};
use crate::console::Console;
use crate::emit::emit;
use crate::engine::{self, Place};
use crate::quantize::Progress;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A model folder, whose student is quantized afresh; or a plan made from one.
    pub model: PathBuf,
    /// The folder of the model that a plan was made from [default: models/NAME].
    #[arg(long, value_name = "FOLDER")]
    pub of: Option<PathBuf>,
    /// Where the int8 student runs: host, cortex-m0 … cortex-m55 or aarch64. An emulated core must give the host's bytes.
    #[arg(long, default_value = "host", value_name = "CORE")]
    pub on: Place,
    /// Only N samples, spread evenly over the data.
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// shipped: the model's test sample; full: the whole test set, made by the model's recipe.
    #[arg(long, default_value = "shipped", value_parser = ["shipped", "full"])]
    pub data: String,
}

/// Validates and reports; whether the limits hold is in the report.
///
/// # Errors
/// By the exit codes of the command contract. A missed limit is not an error here, see [`missed`].
pub fn run(options: &Options, console: Console) -> Result<Report> {
    if options.samples == Some(0) {
        return Err(Failure::Usage("--samples 0: nothing to validate; give 1 or more".into()));
    }
    let (model, runner) = open(options, console)?;
    let mut data = model.dataset(if options.data == "full" { DataKind::Full } else { DataKind::Test })?;
    if let Some(samples) = options.samples {
        data.thin(samples);
    }
    let mut report = measure(&model, &runner, &data, (options.on, &options.data), console)?;
    judge(&mut report, &model);
    console.say(render::text(&report));
    Ok(report)
}

/// Judges what [`measure`] found by the model's limits; where its teacher was left out, by those that need none.
pub fn judge(report: &mut Report, model: &Model) {
    let recipe = model.recipe();
    let left_out = recipe.teacher.is_some() && report.teacher.is_none();
    let limits = recipe.thresholds.clone();
    report.judge(&if left_out { limits.without_teacher() } else { limits });
}

/// The three networks on `data`, which is called `dataset`, the int8 student on `place`; not judged.
///
/// # Errors
/// By the exit codes of the command contract.
pub fn measure(
    model: &Model,
    runner: &HostRunner,
    data: &Dataset,
    (place, dataset): (Place, &str),
    console: Console,
) -> Result<Report> {
    let recipe = model.recipe();
    let float = float_outputs(&model.student()?, data, "float student", console)?;
    let teacher = match model.teacher() {
        Err(Failure::Missing(why)) => {
            console.warn(format!("the teacher and its limits are left out: {why}"));
            None
        }
        path => path?.map(|path| float_outputs(&path, data, "teacher", console)).transpose()?,
    };
    let host = engine::run(Place::Host, runner, data, console)?;
    let mut mismatches = None;
    let mut outputs = host.outputs;
    if place != Place::Host {
        let device = engine::run(place, runner, data, console)?;
        let (host, device_bytes) = (outputs.bytes(), device.outputs.bytes());
        mismatches = Some(host.iter().zip(&device_bytes).filter(|(a, b)| a != b).count() as u64);
        outputs = device.outputs;
    }
    let int8 = match &outputs.dequantized()[..] {
        [(_, tensor)] => Outputs::from_tensor(tensor)?,
        several => {
            return Err(Failure::Unsupported(format!(
                "a model with a recipe has one output; `{}` has {}",
                recipe.name,
                several.len()
            )));
        }
    };
    let targets = match recipe.task {
        Task::Classification => None,
        Task::Anomaly => data.inputs.first().map(|(_, tensor)| tensor),
        Task::Regression => data.targets.as_ref(),
    };
    let targets = targets.map(Outputs::from_tensor).transpose()?;
    let mut report = compare(&Comparison {
        model: &recipe.name,
        task: recipe.task,
        dataset,
        on: place.name(),
        classes: recipe.names(),
        labels: data.labels.as_deref(),
        targets: targets.as_ref(),
        teacher: teacher.as_ref(),
        float: Some(&float),
        int8: &int8,
    })?;
    report.byte_mismatches = mismatches;
    Ok(report)
}

/// The failure that a report with a missed limit is.
///
/// # Errors
/// [`Failure::Missed`] names every limit that was missed.
pub fn missed(report: &Report) -> Result<()> {
    let missed: Vec<String> =
        report.verdicts.iter().filter(|verdict| !verdict.passed).map(Verdict::miss).collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Missed(format!("{} misses its limits: {}", report.model, missed.join("; "))))
    }
}

/// The model and the plan to validate.
fn open(options: &Options, console: Console) -> Result<(Model, HostRunner)> {
    let path = &options.model;
    if is_model(path) {
        let model = Model::open(path)?;
        let quantized = quantize_model(path, console)?;
        let plan = emit(&quantized.network, Family::Portable)?;
        let runner = HostRunner::new(&plan.bytes).map_err(|error| Failure::data(path, error))?;
        return Ok((model, runner));
    }
    let runner = HostRunner::open(path)?;
    let name = runner.plan().name().to_owned();
    let folder = options.of.clone().unwrap_or_else(|| root().join("models").join(&name));
    if !folder.exists() {
        return Err(Failure::Usage(format!(
            "{}: the plan's model `{name}` is not in models/; say with --of FOLDER which model it was made from",
            path.display()
        )));
    }
    let model = Model::open(&folder)?;
    let student = files::sha256_file(&model.student()?)?;
    let source: String =
        runner.plan().header().source_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    if source != student {
        console.warn(format!(
            "{} was not made from this student of {}: its source has another hash",
            path.display(),
            folder.display()
        ));
    }
    Ok((model, runner))
}

/// A float network's outputs on all samples.
///
/// # Errors
/// Those of [`Oracle`], and [`Failure::Data`] for int8 data, which a float network cannot take.
pub fn float_outputs(onnx: &Path, data: &Dataset, what: &str, console: Console) -> Result<Outputs> {
    let oracle = Oracle::load(onnx, &[])?;
    let shapes = oracle.input_shapes();
    let [shape] = &shapes[..] else {
        return Err(Failure::Unsupported(format!(
            "{}: a model with a recipe has one input, not {}",
            onnx.display(),
            shapes.len()
        )));
    };
    let network = |sample: &[f32]| {
        let input = ArrayD::from_shape_vec(shape.clone(), sample.to_vec())
            .map_err(|error| Failure::data(onnx, error))?;
        let outputs = oracle.run(&[input])?;
        Ok(outputs.first().map_or_else(Vec::new, |output| output.iter().copied().collect()))
    };
    let (_, tensor) =
        data.inputs.first().ok_or_else(|| Failure::Data(format!("{}: no input", data.origin)))?;
    let bar = console.progress(&format!("running the {what}"));
    bar.start(data.samples());
    run_float(network, tensor, |_| bar.step())
}
