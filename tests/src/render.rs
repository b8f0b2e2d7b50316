//! A report as text for the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::validate::{Report, Score, Verdict};

/// The report: the three networks, where accuracy was lost, the classes, and the verdicts.
///
/// Plain text without colours, so that a file or a log can take it too. What is not known is a dash.
pub fn text(report: &Report) -> String {
    let Report { model, on, dataset, samples, agreement, loss, .. } = report;
    let mut text = format!("{model} on {on}: {samples} samples of {dataset}\n\n");
    let mut add = |table: &Table| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", table.trim_fmt());
    };
    add(&networks(report));
    let mut split = table(&["accuracy lost", "points"]);
    split.add_row(["in distillation (teacher - float)".to_owned(), points(loss.distillation)]);
    split.add_row(["in quantization (float - int8)".to_owned(), points(loss.quantization)]);
    add(&split);
    let mut closeness = table(&["closeness", ""]);
    closeness.add_row(["same class, teacher and float".to_owned(), percent(agreement.teacher_float)]);
    closeness.add_row(["same class, teacher and int8".to_owned(), percent(agreement.teacher_int8)]);
    closeness.add_row(["same class, float and int8".to_owned(), percent(agreement.float_int8)]);
    closeness.add_row(["KL(teacher || int8), nats".to_owned(), number(report.kl, 4)]);
    let softened = format!("KL(teacher || int8) at T = {}", report.kl_temperature);
    closeness.add_row([softened, number(report.kl_softened, 4)]);
    closeness.add_row(["SQNR of int8's logits, dB".to_owned(), number(report.logits_sqnr_db, 1)]);
    let confidence = report.confidence;
    closeness.add_row(["int8's mean confidence".to_owned(), percent(confidence.map(|sure| sure.mean))]);
    let error = confidence.and_then(|sure| sure.error);
    closeness.add_row(["its expected calibration error".to_owned(), percent(error)]);
    if let Some(mismatches) = report.byte_mismatches {
        closeness.add_row(["bytes unlike the host's".to_owned(), mismatches.to_string()]);
    }
    add(&closeness);
    add(&classes(report));
    for verdict in &report.verdicts {
        let _ = writeln!(text, "{}", verdict_line(verdict));
    }
    text
}

/// `ok      int8_accuracy_min: 0.9012 (limit 0.9)`.
fn verdict_line(verdict: &Verdict) -> String {
    let word = if verdict.passed { "ok" } else { "MISSED" };
    let value = verdict.value.map_or("not measured".to_owned(), |value| format!("{}", round(value)));
    format!("{word:<6}  {}: {value} (limit {})", verdict.name, verdict.limit)
}

fn networks(report: &Report) -> Table {
    let mut table = table(&["", "teacher", "float", "int8"]);
    let Report { teacher, float, int8, .. } = report;
    let row = |name: &str, pick: fn(&Score) -> Option<f64>| {
        let cells = [teacher.as_ref(), float.as_ref(), Some(int8)].map(|score| percent(score.and_then(pick)));
        [vec![name.to_owned()], cells.to_vec()].concat()
    };
    table.add_row(row("accuracy", |score| score.accuracy));
    table.add_row(row("macro-F1", |score| score.macro_f1));
    table
}

fn classes(report: &Report) -> Table {
    let mut table = table(&["class", "samples", "teacher", "float", "int8", "precision", "F1"]);
    for class in &report.classes {
        let support = class.support.map_or("-".to_owned(), |support| support.to_string());
        let shares = [class.teacher, class.float, class.int8, class.precision, class.f1].map(percent);
        table.add_row([vec![class.name.clone(), support], shares.to_vec()].concat());
    }
    table
}

/// A table whose first column is text and whose others are numbers.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

fn points(loss: Option<f64>) -> String {
    loss.map_or("-".to_owned(), |loss| format!("{:+.2}", 100.0 * loss))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

/// At most six decimals.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
