//! `cargo xtask tables`: writes the measured tables into the README and into the models' READMEs.

use std::path::{Path, PathBuf};

use still8_validation::model::Model;
use still8_validation::recipe::Task;
use still8_validation::render::{lost, measure};
use still8_validation::validate::Report as Validation;
use still8_validation::{Failure, Result, files};

use crate::boards::{Core, root};
use crate::commands::bench::Measurement;
use crate::commands::{bench, ops, validate};
use crate::console::{Console, percent, table};
use crate::engine::Place;
use crate::reference::{REFERENCES, peers};

/// Measures every model and rewrites what lies between the markers.
///
/// # Errors
/// Those of validate and bench, [`Failure::Missing`] among them where a model's data must be fetched first: nothing is written then.
/// [`Failure::Data`] where a marker is missing.
pub fn run(console: Console) -> Result<()> {
    let quiet = Console { quiet: true, ..console };
    let models = bench::model_folders()?;
    // The shorter work, and what names data that are not there.
    let validations = models.iter().map(|model| every_data(model, quiet)).collect::<Result<Vec<_>>>()?;
    let measured = bench::run(
        &bench::Options { models: models.clone(), on: Core::ALL.to_vec(), ..Default::default() },
        quiet,
    )?;

    let mut accuracy = table(&[
        "model",
        "data",
        "samples",
        "teacher",
        "float student",
        "int8 student",
        "lost distilling",
        "lost quantizing",
        "int8 = float",
        "KL(teacher, int8)",
        "plan",
        "arena",
    ]);
    for (model, rows) in models.iter().zip(&validations) {
        for row in rows {
            let on_m4 = |result: &&Measurement| result.model == row.model && result.family == "dsp";
            let sizes = measured.results.iter().find(on_m4);
            let sizes = sizes.map_or([String::new(), String::new()], |m| {
                [m.plan_bytes.to_string(), m.arena_bytes.to_string()]
            });
            accuracy.add_row(cells(row).into_iter().chain(sizes));
        }
        let own = match rows[0].task {
            Task::Classification => own_classification(rows),
            Task::Anomaly => own_anomaly(rows),
            Task::Regression => own_regression(rows),
        };
        replace(&model.join("README.md"), "int8", &format!("By `cargo xtask validate`:\n\n{own}"))?;
    }

    let names = REFERENCES.iter().map(|reference| reference.name.into()).collect();
    let options = bench::Options { models: names, on: Core::ALL.to_vec(), ..Default::default() };
    let peers = against_peers(&bench::run(&options, quiet)?.results);
    let counts = bench::totals(&measured.results);
    let readme = root().join("README.md");
    replace(&readme, "models", &accuracy.to_string())?;
    replace(&readme, "bench", &counts.to_string())?;
    replace(&readme, "peers", &peers.to_string())?;
    replace(&readme, "ops", &ops::markdown())?;
    console.say(format!("{accuracy}\n\n{counts}\n\n{peers}"));
    Ok(())
}

/// The table in the README of a classification.
fn own_classification(rows: &[Validation]) -> comfy_table::Table {
    let mut own = table(&[
        "data",
        "samples",
        "accuracy",
        "macro-F1",
        "lost quantizing",
        "int8 = float",
        "KL(teacher, int8)",
    ]);
    for row in rows {
        own.add_row([
            row.dataset.clone(),
            row.samples.to_string(),
            percent(row.int8.accuracy),
            number(row.int8.macro_f1),
            percent(row.loss.quantization),
            percent(row.agreement.float_int8),
            number(row.kl),
        ]);
    }
    own
}

/// The table in the README of an anomaly model.
fn own_anomaly(rows: &[Validation]) -> comfy_table::Table {
    let mut own = table(&[
        "data",
        "samples",
        "teacher AUC",
        "float AUC",
        "int8 AUC",
        "rank correlation, float and int8",
        "score of 5 % false alarms",
        "anomalies above it",
    ]);
    for row in rows {
        let anomaly = row.anomaly;
        own.add_row([
            row.dataset.clone(),
            row.samples.to_string(),
            number(row.teacher.and_then(|score| score.auc)),
            number(row.float.and_then(|score| score.auc)),
            number(row.int8.auc),
            number(anomaly.and_then(|anomaly| anomaly.correlation.float_int8)),
            number(anomaly.and_then(|anomaly| anomaly.threshold)),
            percent(anomaly.and_then(|anomaly| anomaly.detected)),
        ]);
    }
    own
}

/// The table in the README of a regression.
fn own_regression(rows: &[Validation]) -> comfy_table::Table {
    let mut own =
        table(&["data", "samples", "teacher R2", "float R2", "int8 R2", "SQNR of int8's output, dB"]);
    for row in rows {
        own.add_row([
            row.dataset.clone(),
            row.samples.to_string(),
            number(row.teacher.and_then(|score| score.r2)),
            number(row.float.and_then(|score| score.r2)),
            number(row.int8.r2),
            number(row.logits_sqnr_db),
        ]);
    }
    own
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// What the reference networks need, and which share that is of what the peer needs.
fn against_peers(results: &[Measurement]) -> comfy_table::Table {
    let mut rows = table(&[
        "network",
        "core",
        "kernels",
        "instructions",
        "per MAC",
        "of peer's",
        "cycles",
        "of peer's",
        "code",
        "of peer's",
        "arena",
        "of peer's",
    ]);
    let count = |count: Option<f64>| count.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
    let share = |ours: Option<f64>, theirs: Option<u64>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs as f64),
        _ => "-".to_owned(),
    };
    for result in results {
        let core = result.on.parse::<Core>().ok();
        let peer = peers::peer(&result.model);
        let counts = peer.zip(core).and_then(|(peer, core)| peer.counts(core));
        // Its code was measured on the Cortex-M4.
        let peer_code = peer.filter(|_| core == Some(Core::CortexM4)).map(|peer| peer.code_bytes);
        let per_mac = result.instructions.map(|count| count / result.macs as f64);
        let code = result.code_bytes.map(|bytes| bytes as f64);
        let arena = Some(result.arena_bytes as f64);
        let peer_arena = peer.filter(|_| core != Some(Core::Aarch64)).map(|peer| peer.arena_bytes);
        let on = if core == Some(Core::Aarch64) { &result.board } else { result.on };
        rows.add_row([
            result.model.clone(),
            on.to_owned(),
            result.kernels.clone(),
            count(result.instructions),
            per_mac.map_or_else(|| "-".into(), |value| format!("{value:.2}")),
            share(result.instructions, counts.map(|counts| counts.instructions)),
            count(result.cycles),
            share(result.cycles, counts.and_then(|counts| counts.cycles)),
            count(code),
            share(code, peer_code),
            count(arena),
            share(arena, peer_arena),
        ]);
    }
    rows
}

/// A model on its shipped data and, where its recipe makes them, on all.
fn every_data(model: &Path, console: Console) -> Result<Vec<Validation>> {
    let full = Model::open(model)?.recipe().data.full.as_ref().map(|_| "full");
    ["shipped"].into_iter().chain(full).map(|data| validated(model, data, console)).collect()
}

fn validated(model: &Path, data: &str, console: Console) -> Result<Validation> {
    let model = PathBuf::from(model);
    validate::run(
        &validate::Options { model, of: None, on: Place::Host, samples: None, data: data.to_owned() },
        console,
    )
}

fn cells(report: &Validation) -> Vec<String> {
    vec![
        report.model.clone(),
        report.dataset.clone(),
        report.samples.to_string(),
        measure(report.teacher),
        measure(report.float),
        measure(Some(report.int8)),
        lost(report.task, report.loss.distillation),
        lost(report.task, report.loss.quantization),
        percent(report.agreement.float_int8),
        number(report.kl),
    ]
}

/// Puts `contents` between `<!-- name:begin -->` and `<!-- name:end -->`.
///
/// # Errors
/// [`Failure::Data`] where a marker is missing.
pub fn replace(path: &Path, name: &str, contents: &str) -> Result<()> {
    let text = String::from_utf8(files::read(path)?).map_err(|error| Failure::data(path, error))?;
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let parts = text.split_once(&begin).and_then(|(front, rest)| Some((front, rest.split_once(&end)?.1)));
    let (front, back) = parts
        .ok_or_else(|| Failure::data(path, format_args!("the markers {begin} and {end} are missing")))?;
    let new = format!("{front}{begin}\n\n{contents}\n\n{end}{back}");
    files::write_atomically(path, |file| file.write_all(new.as_bytes()))
}
