//! `cargo xtask tables`: writes the measured tables into the README and into the models' READMEs.

use std::path::{Path, PathBuf};

use still8_validation::validate::Report as Validation;
use still8_validation::{Failure, Result, files};

use crate::boards::{Core, root};
use crate::commands::{bench, ops, validate};
use crate::console::{Console, percent, table};
use crate::engine::Place;

/// Measures every model and rewrites what lies between the markers.
///
/// # Errors
/// Those of validate and bench; [`Failure::Data`] where a marker is missing. Nothing is half-written.
pub fn run(console: Console) -> Result<()> {
    let quiet = Console { quiet: true, ..console };
    let models = bench::every_model()?;
    let measured = bench::run(
        &bench::Options {
            models: models.clone(),
            on: Core::ALL.to_vec(),
            portable: true,
            ..Default::default()
        },
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
    for model in &models {
        let mut rows = vec![validated(model, "shipped", quiet)?];
        match validated(model, "full", quiet) {
            Ok(full) => rows.push(full),
            Err(Failure::Missing(why)) => console.warn(format!("the full data are left out: {why}")),
            Err(other) => return Err(other),
        }
        for row in &rows {
            let on_m4 = |result: &&bench::Measurement| result.model == row.model && result.family == "dsp";
            let sizes = measured.results.iter().find(on_m4);
            let sizes = sizes.map_or([String::new(), String::new()], |m| {
                [m.plan_bytes.to_string(), m.arena_bytes.to_string()]
            });
            accuracy.add_row(cells(row).into_iter().chain(sizes));
        }
        let mut own = table(&[
            "data",
            "samples",
            "accuracy",
            "macro-F1",
            "lost quantizing",
            "int8 = float",
            "KL(teacher, int8)",
        ]);
        for row in &rows {
            own.add_row([
                row.dataset.clone(),
                row.samples.to_string(),
                percent(row.int8.accuracy),
                row.int8.macro_f1.map_or_else(|| "-".into(), |f1| format!("{f1:.4}")),
                percent(row.loss.quantization),
                percent(row.agreement.float_int8),
                row.kl.map_or_else(|| "-".into(), |kl| format!("{kl:.4}")),
            ]);
        }
        replace(&model.join("README.md"), "int8", &format!("By `cargo xtask validate`:\n\n{own}"))?;
    }

    let counts = bench::totals(&measured.results);
    let readme = root().join("README.md");
    replace(&readme, "models", &accuracy.to_string())?;
    replace(&readme, "bench", &counts.to_string())?;
    replace(&readme, "ops", &ops::markdown())?;
    console.say(format!("{accuracy}\n\n{counts}"));
    Ok(())
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
        percent(report.teacher.and_then(|score| score.accuracy)),
        percent(report.float.and_then(|score| score.accuracy)),
        percent(report.int8.accuracy),
        percent(report.loss.distillation),
        percent(report.loss.quantization),
        percent(report.agreement.float_int8),
        report.kl.map_or_else(|| "-".into(), |kl| format!("{kl:.4}")),
    ]
}

/// Puts `contents` between `<!-- name:begin -->` and `<!-- name:end -->`.
fn replace(path: &Path, name: &str, contents: &str) -> Result<()> {
    let text = String::from_utf8(files::read(path)?).map_err(|error| Failure::data(path, error))?;
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let parts = text.split_once(&begin).and_then(|(front, rest)| Some((front, rest.split_once(&end)?.1)));
    let (front, back) = parts
        .ok_or_else(|| Failure::data(path, format_args!("the markers {begin} and {end} are missing")))?;
    let new = format!("{front}{begin}\n\n{contents}\n\n{end}{back}");
    files::write_atomically(path, |file| file.write_all(new.as_bytes()))
}
