//! `cargo xtask quantize`: a float ONNX model and calibration data in, an int8 plan out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use still8::format::{DataType, Family};
use still8_validation::data::{Dataset, InputSpec};
use still8_validation::model::{DataKind, FILE_NAME, Model};
use still8_validation::recipe::Recovery;
use still8_validation::{Failure, Result, files};
use tempfile::TempDir;

use crate::calibrate::Method;
use crate::commands::{operator_name, target_dir};
use crate::console::Console;
use crate::emit::{Emitted, emit};
use crate::lineage;
use crate::quantize::{Quantized, Settings, Source};
use crate::reference::{self, Reference};

/// Samples of `--calib random:SEED`.
const RANDOM_SAMPLES: usize = 128;

/// Random samples on which a network whose quantization its file brings is measured.
const GIVEN_SAMPLES: usize = 32;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A model folder (with model.toml), a float ONNX file, or a network of MLPerf Tiny by name: kws, ic, ad, vww, sww
    /// (with random weights; a file or folder of that name wins).
    pub source: PathBuf,
    /// Calibration data: a .npz or .npy file, or random:SEED, or random:SEED:LOW..HIGH.
    #[arg(long, value_name = "FILE|random:SEED")]
    pub calib: Option<String>,
    /// The plan file [default: target/still8/NAME.FAMILY.s8].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also write the quantized network as standard ONNX (QDQ form), which opens in Netron and runs in ONNX Runtime.
    #[arg(long, value_name = "FILE")]
    pub emit_qdq: Option<PathBuf>,
    /// Kernel family that the weights are packed for: portable, scalar, dsp, helium or neon.
    #[arg(long, default_value = "portable", value_parser = parse_family)]
    pub family: Family,
    /// How ranges are chosen: minmax, percentile:P, mse or entropy [default: the recipe's, or the one with the least output
    /// error on held-out samples].
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub method: Option<Method>,
    /// Which steps recover accuracy: none, all, or some of bias, round and scales, in that order [default: the recipe's,
    /// or all].
    #[arg(long, value_name = "STEPS", value_parser = parse_recover)]
    pub recover: Option<Recover>,
    /// Size of a symbolic dimension.
    #[arg(long, value_name = "NAME=N", value_parser = parse_dim)]
    pub dim: Vec<(String, usize)>,
}

fn parse_family(name: &str) -> std::result::Result<Family, String> {
    let written = || Family::ALL.into_iter().filter(|&family| family != Family::Dsp1);
    written().find(|family| family.name() == name).ok_or_else(|| {
        let names: Vec<_> = written().map(Family::name).collect();
        format!("unknown kernel family `{name}`; known: {}", names.join(", "))
    })
}

fn parse_method(name: &str) -> std::result::Result<Method, String> {
    name.parse()
}

/// Steps of recovery.
#[derive(Clone, Debug)]
pub struct Recover(Vec<Recovery>);

fn parse_recover(text: &str) -> std::result::Result<Recover, String> {
    match text {
        "none" => Ok(Recover(vec![])),
        "all" => Ok(Recover(Recovery::ALL.to_vec())),
        steps => steps.split(',').map(str::parse).collect::<std::result::Result<_, _>>().map(Recover),
    }
}

fn parse_dim(text: &str) -> std::result::Result<(String, usize), String> {
    let (name, size) = text.split_once('=').ok_or("expected NAME=N")?;
    let size = size.parse().map_err(|_| format!("`{size}` is not a size"))?;
    Ok((name.to_owned(), size))
}

impl Options {
    fn override_settings(&self, settings: &mut Settings) {
        settings.method = self.method.or(settings.method);
        if let Some(Recover(recover)) = &self.recover {
            settings.recover.clone_from(recover);
        }
    }

    /// The defaults for a source.
    pub fn new(source: PathBuf, family: Family) -> Self {
        Self {
            source,
            calib: None,
            out: None,
            emit_qdq: None,
            family,
            method: None,
            recover: None,
            dim: Vec::new(),
        }
    }
}

/// A calibration method on held-out samples.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Tried {
    pub method: String,
    pub sqnr_db: Option<f64>,
}

/// A step of recovery, judged on held-out samples.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Recovered {
    pub step: &'static str,
    pub before_db: Option<f64>,
    pub after_db: Option<f64>,
    pub kept: bool,
}

/// What JSON can say: no infinity.
fn finite(db: f64) -> Option<f64> {
    Some(db).filter(|db| db.is_finite())
}

/// The command's report; field names are those of the command contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub name: String,
    pub plan: PathBuf,
    /// The network as ONNX in QDQ form, where it was asked for.
    pub qdq: Option<PathBuf>,
    pub plan_bytes: usize,
    pub weights_bytes: usize,
    pub arena_bytes: usize,
    /// Largest simultaneous live set: no memory plan can be smaller.
    pub arena_lower_bound: usize,
    /// Layer that sets the arena's peak.
    pub arena_peak_layer: Option<String>,
    pub macs: u64,
    pub parameters: usize,
    pub family: &'static str,
    pub calibration: String,
    pub calibration_samples: usize,
    /// Output SQNR on held-out samples of every method that was tried.
    pub calibration_tried: Vec<Tried>,
    /// What each step of recovery did.
    pub recovery: Vec<Recovered>,
    pub layers: Vec<Layer>,
    pub folded: Vec<String>,
    pub warnings: Vec<String>,
}

/// A row of the report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Layer {
    pub index: usize,
    pub name: String,
    pub op: &'static str,
    pub dtype: &'static str,
    pub macs: u64,
    pub weights_bytes: usize,
    /// Device layout.
    pub output_shape: [usize; 4],
    /// Largest |accumulator| on any input, proven below 2³¹; `null` for ops without weights.
    pub accumulator_bound: Option<i64>,
    /// Against the float run, errors of earlier layers included; `null` for ops that only move data.
    pub sqnr_db: Option<f64>,
}

/// Quantizes and writes the plan.
///
/// # Errors
/// [`Failure`] by the exit codes of the command contract; nothing is written then.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let prepared = Prepared::open(options)?;
    let source = Source::open(&prepared.onnx, &options.dim)?;
    let data = prepared.calibration(options, &source)?;
    let quantized = source.quantize(&data, &prepared.settings, &console.progress("calibrating"))?;
    let emitted = emit(&quantized.network, options.family)?;
    let qdq =
        options.emit_qdq.as_ref().map(|path| Ok::<_, Failure>((path, quantized.to_qdq()?))).transpose()?;
    let default = || target_dir().join(format!("{}.{}.s8", quantized.network.name, options.family.name()));
    let plan = options.out.clone().unwrap_or_else(default);
    files::write_atomically(&plan, |file| file.write_all(&emitted.bytes))?;
    if let Some((path, bytes)) = &qdq {
        files::write_atomically(path, |file| file.write_all(bytes))?;
    }
    let mut report = report(&quantized, &emitted, plan, options.family, data.samples());
    report.qdq.clone_from(&options.emit_qdq);
    for warning in &report.warnings {
        console.warn(warning);
    }
    console.say(render(&report));
    Ok(report)
}

/// Whether the source is a model folder or its model.toml; anything else is taken for an ONNX file.
pub fn is_model(source: &Path) -> bool {
    source.is_dir() || source.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// What the options and the recipe say.
struct Prepared {
    onnx: PathBuf,
    model: Option<Model>,
    /// A network built in code, and the folder that holds its file for as long as this lives.
    reference: Option<(&'static Reference, TempDir)>,
    settings: Settings,
}

impl Prepared {
    fn open(options: &Options) -> Result<Self> {
        let source = &options.source;
        if let Some(reference) = reference::find(source) {
            return Self::of_reference(reference, options);
        }
        let mut settings = Settings { dims: options.dim.clone(), ..Settings::default() };
        let model = if is_model(source) { Some(Model::open(source)?) } else { None };
        let onnx = match &model {
            Some(model) => {
                let recipe = model.recipe();
                settings.name.clone_from(&recipe.name);
                if let Some([low, high]) = model.input().range {
                    settings.input_ranges.insert(recipe.input.name.clone(), (low, high));
                }
                settings.method = recipe.quantize.calibration;
                if let Some(recover) = &recipe.quantize.recover {
                    settings.recover.clone_from(recover);
                }
                settings.lineage = Some(lineage::text(recipe)?);
                model.student()?
            }
            None => {
                let stem = source.file_stem().unwrap_or_default();
                settings.name = stem.to_string_lossy().into_owned();
                source.clone()
            }
        };
        options.override_settings(&mut settings);
        Ok(Self { onnx, model, reference: None, settings })
    }

    fn of_reference(reference: &'static Reference, options: &Options) -> Result<Self> {
        let (folder, onnx) = reference.temporary()?;
        let mut settings = Settings { dims: options.dim.clone(), ..reference.settings() };
        options.override_settings(&mut settings);
        Ok(Self { onnx, model: None, reference: Some((reference, folder)), settings })
    }

    fn calibration(&self, options: &Options, source: &Source) -> Result<Dataset> {
        let specs = source.inputs(&self.settings.input_ranges);
        if let Some(model) = &self.model {
            expect_input(model, &specs)?;
        }
        let data = match (&options.calib, &self.model) {
            (Some(text), _) => match text.strip_prefix("random:") {
                Some(random) => random_data(random, specs, source, &self.settings)?,
                None => Dataset::load(Path::new(text), &specs)?,
            },
            (None, Some(model)) => model.dataset(DataKind::Calibration)?,
            (None, None) => {
                if let Some((reference, _)) = &self.reference {
                    return Ok(reference.calibration());
                }
                if source.is_quantized() {
                    return Ok(Dataset::random(0, &specs, GIVEN_SAMPLES));
                }
                return Err(Failure::Usage(format!(
                    "{} is a bare ONNX file: give calibration data with --calib FILE.npz, or --calib random:SEED for a first look",
                    self.onnx.display()
                )));
            }
        };
        data.require_float()?;
        Ok(data)
    }
}

/// Refuses a recipe whose input is not the student's.
fn expect_input(model: &Model, inputs: &[InputSpec]) -> Result<()> {
    let stated = model.input();
    if let [input] = inputs
        && (&input.name, &input.shape) == (&stated.name, &stated.shape)
    {
        return Ok(());
    }
    let found: Vec<String> =
        inputs.iter().map(|input| format!("`{}` {:?}", input.name, input.shape)).collect();
    Err(Failure::Usage(format!(
        "{}: [input] is `{}` {:?}, but the student takes {}; state the student's input",
        model.folder().join(FILE_NAME).display(),
        stated.name,
        stated.shape,
        found.join(", ")
    )))
}

/// `SEED` or `SEED:LOW..HIGH`; without a range, the recipe's or the one that serves best.
fn random_data(
    text: &str,
    mut specs: Vec<InputSpec>,
    source: &Source,
    settings: &Settings,
) -> Result<Dataset> {
    let wrong =
        || Failure::Usage(format!("--calib random:{text}: expected random:SEED or random:SEED:LOW..HIGH"));
    let (seed, range) = match text.split_once(':') {
        Some((seed, range)) => {
            let (low, high) = range.split_once("..").ok_or_else(wrong)?;
            let number = |text: &str| text.parse::<f32>().ok().filter(|x| x.is_finite()).ok_or_else(wrong);
            (seed, Some([number(low)?, number(high)?]))
        }
        None => (text, None),
    };
    if range.is_some_and(|[low, high]| low >= high) {
        return Err(wrong());
    }
    for spec in &mut specs {
        spec.range = range.or(spec.range);
    }
    source.random_data(seed.parse().map_err(|_| wrong())?, &specs, RANDOM_SAMPLES, settings)
}

fn report(
    quantized: &Quantized,
    emitted: &Emitted,
    plan: PathBuf,
    family: Family,
    calibration_samples: usize,
) -> Report {
    let network = &quantized.network;
    let layers: Vec<Layer> = network
        .ops
        .iter()
        .enumerate()
        .map(|(index, op)| Layer {
            index,
            name: op.name.clone(),
            op: operator_name(op.kind.code()),
            dtype: DataType::Int8.name(),
            macs: network.macs(op),
            weights_bytes: op.kind.weights().len(),
            output_shape: network.tensors[op.output].shape,
            accumulator_bound: network.accumulator_bound(op),
            sqnr_db: quantized.sqnr_db[index].filter(|db| db.is_finite()),
        })
        .collect();
    Report {
        schema: 1,
        name: network.name.clone(),
        plan,
        qdq: None,
        plan_bytes: emitted.bytes.len(),
        weights_bytes: layers.iter().map(|layer| layer.weights_bytes).sum(),
        arena_bytes: emitted.memory.arena_bytes,
        arena_lower_bound: emitted.memory.lower_bound,
        arena_peak_layer: network.ops.get(emitted.memory.peak_op).map(|op| op.name.clone()),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        parameters: network.parameters(),
        family: family.name(),
        calibration: quantized.calibration.method.to_string(),
        calibration_samples,
        calibration_tried: quantized
            .calibration
            .errors
            .iter()
            .map(|&(method, db)| Tried { method: method.to_string(), sqnr_db: finite(db) })
            .collect(),
        recovery: quantized
            .recovery
            .iter()
            .map(|step| Recovered {
                step: step.recovery.name(),
                before_db: finite(step.before_db),
                after_db: finite(step.after_db),
                kept: step.kept,
            })
            .collect(),
        layers,
        folded: quantized.folded.clone(),
        warnings: quantized.warnings.clone(),
    }
}

fn render(report: &Report) -> String {
    let mut table =
        crate::console::table(&["layer", "operator", "output n,h,w,c", "MACs", "weights", "SQNR dB"]);
    for layer in &report.layers {
        let shape = layer.output_shape.map(|dim| dim.to_string()).join(",");
        let sqnr = layer.sqnr_db.map_or_else(|| "-".to_owned(), |db| format!("{db:.1}"));
        table.add_row([
            layer.name.clone(),
            layer.op.to_owned(),
            shape,
            layer.macs.to_string(),
            layer.weights_bytes.to_string(),
            sqnr,
        ]);
    }
    let mut text = format!("{table}\n");
    for folded in &report.folded {
        let _ = writeln!(text, "{folded}");
    }
    let db = |db: Option<f64>| db.map_or_else(|| "-".to_owned(), |db| format!("{db:.2}"));
    if !report.calibration_tried.is_empty() {
        let tried: Vec<_> = report
            .calibration_tried
            .iter()
            .map(|tried| format!("{} {}", tried.method, db(tried.sqnr_db)))
            .collect();
        let _ = writeln!(text, "calibration, output SQNR in dB on held-out samples: {}", tried.join(", "));
    }
    for step in &report.recovery {
        let kept = if step.kept { "kept" } else { "undone" };
        let _ = writeln!(
            text,
            "recovery by {}: {} dB before, {} dB after, {kept}",
            step.step,
            db(step.before_db),
            db(step.after_db)
        );
    }
    let peak = report.arena_peak_layer.as_deref().unwrap_or("-");
    let _ = write!(
        text,
        "{}: {} MACs, {} parameters, plan {} bytes ({} of weights, {} order), arena {} bytes (lower bound {}, peak at {peak}), \
         calibrated by {} on {} samples\nwrote {}",
        report.name,
        report.macs,
        report.parameters,
        report.plan_bytes,
        report.weights_bytes,
        report.family,
        report.arena_bytes,
        report.arena_lower_bound,
        report.calibration,
        report.calibration_samples,
        report.plan.display()
    );
    text
}

/// Quantizes a model folder's student in memory, without a report.
///
/// # Errors
/// As [`run`].
pub fn quantize_model(model: &Path, console: Console) -> Result<Quantized> {
    let options = Options::new(model.to_owned(), Family::Portable);
    let prepared = Prepared::open(&options)?;
    let source = Source::open(&prepared.onnx, &[])?;
    let data = prepared.calibration(&options, &source)?;
    source.quantize(&data, &prepared.settings, &console.progress("calibrating"))
}
