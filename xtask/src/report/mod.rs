//! The report of a quantization: everything that was measured and decided, as one JSON object and as one page.
//!
//! [`gather`](gather::gather) fills it, [`json`] and [`html`] write it, [`summary`] is what a terminal shows. Fields of the
//! command contract keep their names; others are added.
//!
//! SQNR is 10 · log₁₀(Σx² ⁄ Σ(x − y)²) in dB, x the float run's values and y the integers' real values. *Accumulated*: y is
//! the layer's output in the int8 run of the whole network, errors of all layers before it included. *Isolated*: y is what
//! the layer alone makes of the float run's values, quantized. What is not known, or infinite, is `None` and `null`.

pub mod gather;
mod html;
pub mod summary;

/// What other pages share with the report's: its style, tables, and how text becomes HTML.
pub(crate) mod page {
    pub use super::html::table::{Cell, Table};
    pub use super::html::{STYLE, escape};
}

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use still8_validation::{Failure, Result, files, validate};

pub use html::html;

/// Version of the fields.
pub const SCHEMA: u32 = 2;

/// A quantization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// The plan file.
    pub plan: PathBuf,
    /// The network as ONNX in QDQ form, where it was asked for.
    pub qdq: Option<PathBuf>,
    /// Bytes of the plan file.
    pub plan_bytes: usize,
    /// Bytes of it that are flashed: all but the model card behind the plan.
    pub flash_bytes: usize,
    /// Elements of all weights, before packing.
    pub weights_bytes: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Largest simultaneous live set: no memory plan can be smaller.
    pub arena_lower_bound: usize,
    /// Layer that sets the arena's peak.
    pub arena_peak_layer: Option<String>,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: usize,
    /// Kernel family that the weights are packed for.
    pub family: String,
    /// The calibration method.
    pub calibration: String,
    /// Samples that ranges were drawn from.
    pub calibration_samples: usize,
    /// Output SQNR on held-out samples of every method that was tried.
    pub calibration_tried: Vec<Tried>,
    /// What each step of recovery did.
    pub recovery: Vec<Recovered>,
    /// One row an op, in execution order.
    pub layers: Vec<Layer>,
    /// What import and simplify folded and fused.
    pub folded: Vec<String>,
    /// What users should look at.
    pub warnings: Vec<String>,
    /// Samples that the layers were measured on; 0 where they were not.
    pub measured_samples: usize,
    /// Teacher, float and int8 student on the model's test data; `None` without labels.
    pub validation: Option<validate::Report>,
    /// What had to be kept, as far as something was asked for.
    pub limits: Limits,
    /// The arena over time.
    pub arena: Arena,
    /// What in the plan file belongs to no layer; with the layers' flash it makes up [`Self::plan_bytes`].
    pub flash_rest: Vec<FlashPart>,
    /// What changes if one layer alone is made narrower or wider; empty where nobody searched.
    pub sensitivity: Vec<Sensitivity>,
    /// Graph inputs.
    pub inputs: Vec<Port>,
    /// Graph outputs.
    pub outputs: Vec<Port>,
    /// The choices as the `[quantize]` section of a `model.toml` that makes the same plan of the same model and data.
    pub configuration: String,
    /// Hashes of everything that goes in, and of the plan.
    pub hashes: Hashes,
    /// Seed of random calibration samples; nothing else here is random.
    pub seed: Option<u64>,
    /// What made it.
    pub versions: Versions,
}

/// Limits on the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most accuracy, in points, that quantization may lose.
    pub max_drop: Option<f64>,
    /// Most bytes of the plan.
    pub max_flash: Option<usize>,
    /// Most bytes of the arena.
    pub max_ram: Option<usize>,
}

/// A calibration method on held-out samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Tried {
    pub method: String,
    pub sqnr_db: Option<f64>,
}

/// A step of recovery, judged on held-out samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Recovered {
    pub step: String,
    pub before_db: Option<f64>,
    pub after_db: Option<f64>,
    pub kept: bool,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Place in the order of execution.
    pub index: usize,
    /// The layer's name in the source graph.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Type of the output's integers.
    pub dtype: String,
    /// Bits of a weight; `None` for ops without weights.
    pub weight_bits: Option<u8>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements of the weights, before packing.
    pub weights_bytes: usize,
    /// Bytes of the plan file.
    pub flash: Flash,
    /// Shapes of the inputs, `[n, h, w, c]`.
    pub input_shapes: Vec<[usize; 4]>,
    /// Shape of the output, `[n, h, w, c]`.
    pub output_shape: [usize; 4],
    /// Real value of one step of the output.
    pub scale: f32,
    /// Integer of the output that stands for 0.
    pub zero_point: i32,
    /// Largest |accumulator| on any input, proven below 2³¹; `None` for ops without weights.
    pub accumulator_bound: Option<i64>,
    /// Accumulated; `None` for ops that only move data.
    pub sqnr_db: Option<f64>,
    /// Isolated.
    pub sqnr_isolated_db: Option<f64>,
    /// The float run's output; `None` for ops that only move data.
    pub distribution: Option<Distribution>,
    /// Lines for `model.toml` that give this layer 16 bits; `None` where that cannot be said.
    pub widen: Option<String>,
}

/// How the float values of a layer's output are distributed, and what of them its integers can hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Smallest value seen, at most 0.
    pub low: f32,
    /// Largest value seen, at least 0.
    pub high: f32,
    /// Counts of values other than 0 in equal bins from `low` to `high`.
    pub counts: Vec<u64>,
    /// Number of values that are 0.
    pub zeros: u64,
    /// The real number that the smallest integer stands for: below it values are clipped.
    pub clip_low: f32,
    /// The real number that the largest integer stands for.
    pub clip_high: f32,
    /// Share of values that are clipped by more than half a step.
    pub clipped: f64,
}

/// Bytes of the plan file that a layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// Packed weights.
    pub weights: usize,
    /// Biases and multipliers of output channels, tables; with what aligns them.
    pub constants: usize,
    /// Op record, parameters, operands, and the layer's name.
    pub records: usize,
}

impl Flash {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights + self.constants + self.records
    }
}

/// A part of the plan file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FlashPart {
    pub name: String,
    pub bytes: usize,
}

/// The arena over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arena {
    /// Index of the layer at which most bytes are live.
    pub peak_layer: Option<usize>,
    /// Bytes that are live at each layer.
    pub live_bytes: Vec<usize>,
    /// What lies where, and when.
    pub blocks: Vec<Block>,
}

/// A place in the arena that is taken for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The layers whose outputs lie here one after the other, or the input's name.
    pub name: String,
    /// What it is.
    pub kind: BlockKind,
    /// Arena offset in bytes.
    pub offset: usize,
    /// Bytes, aligned.
    pub bytes: usize,
    /// Index of the first layer that needs it.
    pub first: usize,
    /// Index of the last layer that needs it.
    pub last: usize,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    /// An input of the network.
    Input,
    /// The output of a layer, or of several that write over it.
    Activation,
    /// Scratch memory of one layer.
    Scratch,
}

/// What changes if one layer alone has another precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The layer's name.
    pub layer: String,
    /// With int4 weights.
    pub narrow: Option<Alone>,
    /// With int16 activations.
    pub wide: Option<Alone>,
}

/// A network in which one layer has another precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alone {
    /// Points lost against the float network.
    pub drop: f64,
    /// Output SQNR in dB.
    pub sqnr_db: Option<f64>,
    /// Bytes of the plan.
    pub plan_bytes: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
}

/// A graph input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Port {
    pub name: String,
    /// In the source graph's layout.
    pub shape: Vec<usize>,
    pub dtype: String,
    pub scale: f32,
    pub zero_point: i32,
}

/// SHA-256 hashes in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// The model file.
    pub model: String,
    /// The calibration data.
    pub calibration: DataHash,
    /// The test data; `None` where nothing was tested.
    pub test: Option<DataHash>,
    /// The text of [`Report::configuration`].
    pub configuration: String,
    /// The plan file.
    pub plan: String,
}

/// The hash of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataHash {
    /// A path, or `random:SEED`.
    pub origin: String,
    /// Of the file; of samples that no file holds, of all values as little-endian float32.
    pub sha256: String,
}

/// What made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Versions {
    pub still8: String,
    pub plan_format: u16,
}

impl Report {
    /// Indices of the layers that were measured, worst first: by isolated SQNR, then by accumulated.
    pub fn worst(&self) -> Vec<usize> {
        let key = |&index: &usize| {
            let layer: &Layer = &self.layers[index];
            (layer.sqnr_isolated_db.or(layer.sqnr_db).unwrap_or(f64::INFINITY), layer.sqnr_db)
        };
        let measured = |&index: &usize| self.layers[index].sqnr_db.is_some();
        let mut order: Vec<usize> = (0..self.layers.len()).filter(measured).collect();
        order.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.unwrap_or(f64::INFINITY).total_cmp(&b.1.unwrap_or(f64::INFINITY)))
        });
        order
    }

    /// Accumulated SQNR of the last layer that has one: the output's, before a softmax, which hides most of an error.
    pub fn output_sqnr_db(&self) -> Option<f64> {
        let outputs = self.layers.iter().rev().skip_while(|layer| layer.op == "Softmax");
        outputs.into_iter().find_map(|layer| layer.sqnr_db)
    }

    /// How [`Self::output_sqnr_db`] is to be read.
    fn output_note(&self) -> &'static str {
        match self.layers.last() {
            Some(last) if last.op == "Softmax" => "dB against the float run, before softmax",
            _ => "dB against the float run",
        }
    }

    /// The failure that a missed limit is.
    ///
    /// # Errors
    /// [`Failure::Missed`] names every limit that was missed.
    pub fn missed(&self) -> Result<()> {
        let mut missed = Vec::new();
        if let Some(most) = self.limits.max_drop {
            let lost = self.validation.as_ref().and_then(|validation| validation.loss.quantization);
            match lost.map(|lost| 100.0 * lost) {
                // Differences of fractions are not exact.
                Some(lost) if lost <= most + 1e-7 => {}
                Some(lost) => missed.push(format!("quantization loses {lost:.2} points, --max-drop {most}")),
                None => missed.push(format!("what quantization loses is not known, --max-drop {most}")),
            }
        }
        let sizes = [
            ("the plan", self.flash_bytes, "--max-flash", self.limits.max_flash),
            ("the arena", self.arena_bytes, "--max-ram", self.limits.max_ram),
        ];
        for (what, bytes, option, most) in sizes {
            if let Some(most) = most.filter(|&most| bytes > most) {
                missed.push(format!("{what} has {bytes} bytes, {option} {most}"));
            }
        }
        let verdicts = self.validation.iter().flat_map(|validation| &validation.verdicts);
        missed.extend(verdicts.filter(|verdict| !verdict.passed).map(validate::Verdict::miss));
        if missed.is_empty() {
            return Ok(());
        }
        Err(Failure::Missed(format!("{} misses its limits: {}", self.name, missed.join("; "))))
    }
}

/// The report as one JSON object.
pub fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}")) + "\n"
}

/// What a file's extension says about the form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.json`.
    Json,
    /// `.html`, `.htm`.
    Html,
}

impl Form {
    /// The form of `path`.
    ///
    /// # Errors
    /// Names the extensions that are known.
    pub fn of(path: &Path) -> std::result::Result<Self, String> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "json" => Ok(Self::Json),
            "html" | "htm" => Ok(Self::Html),
            _ => Err(format!("`{}`: a report is a .html or a .json file", path.display())),
        }
    }
}

/// Writes the report in the form that the path's extension names, in one step.
///
/// # Errors
/// [`Failure::Usage`] for another extension, [`Failure::Data`] where it cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let text = match Form::of(path).map_err(Failure::Usage)? {
        Form::Json => json(report),
        Form::Html => html(report),
    };
    files::write_atomically(path, |file| file.write_all(text.as_bytes()))
}
