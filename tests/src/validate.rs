//! Teacher against float student against int8 student: how close they are, and where accuracy was lost.
//!
//! Accuracies, agreements and losses are fractions; a loss below 0 is a gain. What cannot be known, for want
//! of labels or of a network, or does not suit the model's task, is `None`, and `null` in JSON. Anomaly models are
//! judged in [`anomaly`], regressions in [`regression`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::anomaly::{self, Anomaly};
use crate::metrics::{self, Confusion};
use crate::recipe::{Fraction, Task, Thresholds};
use crate::regression::{self, Quantity};
use crate::run::Outputs;
use crate::{Failure, Result};

/// Version of the report's fields.
pub const SCHEMA: u32 = 1;

/// Temperature of the softened KL: at 4 the small logits count as well, as they did when the student was
/// distilled.
pub const SOFT_TEMPERATURE: f64 = 4.0;

/// Slack of a limit in fractions, far below one sample's share: differences of accuracies are not exact.
const SLACK: f64 = 1e-9;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The model's name.
    pub model: &'a str,
    /// What it does.
    pub task: Task,
    /// The data set: `shipped`, `full` or a path.
    pub dataset: &'a str,
    /// The core that ran the int8 student.
    pub on: &'a str,
    /// Names of the classes; of a regression's quantities.
    pub classes: &'a [String],
    /// The right class of each sample, where known.
    pub labels: Option<&'a [usize]>,
    /// What the outputs should be: of an anomaly model the inputs as they were given, of a regression its labels, where known;
    /// `None` for a classification.
    pub targets: Option<&'a Outputs>,
    /// The teacher's outputs.
    pub teacher: Option<&'a Outputs>,
    /// The float student's outputs.
    pub float: Option<&'a Outputs>,
    /// The int8 student's outputs, dequantized.
    pub int8: &'a Outputs,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// What the model does.
    #[serde(default)]
    pub task: Task,
    /// The core that ran the int8 student.
    pub on: String,
    /// The data set.
    pub dataset: String,
    /// Number of samples.
    pub samples: usize,
    /// The teacher.
    pub teacher: Option<Score>,
    /// The float student.
    pub float: Option<Score>,
    /// The int8 student.
    pub int8: Score,
    /// Share of samples on which two networks choose the same class.
    pub agreement: Agreement,
    /// KL(teacher ‖ int8) in nats at T = 1, mean over samples.
    pub kl: Option<f64>,
    /// The same at [`SOFT_TEMPERATURE`].
    pub kl_softened: Option<f64>,
    /// The temperature of [`Self::kl_softened`].
    pub kl_temperature: f64,
    /// SQNR of the int8 student's outputs against the float student's, in dB; infinite (null) where equal.
    pub logits_sqnr_db: Option<f64>,
    /// Accuracy lost on the way; AUC in an anomaly model, R² in a regression.
    pub loss: Loss,
    /// How sure the int8 student is, and how rightly so.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// What there is to know of an anomaly model's scores.
    #[serde(default)]
    pub anomaly: Option<Anomaly>,
    /// How far the quantities of a regression are off.
    #[serde(default)]
    pub quantities: Option<Vec<Quantity>>,
    /// Output bytes that differ between the core and the host's reference; `None` where they were not
    /// compared.
    pub byte_mismatches: Option<u64>,
    /// Per class, in the model's order.
    pub classes: Vec<ClassScore>,
    /// Int8 student: rows are labels, columns predicted classes.
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The limits, once judged.
    pub verdicts: Vec<Verdict>,
    /// Whether every limit holds; `None` until judged.
    pub passed: Option<bool>,
}

/// How well a network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of samples given their label.
    pub accuracy: Option<f64>,
    /// Mean F1 over classes.
    pub macro_f1: Option<f64>,
    /// Area under the ROC curve of an anomaly model's scores.
    #[serde(default)]
    pub auc: Option<f64>,
    /// Mean coefficient of determination of a regression's quantities.
    #[serde(default)]
    pub r2: Option<f64>,
}

impl Score {
    /// What the task is judged by: accuracy, the AUC of an anomaly model, or the R² of a regression.
    pub fn measure(self) -> Option<f64> {
        self.accuracy.or(self.auc).or(self.r2)
    }
}

/// How far two networks agree: shares of equal choices, or correlations of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Teacher and float student.
    pub teacher_float: Option<f64>,
    /// Teacher and int8 student.
    pub teacher_int8: Option<f64>,
    /// Float and int8 student.
    pub float_int8: Option<f64>,
}

/// Where accuracy (AUC, R²) was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Teacher − float student.
    pub distillation: Option<f64>,
    /// Float − int8 student.
    pub quantization: Option<f64>,
}

/// How sure a network is of its choices: the largest softmax of its logits at T = 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Mean over samples.
    pub mean: f64,
    /// The expected calibration error, see [`metrics::calibration_error`]; `None` without labels.
    pub error: Option<f64>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub name: String,
    /// Its samples.
    pub support: Option<u64>,
    /// Share of its samples that the teacher recognizes.
    pub teacher: Option<f64>,
    /// Share of its samples that the float student recognizes.
    pub float: Option<f64>,
    /// Share of its samples that the int8 student recognizes.
    pub int8: Option<f64>,
    /// Share of the int8 student's choices of this class that are right.
    pub precision: Option<f64>,
    /// F1 of the int8 student.
    pub f1: Option<f64>,
}

/// A limit and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The limit's key in `model.toml`, or `byte_mismatches`.
    pub name: Cow<'static, str>,
    /// The limit.
    pub limit: f64,
    /// What was measured; `None` misses the limit.
    pub value: Option<f64>,
    /// Whether the limit holds.
    pub passed: bool,
}

impl Loss {
    /// Teacher − int8 student.
    pub fn total(self) -> Option<f64> {
        Some(self.distillation? + self.quantization?)
    }
}

/// Compares the networks' outputs.
///
/// # Errors
/// [`Failure::Data`] where outputs or labels differ in number of samples, or outputs in number of classes (quantities; of an
/// anomaly model, in number of elements from its input).
pub fn compare(input: &Comparison<'_>) -> Result<Report> {
    check(input)?;
    let Comparison { classes, labels, float, int8, .. } = *input;
    let unmeasured = Report {
        schema: SCHEMA,
        model: input.model.to_owned(),
        task: input.task,
        on: input.on.to_owned(),
        dataset: input.dataset.to_owned(),
        samples: int8.samples(),
        teacher: None,
        float: None,
        int8: Score::default(),
        agreement: Agreement::default(),
        kl: None,
        kl_softened: None,
        kl_temperature: SOFT_TEMPERATURE,
        logits_sqnr_db: float.map(|float| metrics::sqnr_db(&float.concat(), &int8.concat())),
        loss: Loss::default(),
        confidence: None,
        anomaly: None,
        quantities: None,
        byte_mismatches: None,
        classes: class_scores(classes, labels, [None; 3]),
        confusion: None,
        verdicts: Vec::new(),
        passed: None,
    };
    let mut report = match (input.task, input.targets) {
        (Task::Classification, _) => classified(input, unmeasured),
        (Task::Anomaly, Some(inputs)) => anomaly::measure(input, inputs, unmeasured),
        (Task::Anomaly, None) => unmeasured,
        (Task::Regression, _) => regression::measure(input, unmeasured),
    };
    let loss = |a: Option<Score>, b: Option<Score>| Some(a?.measure()? - b?.measure()?);
    report.loss = Loss {
        distillation: loss(report.teacher, report.float),
        quantization: loss(report.float, Some(report.int8)),
    };
    Ok(report)
}

/// Measures a classification.
fn classified(input: &Comparison<'_>, unmeasured: Report) -> Report {
    let Comparison { classes, labels, teacher, float, int8, .. } = *input;
    let teacher_choice = teacher.map(Outputs::classes);
    let float_choice = float.map(Outputs::classes);
    let int8_choice = int8.classes();
    let confusion = |choice: Option<&[usize]>| Some(Confusion::new(labels?, choice?, classes.len()));
    let score = |choice: &[usize]| Score {
        accuracy: labels.and_then(|labels| metrics::agreement(labels, choice)),
        macro_f1: confusion(Some(choice)).and_then(|confusion| confusion.macro_f1()),
        ..Score::default()
    };
    let agreement = |a: Option<&[usize]>, b: Option<&[usize]>| metrics::agreement(a?, b?);
    let kl = |temperature| metrics::mean_kl(&teacher?.logits, &int8.logits, temperature);
    let [of_teacher, of_float, of_int8] =
        [teacher_choice.as_deref(), float_choice.as_deref(), Some(&int8_choice[..])].map(confusion);
    Report {
        teacher: teacher_choice.as_deref().map(score),
        float: float_choice.as_deref().map(score),
        int8: score(&int8_choice),
        agreement: Agreement {
            teacher_float: agreement(teacher_choice.as_deref(), float_choice.as_deref()),
            teacher_int8: agreement(teacher_choice.as_deref(), Some(&int8_choice)),
            float_int8: agreement(float_choice.as_deref(), Some(&int8_choice)),
        },
        kl: kl(1.0),
        kl_softened: kl(SOFT_TEMPERATURE),
        confidence: confidence(int8, &int8_choice, labels),
        classes: class_scores(classes, labels, [of_teacher.as_ref(), of_float.as_ref(), of_int8.as_ref()]),
        confusion: of_int8.map(|confusion| confusion.counts().to_vec()),
        ..unmeasured
    }
}

impl Verdict {
    /// What a missed limit is told as.
    pub fn miss(&self) -> String {
        let value = self.value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.4}"));
        format!("{}: {value}, limit {}", self.name, self.limit)
    }
}

impl Report {
    /// Judges by the limits that are set, and by [`Self::byte_mismatches`] where they were counted; keeps the
    /// verdicts.
    pub fn judge(&mut self, thresholds: &Thresholds) -> &[Verdict] {
        let teacher = self.teacher.and_then(|score| score.accuracy);
        let at_least = |name, limit: Option<Fraction>, value| {
            verdict(name, limit?, value, |value, limit| value >= limit - SLACK)
        };
        let at_most = |name, limit: Option<Fraction>, value| {
            verdict(name, limit?, value, |value, limit| value <= limit + SLACK)
        };
        let limits = [
            at_least("teacher_accuracy_min", thresholds.teacher_accuracy_min, teacher),
            at_least("int8_accuracy_min", thresholds.int8_accuracy_min, self.int8.accuracy),
            at_most("distillation_loss_max", thresholds.distillation_loss_max, self.loss.distillation),
            at_most("quantization_loss_max", thresholds.quantization_loss_max, self.loss.quantization),
            at_least(
                "agreement_float_int8_min",
                thresholds.agreement_float_int8_min,
                self.agreement.float_int8,
            ),
            at_least("macro_f1_min", thresholds.macro_f1_min, self.int8.macro_f1),
            at_least("teacher_auc_min", thresholds.teacher_auc_min, self.teacher.and_then(|score| score.auc)),
            at_least("int8_auc_min", thresholds.int8_auc_min, self.int8.auc),
            at_most("auc_loss_max", thresholds.auc_loss_max, self.loss.total()),
            at_least("teacher_r2_min", thresholds.teacher_r2_min, self.teacher.and_then(|score| score.r2)),
            at_least("int8_r2_min", thresholds.int8_r2_min, self.int8.r2),
            at_most("r2_loss_max", thresholds.r2_loss_max, self.loss.total()),
            self.byte_mismatches.map(|count| Verdict {
                name: "byte_mismatches".into(),
                limit: 0.0,
                value: Some(count as f64),
                passed: count == 0,
            }),
        ];
        self.verdicts = limits.into_iter().flatten().collect();
        self.passed = Some(self.verdicts.iter().all(|verdict| verdict.passed));
        &self.verdicts
    }
}

fn verdict(
    name: &'static str,
    limit: Fraction,
    value: Option<f64>,
    holds: impl Fn(f64, f64) -> bool,
) -> Option<Verdict> {
    let limit = limit.get();
    let passed = value.is_some_and(|value| holds(value, limit));
    Some(Verdict { name: name.into(), limit, value, passed })
}

fn check(input: &Comparison<'_>) -> Result<()> {
    let fail = |what: String| Err(Failure::Data(format!("{} on {}: {what}", input.model, input.dataset)));
    let classes = input.classes.len();
    let samples = input.int8.samples();
    let networks =
        [("teacher", input.teacher), ("float student", input.float), ("int8 student", Some(input.int8))];
    for (name, outputs) in networks {
        let Some(outputs) = outputs else { continue };
        if outputs.samples() != samples {
            return fail(format!("{name} gives {} samples, int8 student {samples}", outputs.samples()));
        }
        if let (Task::Anomaly, Some(inputs)) = (input.task, input.targets) {
            let mut pairs = outputs.logits.iter().zip(&inputs.logits);
            if let Some((output, input)) = pairs.find(|(output, input)| output.len() != input.len()) {
                return fail(format!(
                    "{name} gives {} elements; an anomaly model gives back its input, which has {}",
                    output.len(),
                    input.len()
                ));
            }
        } else if let Some(row) = outputs.logits.iter().find(|row| row.len() != classes) {
            let (elements, names) = match input.task {
                Task::Regression => ("elements", "quantities"),
                _ => ("logits", "classes"),
            };
            return fail(format!("{name} gives {} {elements}; the model has {classes} {names}", row.len()));
        }
    }
    if let Some(targets) = input.targets {
        let what = if input.task == Task::Anomaly { "inputs" } else { "labels" };
        if targets.samples() != samples {
            return fail(format!("{} {what} for {samples} outputs", targets.samples()));
        }
        let other = targets.logits.iter().find(|row| input.task == Task::Regression && row.len() != classes);
        if let Some(row) = other {
            return fail(format!(
                "`y` holds {} numbers a sample; the model has {classes} quantities",
                row.len()
            ));
        }
    }
    match input.labels {
        Some(labels) if labels.len() != samples => {
            fail(format!("{} labels for {samples} samples", labels.len()))
        }
        Some(labels) if labels.iter().any(|&label| label >= classes) => {
            fail(format!("a label is out of range: the model has {classes} classes"))
        }
        _ => Ok(()),
    }
}

fn confidence(outputs: &Outputs, choice: &[usize], labels: Option<&[usize]>) -> Option<Confidence> {
    let largest = |logits: &Vec<f32>| metrics::softmax(logits, 1.0).into_iter().fold(0.0, f64::max);
    let sure: Vec<f64> = outputs.logits.iter().map(largest).collect();
    let error = labels.and_then(|labels| {
        let right: Vec<bool> = choice.iter().zip(labels).map(|(choice, label)| choice == label).collect();
        metrics::calibration_error(&sure, &right)
    });
    (!sure.is_empty()).then(|| Confidence { mean: sure.iter().sum::<f64>() / sure.len() as f64, error })
}

/// Of teacher, float and int8 student, by their confusions.
fn class_scores(
    classes: &[String],
    labels: Option<&[usize]>,
    [teacher, float, int8]: [Option<&Confusion>; 3],
) -> Vec<ClassScore> {
    let samples = |class| labels.map(|labels| labels.iter().filter(|&&label| label == class).count() as u64);
    let score = |(class, name): (usize, &String)| ClassScore {
        name: name.clone(),
        support: samples(class),
        teacher: teacher.and_then(|confusion| confusion.recall(class)),
        float: float.and_then(|confusion| confusion.recall(class)),
        int8: int8.and_then(|confusion| confusion.recall(class)),
        precision: int8.and_then(|confusion| confusion.precision(class)),
        f1: int8.and_then(|confusion| confusion.f1(class)),
    };
    classes.iter().enumerate().map(score).collect()
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
