//! A report as text for the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::anomaly::{Anomaly, FALSE_ALARMS};
use crate::recipe::Task;
use crate::regression::Quantity;
use crate::validate::{Report, Score, Verdict};

/// The report: the three networks, where accuracy was lost, the classes (of an anomaly model scores, of a regression
/// quantities), and the verdicts.
///
/// Plain text without colours, so that a file or a log can take it too. What is not known is a dash.
pub fn text(report: &Report) -> String {
    let Report { model, on, dataset, samples, loss, .. } = report;
    let mut text = format!("{model} on {on}: {samples} samples of {dataset}\n\n");
    let mut add = |table: &Table| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", table.trim_fmt());
    };
    add(&networks(report));
    let mut split = match report.task {
        Task::Classification => table(&["accuracy lost", "points"]),
        Task::Anomaly => table(&["AUC lost", ""]),
        Task::Regression => table(&["R2 lost", ""]),
    };
    split.add_row([
        "in distillation (teacher - float)".to_owned(),
        self::loss(report.task, loss.distillation),
    ]);
    split.add_row(["in quantization (float - int8)".to_owned(), self::loss(report.task, loss.quantization)]);
    add(&split);
    let mut closeness = table(&["closeness", ""]);
    closeness_rows(report).into_iter().for_each(|row| {
        closeness.add_row(row);
    });
    if let Some(mismatches) = report.byte_mismatches {
        closeness.add_row(["bytes unlike the host's".to_owned(), mismatches.to_string()]);
    }
    add(&closeness);
    match (&report.anomaly, &report.quantities) {
        (Some(anomaly), _) => add(&scores(report, anomaly)),
        (_, Some(quantities)) => add(&self::quantities(quantities)),
        _ => add(&classes(report)),
    }
    for verdict in &report.verdicts {
        let _ = writeln!(text, "{}", verdict_line(verdict));
    }
    text
}

/// What a task is judged by, of one network: `92.40 %`, `AUC 0.9912`, or `R2 0.9754`.
pub fn measure(score: Option<Score>) -> String {
    match score {
        Some(Score { accuracy: None, auc: Some(auc), .. }) => format!("AUC {auc:.4}"),
        Some(Score { accuracy: None, r2: Some(r2), .. }) => format!("R2 {r2:.4}"),
        score => percent(score.and_then(|score| score.accuracy)),
    }
}

/// The same as a share for tables: `1.10 %` of accuracy, AUC, or R².
pub fn lost(task: Task, loss: Option<f64>) -> String {
    match task {
        Task::Classification => percent(loss),
        Task::Anomaly | Task::Regression => number(loss.map(four_decimals), 4),
    }
}

/// A number as it is shown with four decimals, without a negative zero.
pub fn four_decimals(value: f64) -> f64 {
    (value * 1e4).round() / 1e4 + 0.0
}

/// What was lost of [`measure`]: points of accuracy, AUC, or R².
fn loss(task: Task, loss: Option<f64>) -> String {
    match task {
        Task::Classification => points(loss),
        Task::Anomaly | Task::Regression => {
            loss.map_or("-".to_owned(), |loss| format!("{:+.4}", four_decimals(loss)))
        }
    }
}

/// How close the networks are, in words and figures.
fn closeness_rows(report: &Report) -> Vec<[String; 2]> {
    let Report { agreement, .. } = report;
    let db = number(report.logits_sqnr_db, 1);
    if report.quantities.is_some() {
        return vec![["SQNR of int8's output, dB".to_owned(), db]];
    }
    match &report.anomaly {
        None => vec![
            ["same class, teacher and float".to_owned(), percent(agreement.teacher_float)],
            ["same class, teacher and int8".to_owned(), percent(agreement.teacher_int8)],
            ["same class, float and int8".to_owned(), percent(agreement.float_int8)],
            ["KL(teacher || int8), nats".to_owned(), number(report.kl, 4)],
            [format!("KL(teacher || int8) at T = {}", report.kl_temperature), number(report.kl_softened, 4)],
            ["SQNR of int8's logits, dB".to_owned(), db],
            ["int8's mean confidence".to_owned(), percent(report.confidence.map(|sure| sure.mean))],
            [
                "its expected calibration error".to_owned(),
                percent(report.confidence.and_then(|sure| sure.error)),
            ],
        ],
        Some(Anomaly { correlation, .. }) => vec![
            ["scores' rank correlation, teacher and float".to_owned(), number(correlation.teacher_float, 4)],
            ["scores' rank correlation, teacher and int8".to_owned(), number(correlation.teacher_int8, 4)],
            ["scores' rank correlation, float and int8".to_owned(), number(correlation.float_int8, 4)],
            ["SQNR of int8's output, dB".to_owned(), db],
        ],
    }
}

/// An anomaly model's scores: where normal and anomalous samples lie, and a threshold.
fn scores(report: &Report, anomaly: &Anomaly) -> Table {
    let threshold = format!("more than {}", number(anomaly.threshold, 4));
    let mut table = table(&["int8's score", "samples", "mean", &threshold]);
    let false_alarms = anomaly.threshold.map(|_| FALSE_ALARMS);
    let rows = [(anomaly.normal, false_alarms), (anomaly.anomalous, anomaly.detected)];
    for (class, (mean, share)) in report.classes.iter().zip(rows) {
        let support = class.support.map_or("-".to_owned(), |support| support.to_string());
        table.add_row([class.name.clone(), support, number(mean, 4), percent(share)]);
    }
    table
}

/// How far a regression's quantities are off, each in its own unit.
fn quantities(quantities: &[Quantity]) -> Table {
    let mut table =
        table(&["quantity", "RMSE, teacher", "float", "int8", "int8's mean absolute error", "int8's R2"]);
    for quantity in quantities {
        let networks = [quantity.teacher, quantity.float, quantity.int8];
        let errors = networks.map(|deviation| number(deviation.map(|deviation| deviation.rmse), 4));
        let int8 = quantity.int8;
        let own = [int8.map(|deviation| deviation.mae), int8.and_then(|deviation| deviation.r2)];
        let own = own.map(|value| number(value, 4));
        table.add_row([vec![quantity.name.clone()], errors.to_vec(), own.to_vec()].concat());
    }
    table
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
    if report.task != Task::Classification {
        let name = if report.task == Task::Anomaly { "AUC" } else { "R2" };
        let of = |score: Option<&Score>| number(score.and_then(|score| score.measure()), 4);
        table.add_row([name.to_owned(), of(teacher.as_ref()), of(float.as_ref()), of(Some(int8))]);
        return table;
    }
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
