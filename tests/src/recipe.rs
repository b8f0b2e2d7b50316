//! `model.toml`: what a model is, where its networks and data are, and how good it must be.
//!
//! Parsed into types that hold only what is allowed; an unknown key is an error with its line. Paths are
//! relative to the file. This is schema 1; every key is documented at its field.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Failure, Result};

mod choices;
mod task;

pub use choices::{Calibration, LayerPrecision, Precision, Quantize, Recovery};
pub use task::Task;

/// The schema that this version reads.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name; plans and reports carry it.
    pub name: String,
    /// What the model does.
    pub task: Task,
    /// One sentence on what goes in and what comes out.
    pub description: String,
    /// Names of the classes, in the order of the output's elements; of an anomaly model, what `y` = 0 (normal) and 1 mean. A
    /// regression has none.
    #[serde(default)]
    pub classes: Classes,
    /// The network's input.
    pub input: Input,
    /// The network's output.
    pub output: Output,
    /// The large network. Absent: nothing to distil from, reports leave its columns empty.
    pub teacher: Option<Network>,
    /// The small network.
    pub student: Network,
    /// Data sets.
    pub data: DataSets,
    /// Where the data came from.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// Limits that `validate` judges by.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// What was measured when the model was made.
    pub baseline: Option<Baseline>,
    /// Choices of `quantize`.
    #[serde(default)]
    pub quantize: Quantize,
    /// How `distill` trains the student; it reads this itself.
    pub distill: Option<toml::Table>,
    /// What only people can say of the model, for its card.
    #[serde(default)]
    pub card: Statements,
}

/// What only people can say of a model, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// What the model is for, and for whom.
    pub intended_use: Option<String>,
    /// What it must not be used for.
    pub out_of_scope: Option<String>,
    /// Where it is known to fail, and what it never saw.
    pub limitations: Option<String>,
}

/// Names of at least two classes, all different; or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Classes(Vec<String>);

/// The network's input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name in both graphs.
    pub name: String,
    /// Shape in both graphs; the leading 1 is the batch axis.
    pub shape: Vec<usize>,
    /// Smallest and largest value. Fixes the input's quantization; absent, calibration finds it.
    pub range: Option<Range>,
    /// How a raw sample becomes an input, in words.
    pub preprocessing: Option<String>,
}

/// A range of real numbers that contains 0, since int8 must hold 0 exactly.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "[f32; 2]")]
pub struct Range([f32; 2]);

/// The network's output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name in both graphs.
    pub name: String,
    /// What a regression's elements are, in their order, with their units: `"angle, degrees"` for instance.
    #[serde(default)]
    pub quantities: Vec<String>,
}

/// An ONNX file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Path.
    pub file: PathBuf,
    /// Hash of the file.
    pub sha256: Sha256,
    /// Elements of all weights.
    pub parameters: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Licence of the weights.
    pub licence: String,
    /// Who trained it on what.
    pub origin: String,
    /// The command that makes or fetches the file where it is not shipped.
    pub recipe: Option<String>,
    /// Who permits to distil from it, and where that stands. Needed of a teacher that `distill` asks.
    pub permits_distillation: Option<String>,
    /// The same network in QDQ form, with the scales that it was trained with: what `quantize` takes where it is there.
    pub quantized: Option<QuantizedFile>,
}

/// A quantized ONNX file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizedFile {
    /// Path.
    pub file: PathBuf,
    /// Hash of the file.
    pub sha256: Sha256,
}

/// The data sets of a model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSets {
    /// Samples that the quantizer draws ranges from; disjoint from the others.
    pub calibration: DataFile,
    /// Labelled samples that are shipped.
    pub test: DataFile,
    /// All labelled samples, where `test` holds a part of them.
    pub full: Option<DataFile>,
    /// Samples that `distill` trains on; labels are optional.
    pub train: Option<DataFile>,
    /// Samples that it watches itself on; disjoint from all others. Absent, some of `train` are held out.
    pub holdout: Option<DataFile>,
}

/// A `.npz` file: `x` (or the input's name) and the labels `y`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Path.
    pub file: PathBuf,
    /// Hash of the file; of one with a recipe that of `x.tobytes() + y.tobytes()`, since archives differ in compression.
    pub sha256: Sha256,
    /// Number of samples.
    pub samples: usize,
    /// Which samples these are, in words.
    pub split: String,
    /// The command that makes the file where it is not shipped.
    pub recipe: Option<String>,
}

/// A SHA-256: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Sha256(String);

/// A source of data.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name.
    pub name: String,
    /// The package that holds it.
    pub package: Option<String>,
    /// Its licence.
    pub licence: String,
    /// How to cite it.
    pub citation: Option<String>,
    /// When it was published or fetched.
    pub date: Option<String>,
    /// Where it stands.
    pub url: Option<String>,
}

/// Limits, all optional: those of accuracy for a classification, of the AUC for an anomaly model, of R² for a regression.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Least accuracy of the teacher.
    pub teacher_accuracy_min: Option<Fraction>,
    /// Least accuracy of the int8 student.
    pub int8_accuracy_min: Option<Fraction>,
    /// Most accuracy lost from the teacher to the float student.
    pub distillation_loss_max: Option<Fraction>,
    /// Most accuracy lost from the float to the int8 student.
    pub quantization_loss_max: Option<Fraction>,
    /// Least share of samples on which float and int8 student choose the same class.
    pub agreement_float_int8_min: Option<Fraction>,
    /// Least macro-F1 of the int8 student.
    pub macro_f1_min: Option<Fraction>,
    /// Least area under the ROC curve of the teacher.
    pub teacher_auc_min: Option<Fraction>,
    /// Least area under the ROC curve of the int8 student.
    pub int8_auc_min: Option<Fraction>,
    /// Most of that area lost from the teacher to the int8 student.
    pub auc_loss_max: Option<Fraction>,
    /// Least R² of the teacher, the mean over all quantities.
    pub teacher_r2_min: Option<Fraction>,
    /// Least R² of the int8 student.
    pub int8_r2_min: Option<Fraction>,
    /// Most R² lost from the teacher to the int8 student.
    pub r2_loss_max: Option<Fraction>,
}

/// Measured when the model was made.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Accuracy of the teacher.
    pub teacher_accuracy: Option<Fraction>,
    /// Accuracy of the float student.
    pub float_accuracy: Option<Fraction>,
    /// Accuracy of the int8 student.
    pub int8_accuracy: Option<Fraction>,
    /// Macro-F1 of the teacher.
    pub teacher_macro_f1: Option<Fraction>,
    /// Macro-F1 of the float student.
    pub float_macro_f1: Option<Fraction>,
    /// Area under the ROC curve of the teacher.
    pub teacher_auc: Option<Fraction>,
    /// Area under the ROC curve of the float student.
    pub float_auc: Option<Fraction>,
    /// Area under the ROC curve of the int8 student.
    pub int8_auc: Option<Fraction>,
    /// R² of the teacher, the mean over all quantities.
    pub teacher_r2: Option<Fraction>,
    /// R² of the float student.
    pub float_r2: Option<Fraction>,
    /// R² of the int8 student.
    pub int8_r2: Option<Fraction>,
}

/// A number in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Fraction(f64);

impl Recipe {
    /// Reads and checks the text of a `model.toml`; `path` is for messages.
    ///
    /// # Errors
    /// [`Failure::Usage`] with line, key and what is allowed.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let fail = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", path.display()));
        let table: toml::Table = toml::from_str(text).map_err(|error| fail(&error))?;
        match table.get("schema").map(|schema| (schema, schema.as_integer())) {
            Some((_, Some(schema))) if schema == i64::from(SCHEMA) => {}
            Some((schema, _)) => {
                return Err(fail(&format_args!(
                    "`schema = {schema}` is not known; this still8 reads schema {SCHEMA}"
                )));
            }
            None => {
                return Err(fail(&format_args!("`schema` is missing; add `schema = {SCHEMA}` on top")));
            }
        }
        let recipe: Self = toml::from_str(text).map_err(|error| fail(&error))?;
        if recipe.input.shape.is_empty() || recipe.input.shape.contains(&0) {
            return Err(fail(&"`input.shape` must have axes, none of them 0"));
        }
        recipe.expect_names().map_err(|what| fail(&what))?;
        if let Some(key) = recipe.thresholds.foreign(recipe.task) {
            let own = match recipe.task {
                Task::Classification => "limits of accuracy",
                Task::Anomaly => "`teacher_auc_min`, `int8_auc_min` and `auc_loss_max`",
                Task::Regression => "`teacher_r2_min`, `int8_r2_min` and `r2_loss_max`",
            };
            return Err(fail(&format_args!(
                "`thresholds.{key}` is never measured for `task = \"{}\"`, which has {own}; remove it",
                recipe.task.name()
            )));
        }
        Ok(recipe)
    }

    /// Names of what the output's elements stand for: classes, or the quantities of a regression.
    pub fn names(&self) -> &[String] {
        match self.task {
            Task::Regression => &self.output.quantities,
            Task::Classification | Task::Anomaly => self.classes.names(),
        }
    }

    /// Classes, or quantities, are named as the task has it.
    fn expect_names(&self) -> std::result::Result<(), String> {
        let (classes, quantities) = (self.classes.len(), self.output.quantities.len());
        match self.task {
            Task::Classification if classes == 0 => {
                Err("`classes` is missing: name what the output's elements stand for, in their order".into())
            }
            Task::Anomaly if classes != 2 => Err(format!(
                "{classes} classes; an anomaly model has two, `classes = [\"normal\", \"anomalous\"]` for instance"
            )),
            Task::Regression if classes > 0 => {
                Err("a regression has no classes; remove `classes`, and name `output.quantities`".into())
            }
            Task::Regression if quantities == 0 => {
                Err("`output.quantities` is missing: name what the output's elements are, \
                 `quantities = [\"angle, degrees\"]` for instance"
                    .into())
            }
            Task::Classification | Task::Anomaly if quantities > 0 => Err(format!(
                "`output.quantities` belongs to `task = \"regression\"`, not to \"{}\"; remove it",
                self.task.name()
            )),
            _ => Ok(()),
        }
    }
}

impl Thresholds {
    /// Those that can be judged without a teacher.
    #[must_use]
    pub fn without_teacher(self) -> Self {
        Self {
            teacher_accuracy_min: None,
            distillation_loss_max: None,
            teacher_auc_min: None,
            auc_loss_max: None,
            teacher_r2_min: None,
            r2_loss_max: None,
            ..self
        }
    }

    /// The first limit that is set and that a model of this task can never meet.
    fn foreign(&self, task: Task) -> Option<&'static str> {
        let of_classification = [
            ("teacher_accuracy_min", self.teacher_accuracy_min),
            ("int8_accuracy_min", self.int8_accuracy_min),
            ("distillation_loss_max", self.distillation_loss_max),
            ("quantization_loss_max", self.quantization_loss_max),
            ("agreement_float_int8_min", self.agreement_float_int8_min),
            ("macro_f1_min", self.macro_f1_min),
        ];
        let of_anomaly = [
            ("teacher_auc_min", self.teacher_auc_min),
            ("int8_auc_min", self.int8_auc_min),
            ("auc_loss_max", self.auc_loss_max),
        ];
        let of_regression = [
            ("teacher_r2_min", self.teacher_r2_min),
            ("int8_r2_min", self.int8_r2_min),
            ("r2_loss_max", self.r2_loss_max),
        ];
        let all = [
            (Task::Classification, &of_classification[..]),
            (Task::Anomaly, &of_anomaly[..]),
            (Task::Regression, &of_regression[..]),
        ];
        let mut foreign = all.into_iter().filter(|(of, _)| *of != task).flat_map(|(_, limits)| limits);
        foreign.find(|(_, limit)| limit.is_some()).map(|&(key, _)| key)
    }
}

impl Classes {
    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Number of classes.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<Vec<String>> for Classes {
    type Error = String;

    fn try_from(names: Vec<String>) -> std::result::Result<Self, String> {
        if names.len() < 2 {
            return Err(format!("{} classes; a classification needs two or more", names.len()));
        }
        let mut seen = HashSet::new();
        match names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(name) => Err(format!("class `{name}` is named twice")),
            None => Ok(Self(names)),
        }
    }
}

impl Range {
    /// Smallest and largest value.
    pub fn bounds(self) -> [f32; 2] {
        self.0
    }
}

impl TryFrom<[f32; 2]> for Range {
    type Error = String;

    fn try_from(range: [f32; 2]) -> std::result::Result<Self, String> {
        let [min, max] = range;
        if !(min.is_finite() && max.is_finite() && min < max) {
            return Err(format!("range [{min}, {max}] is empty; write [smallest, largest]"));
        }
        if min > 0.0 || max < 0.0 {
            return Err(format!("range [{min}, {max}] must contain 0, which int8 holds exactly; widen it"));
        }
        Ok(Self(range))
    }
}

impl Fraction {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = String;

    fn try_from(value: f64) -> std::result::Result<Self, String> {
        if (0.0..=1.0).contains(&value) {
            return Ok(Self(value));
        }
        Err(format!("{value} is no fraction in [0, 1]; write 92.5 % as 0.925"))
    }
}

impl Sha256 {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(digits: String) -> std::result::Result<Self, String> {
        let valid =
            digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(digits))
        } else {
            Err("a sha256 has 64 digits 0-9, a-f (see sha256sum)".to_owned())
        }
    }
}
