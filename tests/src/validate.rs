//! Teacher against float student against int8 student: how close they are, and where accuracy was lost.
//!
//! Accuracies, agreements and losses are fractions; a loss below 0 is a gain. What cannot be known, for want
//! of labels or of a network, is `None`, and `null` in JSON.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::metrics::{self, Confusion};
use crate::recipe::{Fraction, Thresholds};
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
    /// The data set: `shipped`, `full` or a path.
    pub dataset: &'a str,
    /// The core that ran the int8 student.
    pub on: &'a str,
    /// Class names.
    pub classes: &'a [String],
    /// The right class of each sample, where known.
    pub labels: Option<&'a [usize]>,
    /// The teacher's logits.
    pub teacher: Option<&'a Outputs>,
    /// The float student's logits.
    pub float: Option<&'a Outputs>,
    /// The int8 student's logits, dequantized.
    pub int8: &'a Outputs,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub model: String,
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
    /// SQNR of the int8 student's logits against the float student's, in dB; infinite (null) where equal.
    pub logits_sqnr_db: Option<f64>,
    /// Accuracy lost on the way.
    pub loss: Loss,
    /// How sure the int8 student is, and how rightly so.
    #[serde(default)]
    pub confidence: Option<Confidence>,
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of samples given their label.
    pub accuracy: Option<f64>,
    /// Mean F1 over classes.
    pub macro_f1: Option<f64>,
}

/// Shares of equal choices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Teacher and float student.
    pub teacher_float: Option<f64>,
    /// Teacher and int8 student.
    pub teacher_int8: Option<f64>,
    /// Float and int8 student.
    pub float_int8: Option<f64>,
}

/// Where accuracy was lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// Compares the networks' outputs.
///
/// # Errors
/// [`Failure::Data`] where outputs or labels differ in number of samples, or outputs in number of classes.
pub fn compare(input: &Comparison<'_>) -> Result<Report> {
    check(input)?;
    let Comparison { classes, labels, teacher, float, int8, .. } = *input;
    let teacher_choice = teacher.map(Outputs::classes);
    let float_choice = float.map(Outputs::classes);
    let int8_choice = int8.classes();
    let confusion = |choice: Option<&[usize]>| Some(Confusion::new(labels?, choice?, classes.len()));
    let score = |choice: &[usize]| Score {
        accuracy: labels.and_then(|labels| metrics::agreement(labels, choice)),
        macro_f1: confusion(Some(choice)).and_then(|confusion| confusion.macro_f1()),
    };
    let agreement = |a: Option<&[usize]>, b: Option<&[usize]>| metrics::agreement(a?, b?);
    let kl = |temperature| metrics::mean_kl(&teacher?.logits, &int8.logits, temperature);
    let (teacher_score, float_score) =
        (teacher_choice.as_deref().map(score), float_choice.as_deref().map(score));
    let int8_score = score(&int8_choice);
    let loss = |a: Option<Score>, b: Option<Score>| Some(a?.accuracy? - b?.accuracy?);
    let int8_confusion = confusion(Some(&int8_choice));
    Ok(Report {
        schema: SCHEMA,
        model: input.model.to_owned(),
        on: input.on.to_owned(),
        dataset: input.dataset.to_owned(),
        samples: int8.samples(),
        teacher: teacher_score,
        float: float_score,
        int8: int8_score,
        agreement: Agreement {
            teacher_float: agreement(teacher_choice.as_deref(), float_choice.as_deref()),
            teacher_int8: agreement(teacher_choice.as_deref(), Some(&int8_choice)),
            float_int8: agreement(float_choice.as_deref(), Some(&int8_choice)),
        },
        kl: kl(1.0),
        kl_softened: kl(SOFT_TEMPERATURE),
        kl_temperature: SOFT_TEMPERATURE,
        logits_sqnr_db: float.map(|float| metrics::sqnr_db(&float.concat(), &int8.concat())),
        loss: Loss {
            distillation: loss(teacher_score, float_score),
            quantization: loss(float_score, Some(int8_score)),
        },
        confidence: confidence(int8, &int8_choice, labels),
        byte_mismatches: None,
        classes: class_scores(
            classes,
            confusion(teacher_choice.as_deref()).as_ref(),
            confusion(float_choice.as_deref()).as_ref(),
            int8_confusion.as_ref(),
        ),
        confusion: int8_confusion.map(|confusion| confusion.counts().to_vec()),
        verdicts: Vec::new(),
        passed: None,
    })
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
        if let Some(logits) = outputs.logits.iter().find(|logits| logits.len() != classes) {
            return fail(format!("{name} gives {} logits; the model has {classes} classes", logits.len()));
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

fn class_scores(
    classes: &[String],
    teacher: Option<&Confusion>,
    float: Option<&Confusion>,
    int8: Option<&Confusion>,
) -> Vec<ClassScore> {
    let score = |(class, name): (usize, &String)| ClassScore {
        name: name.clone(),
        support: int8.map(|confusion| confusion.support(class)),
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
