//! Teacher, float and int8 student, and which classes are taken for which; of an anomaly model, how it scores; of a
//! regression, how far its quantities are off.

use std::fmt::Write as _;

use still8_validation::anomaly::{Anomaly, FALSE_ALARMS};
use still8_validation::regression::{Deviation, Quantity};
use still8_validation::render;
use still8_validation::validate::{self, Score};

use super::super::Report;
use super::super::summary::{decibels, thousands};
use super::escape;
use super::table::{Cell, Table};
use crate::console::percent;

/// Classes that a confusion matrix is drawn for; with more, the commonest confusions are listed.
const MATRIX: usize = 30;
/// Confusions in that list.
const LISTED: usize = 50;

/// Columns of a table of the three networks.
const NETWORKS: [(&str, &str); 4] = [("", ""), ("teacher", ""), ("float student", ""), ("int8 student", "")];

fn origin(validation: &validate::Report) -> String {
    format!(
        "<p>{} samples of the {} test data, the int8 student on the {}.</p>\n",
        thousands(validation.samples as u64),
        escape(&validation.dataset),
        escape(&validation.on)
    )
}

/// The section of an anomaly model.
fn scored(validation: &validate::Report, anomaly: &Anomaly) -> String {
    let networks = [validation.teacher, validation.float, Some(validation.int8)];
    let number = |value: Option<f64>| Cell::number(value, |value| format!("{value:.4}"));
    let lost = |loss: Option<f64>| Cell::number(loss, |loss| format!("{:+.4}", render::four_decimals(loss)));
    let share = |share: Option<f64>| Cell::number(share, |share| percent(Some(share)));
    let mut areas = Table::new("Area under the ROC curve", &NETWORKS);
    let cells = networks.map(|score| number(score.and_then(|score| score.auc)));
    areas.row([Cell::text("AUC")].into_iter().chain(cells));
    let mut closeness = Table::new("Closeness", &[("", ""), ("", "")]);
    let (loss, correlation) = (validation.loss, anomaly.correlation);
    let sqnr = validation.logits_sqnr_db;
    for (name, cell) in [
        ("AUC lost in distillation (teacher to float)", lost(loss.distillation)),
        ("AUC lost in quantization (float to int8)", lost(loss.quantization)),
        ("rank correlation of scores, float and int8", number(correlation.float_int8)),
        ("rank correlation of scores, teacher and int8", number(correlation.teacher_int8)),
        ("rank correlation of scores, teacher and float", number(correlation.teacher_float)),
        ("SQNR of int8’s output", Cell::number(sqnr, |db| format!("{} dB", decibels(Some(db))))),
    ] {
        closeness.row([Cell::text(name), cell]);
    }
    let beyond = anomaly.threshold.map_or_else(|| "beyond".to_owned(), |limit| format!("above {limit:.4}"));
    let mut scores =
        Table::new("Scores", &[("", ""), ("samples", ""), ("mean score", "int8"), (&beyond, "int8")]);
    let false_alarms = anomaly.threshold.map(|_| FALSE_ALARMS);
    let rows = [(anomaly.normal, false_alarms), (anomaly.anomalous, anomaly.detected)];
    for (class, (mean, beyond)) in validation.classes.iter().zip(rows) {
        scores.row([Cell::name(&class.name), Cell::count(class.support), number(mean), share(beyond)]);
    }
    let body = format!(
        "{}<p class=\"note\">A sample’s score is the mean squared error between the input as given and the output.</p>\n\
         <div class=\"row\">\n{}{}</div>\n{}<h3>Scores</h3>\n{}",
        origin(validation),
        areas.html(),
        closeness.html(),
        limits(validation),
        scores.html()
    );
    super::section("Anomalies", &body)
}

/// The section of a regression.
fn measured(validation: &validate::Report, quantities: &[Quantity]) -> String {
    let number = |value: Option<f64>| Cell::number(value, |value| format!("{value:.4}"));
    let lost = |loss: Option<f64>| Cell::number(loss, |loss| format!("{:+.4}", render::four_decimals(loss)));
    let mut scores = Table::new("Variance explained", &NETWORKS);
    let networks = [validation.teacher, validation.float, Some(validation.int8)];
    let cells = networks.map(|score| number(score.and_then(|score| score.r2)));
    scores.row([Cell::text("R²")].into_iter().chain(cells));
    let mut closeness = Table::new("Closeness", &[("", ""), ("", "")]);
    for (name, cell) in [
        ("R² lost in distillation (teacher to float)", lost(validation.loss.distillation)),
        ("R² lost in quantization (float to int8)", lost(validation.loss.quantization)),
        (
            "SQNR of int8’s output",
            Cell::number(validation.logits_sqnr_db, |db| format!("{} dB", decibels(Some(db)))),
        ),
    ] {
        closeness.row([Cell::text(name), cell]);
    }
    let columns = [
        ("quantity", ""),
        ("teacher", "RMSE"),
        ("float", "RMSE"),
        ("int8", "RMSE"),
        ("int8", "mean absolute error"),
        ("int8", "R²"),
    ];
    let mut errors = Table::new("Errors", &columns);
    for Quantity { name, teacher, float, int8 } in quantities {
        let rmse = |of: &Option<Deviation>| number(of.map(|deviation| deviation.rmse));
        let (mae, r2) = (int8.map(|deviation| deviation.mae), int8.and_then(|deviation| deviation.r2));
        errors.row([Cell::name(name), rmse(teacher), rmse(float), rmse(int8), number(mae), number(r2)]);
    }
    let body = format!(
        "{}<div class=\"row\">\n{}{}</div>\n{}<h3>Errors, each in its quantity’s unit</h3>\n{}",
        origin(validation),
        scores.html(),
        closeness.html(),
        limits(validation),
        errors.html()
    );
    super::section("Quantities", &body)
}

/// The section of a classification.
fn classified(validation: &validate::Report) -> String {
    let mut body = origin(validation);
    let mut scores = Table::new("Accuracy", &NETWORKS);
    let networks = [validation.teacher, validation.float, Some(validation.int8)];
    let mut row = |name: &str, pick: fn(Score) -> Option<f64>| {
        let cells = networks.map(|score| Cell::number(score.and_then(pick), |share| percent(Some(share))));
        scores.row([Cell::text(name)].into_iter().chain(cells));
    };
    row("accuracy", |score| score.accuracy);
    row("macro-F1", |score| score.macro_f1);
    body += "<div class=\"row\">\n";
    body += &scores.html();

    let mut closeness = Table::new("Closeness", &[("", ""), ("", "")]);
    let points = |loss: Option<f64>| Cell::number(loss, |loss| format!("{:+.2} points", 100.0 * loss + 0.0));
    let share = |share: Option<f64>| Cell::number(share, |share| percent(Some(share)));
    let (loss, agreement) = (validation.loss, validation.agreement);
    let rows = [
        ("lost in distillation (teacher to float)", points(loss.distillation)),
        ("lost in quantization (float to int8)", points(loss.quantization)),
        ("same class, float and int8", share(agreement.float_int8)),
        ("same class, teacher and int8", share(agreement.teacher_int8)),
        ("same class, teacher and float", share(agreement.teacher_float)),
        ("KL(teacher ‖ int8)", Cell::number(validation.kl, |kl| format!("{kl:.4} nats"))),
        (
            "SQNR of int8’s logits",
            Cell::number(validation.logits_sqnr_db, |db| format!("{} dB", decibels(Some(db)))),
        ),
        ("mean confidence of int8", share(validation.confidence.map(|sure| sure.mean))),
        ("expected calibration error of int8", share(validation.confidence.and_then(|sure| sure.error))),
    ];
    for (name, cell) in rows {
        closeness.row([Cell::text(name), cell]);
    }
    body += &closeness.html();
    body += "</div>\n";
    body += &limits(validation);
    body += &classes(validation);
    if let Some(counts) = &validation.confusion {
        body += "<h3>Confusion of the int8 student</h3>\n";
        body += &confusion(validation, counts);
    }
    super::section("Accuracy", &body)
}

/// The section; empty without test data.
pub fn section(report: &Report) -> String {
    let Some(validation) = &report.validation else { return String::new() };
    match (&validation.anomaly, &validation.quantities) {
        (Some(anomaly), _) => scored(validation, anomaly),
        (_, Some(quantities)) => measured(validation, quantities),
        _ => classified(validation),
    }
}

fn limits(validation: &validate::Report) -> String {
    if validation.verdicts.is_empty() {
        return String::new();
    }
    let mut table = Table::new("Limits", &[("limit", ""), ("measured", ""), ("allowed", ""), ("", "")]);
    for verdict in &validation.verdicts {
        table.row([
            Cell::text(&verdict.name),
            Cell::number(verdict.value, |value| format!("{value:.4}")),
            Cell::number(Some(verdict.limit), |limit| limit.to_string()),
            Cell::text(if verdict.passed { "kept" } else { "missed" }),
        ]);
    }
    format!("<h3>Limits of the model</h3>\n{}", table.html())
}

fn classes(validation: &validate::Report) -> String {
    if validation.classes.iter().all(|class| class.int8.is_none()) {
        return String::new();
    }
    let columns = [
        ("class", ""),
        ("samples", ""),
        ("teacher", "recognized"),
        ("float", "recognized"),
        ("int8", "recognized"),
        ("int8 precision", ""),
        ("int8 F1", ""),
    ];
    let mut table = Table::new("Classes", &columns);
    for class in &validation.classes {
        let share = |share: Option<f64>| Cell::number(share, |share| percent(Some(share)));
        table.row([
            Cell::name(&class.name),
            Cell::count(class.support),
            share(class.teacher),
            share(class.float),
            share(class.int8),
            share(class.precision),
            share(class.f1),
        ]);
    }
    format!("<h3>Classes</h3>\n{}", table.html())
}

fn confusion(validation: &validate::Report, counts: &[Vec<u64>]) -> String {
    let name = |class: usize| validation.classes.get(class).map_or("?", |class| class.name.as_str());
    if counts.len() > MATRIX {
        let mut found: Vec<(u64, usize, usize)> = counts
            .iter()
            .enumerate()
            .flat_map(|(label, row)| row.iter().enumerate().map(move |(class, &count)| (count, label, class)))
            .filter(|&(count, label, class)| count > 0 && label != class)
            .collect();
        found.sort_by_key(|&(count, label, class)| (std::cmp::Reverse(count), label, class));
        let columns = [("label", ""), ("taken for", ""), ("samples", "")];
        let mut table = Table::new("Commonest confusions", &columns);
        for &(count, label, class) in found.iter().take(LISTED) {
            table.row([Cell::name(name(label)), Cell::name(name(class)), Cell::count(Some(count))]);
        }
        return table.html();
    }
    let mut html = String::from(
        "<p class=\"note\">Rows are labels, columns what the student chose.</p>\n<div class=\"scroll\" tabindex=\"0\" \
         role=\"region\" aria-label=\"Confusion matrix\"><table class=\"confusion\"><thead><tr><th></th>",
    );
    for class in 0..counts.len() {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(name(class)));
    }
    html += "</tr></thead>\n<tbody>\n";
    for (label, row) in counts.iter().enumerate() {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(name(label)));
        let samples = row.iter().sum::<u64>().max(1);
        for (class, &count) in row.iter().enumerate() {
            let kind = match (count, label == class) {
                (0, _) => "none",
                (_, true) => "right",
                _ => "wrong",
            };
            let _ = write!(
                html,
                "<td class=\"{kind}\" style=\"--s:{:.3}\">{count}</td>",
                count as f64 / samples as f64
            );
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n"
}
