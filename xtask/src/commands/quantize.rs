//! `cargo xtask quantize`: a float ONNX model and calibration data in, an int8 plan out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use still8::format::Family;
use still8_validation::data::{Dataset, InputSpec};
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, FILE_NAME, Model};
use still8_validation::recipe::{LayerPrecision, Recovery};
use still8_validation::stream::SampleFile;
use still8_validation::{Failure, Result, files, validate};
use tempfile::TempDir;

use crate::calibrate::Method;
use crate::calibrate::cache::Cache;
use crate::card;
use crate::commands::target_dir;
use crate::commands::validate::{judge, measure};
use crate::console::Console;
use crate::emit::{Emitted, emit};
use crate::engine::Place;
use crate::lineage;
use crate::quantize::evidence::Evidence;
use crate::quantize::pins::Pin;
use crate::quantize::search::Bounds;
use crate::quantize::{Quantized, Settings, Source};
use crate::reference::{self, Reference};
use crate::report::gather::{Parts, data_hash, gather};
use crate::report::{self, DataHash, Form, Report, summary};

/// Samples of `--calib random:SEED`.
const RANDOM_SAMPLES: usize = 128;

/// Samples of a file that are held in memory. Of more, ranges alone are observed, from the file.
const HELD: usize = 1024;

/// Random samples on which a network whose quantization its file brings is measured.
const GIVEN_SAMPLES: usize = 32;

/// Warnings that are printed without --verbose.
const WARNINGS: usize = 3;

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
    /// Which steps recover accuracy: none, all, or some of equalize, bias, round and scales, in that order [default: the recipe's,
    /// or all].
    #[arg(long, value_name = "STEPS", value_parser = parse_recover)]
    pub recover: Option<Recover>,
    /// Precision of a layer, by its name in reports: 4 (int4 weights), 8, or 16 bits (int16 activations). May be given several times; wins over the
    /// recipe's.
    #[arg(long, value_name = "NAME=BITS", value_parser = parse_layer)]
    pub layer: Vec<Pin>,
    /// Also write the whole report: a self-contained page (.html) or one object (.json). May be given twice.
    #[arg(long, value_name = "FILE", value_parser = parse_report)]
    pub report: Vec<PathBuf>,
    /// Search for the cheapest precision of every layer (int4 weights, int8, int16 activations) that loses at most so many
    /// points on calibration samples; exit 1 where the student then loses more accuracy than this against the float
    /// student, on the labelled test data of the model's folder.
    #[arg(long, value_name = "POINTS", value_parser = parse_points)]
    pub max_drop: Option<f64>,
    /// The same search, for a plan of at most so many bytes (64K: 65,536); exit 1 where it stays larger.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub max_flash: Option<usize>,
    /// The same search, for an arena of at most so many bytes; exit 1 where it stays larger.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub max_ram: Option<usize>,
    /// Exit 1 where the model misses the thresholds of its model.toml.
    #[arg(long)]
    pub check: bool,
    /// Print every layer and every warning.
    #[arg(long)]
    pub verbose: bool,
    /// Size of a symbolic dimension.
    #[arg(long, value_name = "NAME=N", value_parser = parse_dim)]
    pub dim: Vec<(String, usize)>,
}

fn parse_report(path: &str) -> std::result::Result<PathBuf, String> {
    Form::of(Path::new(path)).map(|_| PathBuf::from(path))
}

fn parse_points(text: &str) -> std::result::Result<f64, String> {
    let points = text.parse().ok().filter(|points| (0.0..=100.0).contains(points));
    points.ok_or_else(|| format!("`{text}`: expected points of accuracy from 0 to 100, 0.5 for instance"))
}

fn parse_bytes(text: &str) -> std::result::Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => (text, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    bytes.ok_or_else(|| format!("`{text}`: expected a number of bytes, 65536 or 64K for instance"))
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

fn parse_layer(text: &str) -> std::result::Result<Pin, String> {
    // A layer's name may hold any sign.
    let (name, bits) = text.rsplit_once('=').ok_or_else(|| format!("`{text}`: expected NAME=BITS"))?;
    let bits: u8 =
        bits.parse().map_err(|_| format!("`{text}`: expected a number of bits behind the last `=`"))?;
    Ok((name.to_owned(), bits.try_into()?))
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
    /// Whether measurements are asked for.
    fn measures(&self) -> bool {
        self.gated() || !self.report.is_empty()
    }

    /// Whether accuracy decides on the exit code.
    fn gated(&self) -> bool {
        self.check || self.max_drop.is_some()
    }

    /// What a search for precisions must keep.
    fn bounds(&self) -> Bounds {
        Bounds { drop: self.max_drop, flash: self.max_flash, ram: self.max_ram }
    }

    fn override_settings(&self, settings: &mut Settings) {
        settings.method = self.method.or(settings.method);
        if let Some(Recover(recover)) = &self.recover {
            settings.recover.clone_from(recover);
        }
        for pin in &self.layer {
            settings.pins.retain(|(name, _)| *name != pin.0);
            settings.pins.push(pin.clone());
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
            layer: Vec::new(),
            report: Vec::new(),
            max_drop: None,
            max_flash: None,
            max_ram: None,
            check: false,
            verbose: false,
            dim: Vec::new(),
        }
    }
}

/// Quantizes, measures, and writes the plan and the reports.
///
/// # Errors
/// [`Failure`] by the exit codes of the command contract; nothing is written then. A missed limit is not an error here, see
/// [`Report::missed`].
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let mut prepared = Prepared::open(options)?;
    prepared.expect_labels(options)?;
    let source = Source::open(&prepared.onnx, &options.dim)?;
    let data = prepared.calibration(options, &source)?;
    let mut settings = prepared.settings.clone();
    let mut searched = None;
    if !options.bounds().is_empty() && !source.is_quantized() {
        let bounds = (options.bounds(), options.family);
        let found = source.search(&data, &settings, bounds, &console.progress("trying precisions"))?;
        settings.pins.extend(
            found
                .pins()
                .into_iter()
                .filter(|(name, _)| !settings.pins.iter().any(|pin| pin.0 == *name))
                .collect::<Vec<_>>(),
        );
        searched = Some(found);
    }
    let quantized = source.quantize(&data, &settings, &console.progress("calibrating"))?;
    let emitted = emit(&quantized.network, options.family)?;
    let qdq =
        options.emit_qdq.as_ref().map(|path| Ok::<_, Failure>((path, quantized.to_qdq()?))).transpose()?;
    let mut evidence = Evidence::default();
    // Nobody looks at the layers of a quiet run without a report.
    if options.measures() || console.json || !console.quiet {
        evidence = source.evidence(&data, &quantized, &console.progress("measuring layers"))?;
    }
    // The card needs it: the plan's file is the same whatever is printed.
    let validation = prepared.validate(options, &emitted, console)?;
    let samples = settings.file.as_ref().map_or(data.samples(), |file| file.samples());
    let card = card::gather::card(&card::gather::Parts {
        onnx: &prepared.onnx,
        model: prepared.model.as_ref(),
        validation: validation.as_ref().map(|(report, _)| report),
        emitted: &emitted,
        quantized: &quantized,
        samples: (!source.is_quantized()).then_some(samples),
    })?;
    let file = match card {
        Some(card) => card::file::append(&emitted.bytes, &card.to_toml()?),
        None => emitted.bytes.clone(),
    };
    let default = || target_dir().join(format!("{}.{}.s8", quantized.network.name, options.family.name()));
    let report = gather(Parts {
        quantized: &quantized,
        emitted: &emitted,
        file: &file,
        family: options.family,
        plan: options.out.clone().unwrap_or_else(default),
        qdq: options.emit_qdq.clone(),
        evidence: &evidence,
        calibration: &data,
        samples,
        validation,
        calibrated: !source.is_quantized(),
        searched,
        bounds: options.bounds(),
        seed: options.calib.as_deref().and_then(seed),
    });
    files::write_atomically(&report.plan, |out| out.write_all(&file))?;
    if let Some((path, bytes)) = &qdq {
        files::write_atomically(path, |file| file.write_all(bytes))?;
    }
    options.report.iter().try_for_each(|path| report::write(&report, path))?;
    tell(&report, options, console);
    Ok(report)
}

/// Warnings on standard error, and what fits a screen.
fn tell(report: &Report, options: &Options, console: Console) {
    let shown = if options.verbose { report.warnings.len() } else { WARNINGS };
    for warning in report.warnings.iter().take(shown) {
        console.warn(warning);
    }
    if let Some(more @ 1..) = report.warnings.len().checked_sub(shown) {
        console.warn(format!("and {more} more: see --verbose or the report"));
    }
    if options.verbose {
        console.say(summary::layers(report));
    }
    console.say(summary::summary(report, &options.report));
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
                settings.task = recipe.task;
                if let Some([low, high]) = model.input().range {
                    settings.input_ranges.insert(recipe.input.name.clone(), (low, high));
                }
                settings.method = recipe.quantize.calibration;
                if let Some(recover) = &recipe.quantize.recover {
                    settings.recover.clone_from(recover);
                }
                let pin = |layer: &LayerPrecision| (layer.name.clone(), layer.bits);
                settings.pins = recipe.quantize.layer.iter().map(pin).collect();
                settings.lineage = Some(lineage::text(recipe)?);
                model.deployed()?
            }
            None => {
                let stem = source.file_stem().unwrap_or_default();
                settings.name = stem.to_string_lossy().into_owned();
                source.clone()
            }
        };
        options.override_settings(&mut settings);
        settings.cache = Some(Cache::new(target_dir().join("calibration")));
        Ok(Self { onnx, model, reference: None, settings })
    }

    fn of_reference(reference: &'static Reference, options: &Options) -> Result<Self> {
        let (folder, onnx) = reference.temporary()?;
        let mut settings = Settings { dims: options.dim.clone(), ..reference.settings() };
        options.override_settings(&mut settings);
        Ok(Self { onnx, model: None, reference: Some((reference, folder)), settings })
    }

    /// Refuses limits on the accuracy of a model without labelled data.
    fn expect_labels(&self, options: &Options) -> Result<()> {
        if options.gated() && self.model.is_none() {
            return Err(Failure::Usage(format!(
                "{}: --max-drop and --check need labelled test data; give the model's folder, whose {FILE_NAME} names them",
                options.source.display()
            )));
        }
        Ok(())
    }

    /// The three networks on the model's test data; `None` for a model without, or where they cannot be run and
    /// no limit asks for it.
    fn validate(
        &self,
        options: &Options,
        emitted: &Emitted,
        console: Console,
    ) -> Result<Option<(validate::Report, DataHash)>> {
        let Some(model) = &self.model else { return Ok(None) };
        let measured = || {
            let runner = HostRunner::new(&emitted.bytes).map_err(|error| Failure::data(&self.onnx, error))?;
            let data = model.dataset(DataKind::Test)?;
            let mut report = measure(model, &runner, &data, (Place::Host, "shipped"), console)?;
            if options.check {
                judge(&mut report, model);
            }
            Ok((report, data_hash(&data)))
        };
        match measured() {
            // The plan does not depend on test data.
            Err(failure) if !options.gated() => {
                console.warn(format!("accuracy is not measured: {failure}"));
                Ok(None)
            }
            measured => measured.map(Some),
        }
    }

    /// The calibration samples that are held in memory; of a long file, some, and the settings get the file.
    fn calibration(&mut self, options: &Options, source: &Source) -> Result<Dataset> {
        let specs = source.inputs(&self.settings.input_ranges);
        if let Some(model) = &self.model {
            expect_input(model, &specs)?;
        }
        let data = match (&options.calib, &self.model) {
            (Some(text), _) => match text.strip_prefix("random:") {
                Some(random) => random_data(random, specs, source, &self.settings)?,
                None => match held(Path::new(text), &specs)? {
                    Some((data, file)) => {
                        self.settings.file = Some(Arc::new(file));
                        data
                    }
                    None => Dataset::load(Path::new(text), &specs)?,
                },
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

/// Samples of a long file, spread evenly, and the file; `None` for files that are read as a whole.
fn held(path: &Path, specs: &[InputSpec]) -> Result<Option<(Dataset, SampleFile)>> {
    let [spec] = specs else { return Ok(None) };
    let Some(file) = SampleFile::open(path, spec, HELD)? else { return Ok(None) };
    let indices: Vec<usize> = (0..HELD).map(|i| i * file.samples() / HELD).collect();
    Ok(Some((file.read(&indices)?, file)))
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

/// The seed in `random:SEED` or `random:SEED:LOW..HIGH`.
fn seed(calib: &str) -> Option<u64> {
    calib.strip_prefix("random:")?.split(':').next()?.parse().ok()
}

/// Quantizes a model folder's student in memory, without a report.
///
/// # Errors
/// As [`run`].
pub fn quantize_model(model: &Path, console: Console) -> Result<Quantized> {
    let options = Options::new(model.to_owned(), Family::Portable);
    let mut prepared = Prepared::open(&options)?;
    let source = Source::open(&prepared.onnx, &[])?;
    let data = prepared.calibration(&options, &source)?;
    source.quantize(&data, &prepared.settings, &console.progress("calibrating"))
}
