//! Fills a card: from the recipe, from the ONNX file's metadata, from what was measured, from the plan.

use std::collections::BTreeMap;
use std::path::Path;

use still8::Plan;
use still8_validation::host::HostRunner;
use still8_validation::model::Model;
use still8_validation::recipe::{self, Recipe};
use still8_validation::regression::{Deviation, Quantity};
use still8_validation::{Failure, Result, files, onnx, validate};

use super::{Card, Class, Data, Evaluation, Input, Network, SCHEMA, Source};
use crate::emit::Emitted;
use crate::quantize::Quantized;

/// Prefix of the metadata that still8 writes into ONNX files.
const PREFIX: &str = "still8.";

/// How a figure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction, in percent.
    Share,
    /// A plain number.
    Number,
}

/// A figure that is known by name.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The name in a card.
    pub name: &'static str,
    /// What it is.
    pub label: &'static str,
    /// How it is shown.
    pub unit: Unit,
    /// Whether it tells how close the student is to its teacher.
    pub closeness: bool,
}

const fn share(name: &'static str, label: &'static str) -> Figure {
    Figure { name, label, unit: Unit::Share, closeness: false }
}

const fn number(name: &'static str, label: &'static str) -> Figure {
    Figure { name, label, unit: Unit::Number, closeness: false }
}

const fn close(name: &'static str, label: &'static str, unit: Unit) -> Figure {
    Figure { name, label, unit, closeness: true }
}

/// The figures that have a label, in the order in which they are shown. Any other name is shown as it is.
pub const FIGURES: [Figure; 19] = [
    share("int8_accuracy", "accuracy of the int8 student"),
    share("float_accuracy", "accuracy of the float student"),
    share("teacher_accuracy", "accuracy of the teacher"),
    number("int8_macro_f1", "macro-F1 of the int8 student"),
    number("int8_auc", "area under the ROC curve of the int8 student"),
    number("float_auc", "area under the ROC curve of the float student"),
    number("teacher_auc", "area under the ROC curve of the teacher"),
    number("int8_r2", "R² of the int8 student, mean over quantities"),
    number("float_r2", "R² of the float student"),
    number("teacher_r2", "R² of the teacher"),
    share("int8_confidence", "mean confidence of the int8 student"),
    share("int8_calibration_error", "expected calibration error of the int8 student (15 bins)"),
    close("loss_distillation", "lost in distillation (teacher to float student)", Unit::Share),
    close("loss_quantization", "lost in quantization (float to int8 student)", Unit::Share),
    close("agreement_teacher_int8", "same class, teacher and int8 student", Unit::Share),
    close("agreement_teacher_float", "same class, teacher and float student", Unit::Share),
    close("agreement_float_int8", "same class, float and int8 student", Unit::Share),
    close("kl_teacher_int8", "KL(teacher ‖ int8 student), nats", Unit::Number),
    close("kl_teacher_int8_t4", "the same of logits softened at temperature 4", Unit::Number),
];

/// Everything that the card of a new plan is made of.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The ONNX file that was quantized.
    pub onnx: &'a Path,
    /// The model whose file it is.
    pub model: Option<&'a Model>,
    /// What was measured on the model's shipped test data.
    pub validation: Option<&'a validate::Report>,
    /// The plan.
    pub emitted: &'a Emitted,
    /// The network, and how it was made.
    pub quantized: &'a Quantized,
    /// Number of calibration samples; `None` where the file brought every range.
    pub samples: Option<usize>,
}

/// The card of a new plan; `None` for a bare ONNX file that still8 did not write.
///
/// # Errors
/// [`Failure::Data`] where the file is no ONNX model.
pub fn card(parts: &Parts<'_>) -> Result<Option<Card>> {
    let training = training(parts.onnx)?;
    let network = &parts.quantized.network;
    let mut card = match parts.model {
        Some(model) => recipe(model.recipe(), model.recipe_sha256().to_owned()),
        None if training.is_empty() => return Ok(None),
        None => Card { schema: SCHEMA, name: Some(network.name.clone()), ..Card::default() },
    };
    card.training = training;
    card.evaluation = parts.validation.map(evaluation);
    let bytes = &parts.emitted.bytes;
    let runner = HostRunner::new(bytes).map_err(|error| Failure::data(parts.onnx, error))?;
    card.plan = Some(super::Plan {
        parameters: Some(network.parameters() as u64),
        macs: Some(network.ops.iter().map(|op| network.macs(op)).sum()),
        calibration: Some(match parts.samples {
            Some(_) => parts.quantized.calibration.method.to_string(),
            None => "none: the ranges are those of the quantized ONNX file".to_owned(),
        }),
        calibration_samples: parts.samples.map(|samples| samples as u64),
        still8: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..plan(bytes, &runner.plan())
    });
    Ok(Some(card))
}

/// What the recipe says; `sha256` is that of its text.
pub fn recipe(recipe: &Recipe, sha256: String) -> Card {
    let recipe::DataSets { calibration, test, full, train, holdout } = &recipe.data;
    let sets = [
        ("calibration", Some(calibration)),
        ("test", Some(test)),
        ("full", full.as_ref()),
        ("train", train.as_ref()),
        ("holdout", holdout.as_ref()),
    ];
    let input = &recipe.input;
    Card {
        schema: SCHEMA,
        name: Some(recipe.name.clone()),
        task: Some(recipe.task.name().to_owned()),
        description: Some(recipe.description.clone()),
        classes: recipe.names().to_vec(),
        recipe_sha256: Some(sha256),
        card: recipe.card.clone(),
        input: Some(Input {
            name: Some(input.name.clone()),
            shape: input.shape.iter().map(|&size| size as u64).collect(),
            range: input.range.map(|range| range.bounds().map(f64::from)),
            preprocessing: input.preprocessing.clone(),
        }),
        output: Some(recipe.output.name.clone()),
        student: Some(network(&recipe.student)),
        teacher: recipe.teacher.as_ref().map(network),
        data: sets.into_iter().filter_map(|(key, set)| Some((key.to_owned(), data(set?)))).collect(),
        source: recipe.sources.iter().map(source).collect(),
        ..Card::default()
    }
}

fn network(network: &recipe::Network) -> Network {
    Network {
        sha256: Some(network.sha256.as_str().to_owned()),
        quantized_sha256: network.quantized.as_ref().map(|file| file.sha256.as_str().to_owned()),
        licence: Some(network.licence.clone()),
        origin: Some(network.origin.clone()),
        parameters: Some(network.parameters),
        macs: Some(network.macs),
        permits_distillation: network.permits_distillation.clone(),
    }
}

fn data(file: &recipe::DataFile) -> Data {
    Data {
        sha256: Some(file.sha256.as_str().to_owned()),
        samples: Some(file.samples as u64),
        split: Some(file.split.clone()),
    }
}

fn source(source: &recipe::Source) -> Source {
    Source {
        name: Some(source.name.clone()),
        package: source.package.clone(),
        licence: Some(source.licence.clone()),
        citation: source.citation.clone(),
        date: source.date.clone(),
        url: source.url.clone(),
    }
}

/// What still8 wrote into an ONNX file: its metadata with keys `still8.…`, without that prefix.
///
/// # Errors
/// [`Failure::Data`] where the file is no ONNX model.
pub fn training(onnx: &Path) -> Result<BTreeMap<String, String>> {
    let (_, model, _) = onnx::read(onnx)?;
    let entry = |entry: onnx::pb::StringStringEntryProto| {
        Some((entry.key.strip_prefix(PREFIX)?.to_owned(), entry.value))
    };
    Ok(model.metadata_props.into_iter().filter_map(entry).collect())
}

/// The figures of a comparison on the model's shipped test data.
pub fn evaluation(report: &validate::Report) -> Evaluation {
    let accuracy = |score: Option<validate::Score>| score.and_then(|score| score.accuracy);
    let (agreement, loss) = (report.agreement, report.loss);
    let figures = [
        ("int8_accuracy", report.int8.accuracy),
        ("float_accuracy", accuracy(report.float)),
        ("teacher_accuracy", accuracy(report.teacher)),
        ("int8_macro_f1", report.int8.macro_f1),
        ("int8_auc", report.int8.auc),
        ("float_auc", report.float.and_then(|score| score.auc)),
        ("teacher_auc", report.teacher.and_then(|score| score.auc)),
        ("int8_r2", report.int8.r2),
        ("float_r2", report.float.and_then(|score| score.r2)),
        ("teacher_r2", report.teacher.and_then(|score| score.r2)),
        ("int8_confidence", report.confidence.map(|sure| sure.mean)),
        ("int8_calibration_error", report.confidence.and_then(|sure| sure.error)),
        ("loss_distillation", loss.distillation),
        ("loss_quantization", loss.quantization),
        ("agreement_teacher_int8", agreement.teacher_int8),
        ("agreement_teacher_float", agreement.teacher_float),
        ("agreement_float_int8", agreement.float_int8),
        ("kl_teacher_int8", report.kl),
        ("kl_teacher_int8_t4", report.kl_softened),
    ];
    let class = |class: &validate::ClassScore| Class {
        name: class.name.clone(),
        samples: class.support.unwrap_or(0),
        figures: named([
            ("teacher", class.teacher),
            ("float", class.float),
            ("int8", class.int8),
            ("int8_precision", class.precision),
        ]),
    };
    let quantity = |quantity: &Quantity| {
        let error = |of: Option<Deviation>| of.map(|deviation| deviation.rmse);
        Class {
            name: quantity.name.clone(),
            samples: report.samples as u64,
            figures: named([
                ("teacher_rmse", error(quantity.teacher)),
                ("float_rmse", error(quantity.float)),
                ("int8_rmse", error(quantity.int8)),
                ("int8_mae", quantity.int8.map(|deviation| deviation.mae)),
            ]),
        }
    };
    let labelled = report.int8.accuracy.is_some();
    Evaluation {
        data: Some("test".to_owned()),
        samples: report.samples as u64,
        figures: named(figures),
        class: match &report.quantities {
            Some(quantities) => quantities.iter().map(quantity).collect(),
            None => report.classes.iter().filter(|_| labelled).map(class).collect(),
        },
    }
}

/// Those that are known, to six decimals: sums of floats may differ in their last bits from one host to another.
fn named<const N: usize>(figures: [(&str, Option<f64>); N]) -> BTreeMap<String, f64> {
    let known = |(name, value): (&str, Option<f64>)| {
        let value = value.filter(|value| value.is_finite())?;
        // Adding 0 makes 0 of −0.
        Some((name.to_owned(), (value * 1e6).round() / 1e6 + 0.0))
    };
    figures.into_iter().filter_map(known).collect()
}

/// What a plan says of itself. `bytes` are the plan's alone.
pub fn plan(bytes: &[u8], plan: &Plan<'_>) -> super::Plan {
    let header = plan.header();
    super::Plan {
        sha256: Some(files::sha256_hex(bytes)),
        crc32: Some(format!("{:08x}", header.crc32)),
        source_sha256: Some(header.source_sha256.iter().map(|byte| format!("{byte:02x}")).collect()),
        family: Some(plan.family().name().to_owned()),
        format_version: Some(header.version),
        flash_bytes: Some(plan.file_bytes() as u64),
        arena_bytes: Some(plan.arena_bytes() as u64),
        ..super::Plan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_and_the_unknown_left_out() {
        let figures =
            named([("a", Some(1.0 / 3.0)), ("b", None), ("c", Some(f64::INFINITY)), ("d", Some(-1e-9))]);
        assert_eq!(figures.into_iter().collect::<Vec<_>>(), [("a".into(), 0.333_333), ("d".into(), 0.0)]);
    }

    #[test]
    fn a_recipe_becomes_a_card_that_toml_brings_back() {
        let path = crate::boards::root().join("models/fashion/model.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let recipe = recipe(&Recipe::parse(&path, &text).unwrap(), files::sha256_hex(text.as_bytes()));
        let toml = recipe.to_toml().unwrap();
        assert_eq!(Card::parse(&toml).unwrap(), recipe);
        for hash in [recipe.teacher.unwrap().sha256, recipe.data["test"].sha256.clone(), recipe.recipe_sha256]
        {
            assert!(toml.contains(&hash.unwrap()));
        }
    }
}
