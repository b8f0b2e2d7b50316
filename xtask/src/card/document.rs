//! A card under headings: those of model-card practice (Mitchell et al., arXiv:1810.03993, and Hugging Face's template), with
//! one of our own, how close the student is to its teacher.
//!
//! Nothing is dropped: a fact that a card lacks reads "not stated", a figure "not measured".

use std::collections::BTreeMap;

use super::gather::{FIGURES, Figure, Unit};
use super::{Card, Class, Data, Network, Plan, Source};
use crate::console::percent;
use crate::report::summary::thousands;

/// What a card says of a fact that nobody stated.
pub const NOT_STATED: &str = "not stated";
/// What it says of a figure that was not measured.
pub const NOT_MEASURED: &str = "not measured";

/// Classes that count as the worst.
const WORST: usize = 3;

/// A card to be shown.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The model's name.
    pub title: String,
    /// Under it.
    pub summary: String,
    /// The headings.
    pub sections: Vec<Section>,
}

/// A heading and what stands under it.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub heading: &'static str,
    /// In order.
    pub parts: Vec<Part>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Part {
    /// A sentence.
    Text(String),
    /// Names and what is stated of them.
    Facts(Vec<(String, String)>),
    /// A table.
    Table {
        /// Headings of the columns.
        columns: Vec<&'static str>,
        /// Its cells.
        rows: Vec<Vec<String>>,
    },
}

/// Arranges a card.
pub fn document(card: &Card) -> Document {
    let empty = Card { name: card.name.clone(), plan: card.plan.clone(), ..Card::default() };
    let summary = if *card == empty {
        "This plan carries no model card: it was made of a bare ONNX file. Quantize the folder of a model, whose model.toml \
         says where it comes from."
            .to_owned()
    } else {
        stated(card.description.as_ref())
    };
    Document {
        title: clean(card.name.as_deref().unwrap_or("a model without a name")),
        summary,
        sections: vec![
            section("Model details", details(card)),
            section("Intended use", intended_use(card)),
            section("How to use", how_to_use(card)),
            section("Training data and procedure", training(card)),
            section("Evaluation", evaluation(card)),
            section("How close to its teacher", closeness(card)),
            section("Limitations", limitations(card)),
            section("Footprint", footprint(card)),
            section("Provenance", provenance(card)),
        ],
    }
}

fn section(heading: &'static str, parts: Vec<Part>) -> Section {
    Section { heading, parts }
}

fn facts<const N: usize>(facts: [(&str, String); N]) -> Part {
    Part::Facts(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Text from outside, without what a terminal would obey.
fn clean(text: &str) -> String {
    let visible = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.trim().chars().map(visible).collect()
}

fn stated(text: Option<&String>) -> String {
    text.map(|text| clean(text)).filter(|text| !text.is_empty()).unwrap_or_else(|| NOT_STATED.to_owned())
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| NOT_STATED.to_owned(), thousands)
}

fn network(network: Option<&Network>, pick: fn(&Network) -> Option<&String>) -> String {
    stated(network.and_then(pick))
}

fn of_plan(card: &Card, pick: fn(&Plan) -> Option<&String>) -> String {
    stated(card.plan.as_ref().and_then(pick))
}

fn trained(card: &Card, key: &str) -> String {
    stated(card.training.get(key))
}

fn details(card: &Card) -> Vec<Part> {
    let (student, teacher) = (card.student.as_ref(), card.teacher.as_ref());
    let kind = |number: Option<u64>, what: &str| number.map(|number| format!("{} {what}", thousands(number)));
    let size = |of: Option<&Network>| {
        let parts = of.map(|of| [kind(of.parameters, "parameters"), kind(of.macs, "multiply-accumulates")]);
        let parts: Vec<String> = parts.into_iter().flatten().flatten().collect();
        if parts.is_empty() { NOT_STATED.to_owned() } else { parts.join(", ") }
    };
    vec![
        facts([
            ("name", stated(card.name.as_ref())),
            ("task", stated(card.task.as_ref())),
            ("SHA-256 of the plan", of_plan(card, |plan| plan.sha256.as_ref())),
            ("quantized by", version(card.plan.as_ref().and_then(|plan| plan.still8.as_ref()))),
            ("trained by", version(card.training.get("version"))),
            ("licence of the weights", network(student, |of| of.licence.as_ref())),
            ("made by", network(student, |of| of.origin.as_ref())),
            ("size in float", size(student)),
        ]),
        Part::Text("Distilled from this teacher:".to_owned()),
        facts([
            ("SHA-256 of the teacher", teacher_sha256(card)),
            ("licence of the teacher", teacher_fact(card, |of| of.licence.as_ref(), "teacher_licence")),
            (
                "permission to distil",
                teacher_fact(card, |of| of.permits_distillation.as_ref(), "teacher_permits"),
            ),
            ("made by", network(teacher, |of| of.origin.as_ref())),
            ("size", size(teacher)),
        ]),
    ]
}

fn version(version: Option<&String>) -> String {
    version.map_or_else(|| NOT_STATED.to_owned(), |version| format!("still8 {}", clean(version)))
}

/// What the recipe says of the teacher, or else the trained file itself.
fn teacher_fact(card: &Card, pick: fn(&Network) -> Option<&String>, key: &str) -> String {
    stated(card.teacher.as_ref().and_then(pick).or(card.training.get(key)))
}

fn teacher_sha256(card: &Card) -> String {
    teacher_fact(card, |of| of.sha256.as_ref(), "teacher_sha256")
}

fn intended_use(card: &Card) -> Vec<Part> {
    let said = &card.card;
    vec![facts([
        ("for", stated(said.intended_use.as_ref())),
        ("not for", stated(said.out_of_scope.as_ref())),
    ])]
}

fn how_to_use(card: &Card) -> Vec<Part> {
    let input = card.input.as_ref();
    let shape = input.filter(|input| !input.shape.is_empty()).map(|input| format!("{:?}", input.shape));
    let range = input.and_then(|input| input.range).map(|[low, high]| format!("{low} to {high}"));
    let output = match card.task.as_deref() {
        Some("classification") => Some("one logit for each class; the largest wins".to_owned()),
        Some("anomaly") => Some("the input, rebuilt; the mean squared difference is the score".to_owned()),
        Some("regression") => Some("these quantities, each in its own unit".to_owned()),
        _ => None,
    };
    let classes: Vec<String> = card.classes.iter().map(|class| clean(class)).collect();
    vec![
        facts([
            ("input", stated(input.and_then(|input| input.name.as_ref()))),
            ("its shape, in the ONNX file's layout", stated(shape.as_ref())),
            ("its range", stated(range.as_ref())),
            ("preprocessing", stated(input.and_then(|input| input.preprocessing.as_ref()))),
            ("output", stated(card.output.as_ref())),
            ("its meaning", stated(output.as_ref())),
            (names_of(card), stated(Some(&classes.join(if regresses(card) { "; " } else { ", " })))),
        ]),
        Part::Text(
            "Scales, zero points and the device's order of axes: `cargo xtask inspect` on the plan."
                .to_owned(),
        ),
    ]
}

fn regresses(card: &Card) -> bool {
    card.task.as_deref() == Some("regression")
}

fn names_of(card: &Card) -> &'static str {
    if regresses(card) { "quantities" } else { "classes" }
}

fn training(card: &Card) -> Vec<Part> {
    let mut parts = sources(card);
    let set = |(name, of): (&String, &Data)| vec![clean(name), count(of.samples), stated(of.split.as_ref())];
    parts.push(match card.data.is_empty() {
        true => Part::Text(format!("Data sets: {NOT_STATED}.")),
        false => Part::Table {
            columns: vec!["data set", "samples", "split"],
            rows: card.data.iter().map(set).collect(),
        },
    });
    parts.push(Part::Text("Training, as the quantized ONNX file has it:".to_owned()));
    parts.push(match card.training.is_empty() {
        true => facts([("seed", NOT_STATED.to_owned()), ("hash of the recipe", NOT_STATED.to_owned())]),
        false => {
            Part::Facts(card.training.iter().map(|(key, value)| (clean(key), stated(Some(value)))).collect())
        }
    });
    let plan = card.plan.as_ref();
    parts.push(facts([
        ("calibration of activations", of_plan(card, |plan| plan.calibration.as_ref())),
        ("samples that it saw", count(plan.and_then(|plan| plan.calibration_samples))),
    ]));
    parts
}

/// Where the data come from: a table, and below it what is too long for one.
fn sources(card: &Card) -> Vec<Part> {
    if card.source.is_empty() {
        return vec![Part::Text(format!("Sources of the data: {}.", trained(card, "sources")))];
    }
    let row = |of: &Source| {
        [&of.name, &of.licence, &of.date, &of.package].map(|field| stated(field.as_ref())).to_vec()
    };
    let long = |of: &Source| {
        let of_it = |what: &str| format!("{what} of {}", stated(of.name.as_ref()));
        [(of_it("address"), stated(of.url.as_ref())), (of_it("citation"), stated(of.citation.as_ref()))]
    };
    vec![
        Part::Table {
            columns: vec!["source", "licence", "date", "package"],
            rows: card.source.iter().map(row).collect(),
        },
        Part::Facts(card.source.iter().flat_map(long).collect()),
    ]
}

/// A figure as its unit has it.
fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => percent(Some(value)),
        Unit::Number => format!("{value:.4}"),
    }
}

fn figure(card: &Card, figure: &Figure) -> String {
    let value = card.evaluation.as_ref().and_then(|evaluation| evaluation.figures.get(figure.name));
    value.map_or_else(|| NOT_MEASURED.to_owned(), |&value| show(value, figure.unit))
}

/// The known figures of one kind: those of the task, measured or not, and of all others those that there are.
fn figures(card: &Card, closeness: bool) -> Vec<(String, String)> {
    let all = card.evaluation.as_ref().map(|evaluation| &evaluation.figures);
    let shown = |figure: &&Figure| {
        let task = match figure.name.rsplit_once('_') {
            Some((_, "auc")) => "anomaly",
            Some((_, "r2")) => "regression",
            _ => "classification",
        };
        let usual = card.task.as_deref().unwrap_or("classification") == task;
        figure.closeness == closeness && (usual || all.is_some_and(|all| all.contains_key(figure.name)))
    };
    FIGURES.iter().filter(shown).map(|known| (known.label.to_owned(), figure(card, known))).collect()
}

/// Figures that [`FIGURES`] does not know.
fn others(figures: &BTreeMap<String, f64>) -> impl Iterator<Item = (String, String)> {
    let unknown = figures.iter().filter(|(name, _)| FIGURES.iter().all(|known| known.name != name.as_str()));
    unknown.map(|(name, &value)| (clean(name), show(value, Unit::Number)))
}

fn evaluation(card: &Card) -> Vec<Part> {
    let Some(evaluation) = &card.evaluation else {
        let why = "Not measured: `cargo xtask quantize` does so where model.toml names test data and its file is there.";
        return vec![Part::Text(why.to_owned()), Part::Facts(figures(card, false))];
    };
    let data = evaluation.data.as_ref();
    let set = data.and_then(|key| card.data.get(key));
    let mut measured = figures(card, false);
    measured.extend(others(&evaluation.figures));
    let mut parts = vec![
        facts([
            ("data", stated(data)),
            ("samples", thousands(evaluation.samples)),
            ("split", stated(set.and_then(|set| set.split.as_ref()))),
            ("SHA-256 of the data", stated(set.and_then(|set| set.sha256.as_ref()))),
        ]),
        Part::Facts(measured),
    ];
    if regresses(card) {
        parts.extend(quantities(&evaluation.class));
    } else if !evaluation.class.is_empty() {
        let row = |class: &Class| {
            let shares = ["teacher", "float", "int8", "int8_precision"].map(|name| {
                class.figures.get(name).map_or_else(|| NOT_MEASURED.to_owned(), |&share| percent(Some(share)))
            });
            [vec![clean(&class.name), thousands(class.samples)], shares.to_vec()].concat()
        };
        parts.push(Part::Text("Share of each class's samples that the networks recognize:".to_owned()));
        parts.push(Part::Table {
            columns: vec!["class", "samples", "teacher", "float", "int8", "precision of int8"],
            rows: evaluation.class.iter().map(row).collect(),
        });
    }
    parts
}

/// How far each quantity is off.
fn quantities(quantities: &[Class]) -> Vec<Part> {
    let row = |quantity: &Class| {
        let errors = ["teacher_rmse", "float_rmse", "int8_rmse", "int8_mae"].map(|name| {
            quantity.figures.get(name).map_or_else(|| NOT_MEASURED.to_owned(), |&error| format!("{error:.4}"))
        });
        [vec![clean(&quantity.name)], errors.to_vec()].concat()
    };
    vec![
        Part::Text(
            "Errors of each quantity in its own unit, roots of mean squares and means of amounts:".to_owned(),
        ),
        Part::Table {
            columns: vec!["quantity", "RMSE of the teacher", "float", "int8", "mean absolute error of int8"],
            rows: quantities.iter().map(row).collect(),
        },
    ]
}

fn closeness(card: &Card) -> Vec<Part> {
    let mut shown = vec![("SHA-256 of the teacher".to_owned(), teacher_sha256(card))];
    shown.extend(figures(card, true));
    vec![Part::Facts(shown)]
}

fn limitations(card: &Card) -> Vec<Part> {
    let split = |key: &str| stated(card.data.get(key).and_then(|set| set.split.as_ref()));
    vec![
        facts([
            ("known limits", stated(card.card.limitations.as_ref())),
            ("worst classes", worst(card).unwrap_or_else(|| NOT_MEASURED.to_owned())),
            ("calibration of confidence", confidence(card).unwrap_or_else(|| NOT_MEASURED.to_owned())),
            ("what it was trained on", split("train")),
            ("what it was tested on, and never trained on", split("test")),
        ]),
        Part::Text(
            "Figures hold for data like the test data. Other sensors, places and people, and inputs that belong to no class, \
             were not measured unless it is said above."
                .to_owned(),
        ),
    ]
}

/// The classes that the int8 student recognizes least, worst first.
fn worst(card: &Card) -> Option<String> {
    let classes = &card.evaluation.as_ref()?.class;
    let share = |class: &&Class| class.figures.get("int8").copied();
    let mut known: Vec<(f64, &Class)> =
        classes.iter().filter_map(|class| Some((share(&class)?, class))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let of = |(share, class): &(f64, &Class)| {
        format!("{} ({} of {})", clean(&class.name), percent(Some(*share)), thousands(class.samples))
    };
    (!known.is_empty()).then(|| known.iter().take(WORST).map(of).collect::<Vec<_>>().join(", "))
}

/// Whether the student is surer than it is right.
fn confidence(card: &Card) -> Option<String> {
    let figures = &card.evaluation.as_ref()?.figures;
    let value = |name: &str| figures.get(name).copied();
    let (sure, right) = (value("int8_confidence")?, value("int8_accuracy")?);
    let error = value("int8_calibration_error")?;
    let word = if sure > right { "too sure" } else { "not sure enough" };
    Some(format!(
        "on average {} sure and {} right, so {:.2} points {word}; expected calibration error {} (softmax of the int8 logits, 15 bins)",
        percent(Some(sure)),
        percent(Some(right)),
        100.0 * (sure - right).abs(),
        percent(Some(error))
    ))
}

fn footprint(card: &Card) -> Vec<Part> {
    let plan = card.plan.clone().unwrap_or_default();
    vec![facts([
        ("weights and biases", count(plan.parameters)),
        ("multiply-accumulates of an inference", count(plan.macs)),
        ("bytes of flash (the plan; code is not in it)", count(plan.flash_bytes)),
        ("bytes of RAM (the arena)", count(plan.arena_bytes)),
        ("kernel family", stated(plan.family.as_ref())),
    ])]
}

fn provenance(card: &Card) -> Vec<Part> {
    let plan = card.plan.clone().unwrap_or_default();
    let (student, teacher) = (card.student.as_ref(), card.teacher.as_ref());
    let mut hashes = vec![
        ("plan, as it is flashed", stated(plan.sha256.as_ref())),
        ("ONNX file that was quantized", stated(plan.source_sha256.as_ref())),
        ("student", network(student, |of| of.sha256.as_ref())),
        ("student in QDQ form", network(student, |of| of.quantized_sha256.as_ref())),
        ("teacher", teacher_sha256(card)),
        ("model.toml", stated(card.recipe_sha256.as_ref())),
        ("recipe of the training", trained(card, "recipe_sha256")),
    ];
    if teacher.is_some_and(|teacher| teacher.quantized_sha256.is_some()) {
        hashes.push(("teacher in QDQ form", network(teacher, |of| of.quantized_sha256.as_ref())));
    }
    let mut rows: Vec<Vec<String>> =
        hashes.into_iter().map(|(name, hash)| vec![name.to_owned(), hash]).collect();
    let sets = card
        .data
        .iter()
        .map(|(name, set)| vec![format!("data: {}", clean(name)), stated(set.sha256.as_ref())]);
    rows.extend(sets);
    let dates = card
        .source
        .iter()
        .map(|source| (format!("date of {}", stated(source.name.as_ref())), stated(source.date.as_ref())));
    let mut versions = vec![
        ("checksum of the plan, which a device logs at boot".to_owned(), stated(plan.crc32.as_ref())),
        ("format of the plan".to_owned(), count(plan.format_version.map(u64::from))),
        ("quantized by".to_owned(), version(plan.still8.as_ref())),
        ("trained by".to_owned(), version(card.training.get("version"))),
        ("seed of the training".to_owned(), trained(card, "seed")),
    ];
    versions.extend(dates);
    vec![Part::Table { columns: vec!["what", "SHA-256"], rows }, Part::Facts(versions)]
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
