//! The report as one page that needs nothing else: style, script and pictures are in it, and no address is.
//!
//! Every text from outside goes through [`escape`]. The script only sorts tables; without it the page says the same.

mod accuracy;
mod charts;
mod layers;
mod memory;
pub(super) mod table;

use std::fmt::Write as _;

use still8_validation::recipe::Task;
use still8_validation::render;

use super::Report;
use super::summary::{decibels, thousands};
use table::{Cell, Table};

pub const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");

/// The page.
pub fn html(report: &Report) -> String {
    let title = escape(&report.name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}: quantization report</title>\n\
         <style>\n{STYLE}</style></head>\n<body>\n<header><h1>{title}</h1>\n<p>{}</p></header>\n<main>\n",
        subtitle(report)
    );
    page += &tiles(report);
    page += &warnings(report);
    page += &accuracy::section(report);
    page += &layers::section(report);
    page += &memory::arena(report);
    page += &memory::flash(report);
    page += &choices(report);
    page += &origin(report);
    page + &format!("</main>\n<script>\n{SCRIPT}</script>\n</body></html>\n")
}

/// Text as HTML, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A section with a heading.
fn section(heading: &str, body: &str) -> String {
    format!("<section>\n<h2>{heading}</h2>\n{body}</section>\n")
}

fn bytes(bytes: usize) -> String {
    thousands(bytes as u64)
}

fn subtitle(report: &Report) -> String {
    format!(
        "{} layers, {} weights, calibrated by {} on {} samples",
        report.layers.len(),
        escape(&report.family),
        escape(&report.calibration),
        report.calibration_samples
    )
}

fn tiles(report: &Report) -> String {
    let mut tiles = vec![
        ("plan", bytes(report.flash_bytes), "bytes of flash".to_owned()),
        (
            "arena",
            bytes(report.arena_bytes),
            format!("bytes of RAM, at least {}", bytes(report.arena_lower_bound)),
        ),
        ("multiply-accumulates", thousands(report.macs), "an inference".to_owned()),
        ("parameters", thousands(report.parameters as u64), "weights and biases".to_owned()),
        ("output SQNR", decibels(report.output_sqnr_db()), report.output_note().to_owned()),
    ];
    if let Some(validation) = &report.validation {
        let float = format!("float {}", render::measure(validation.float));
        let label = match validation.task {
            Task::Classification => "int8 accuracy",
            Task::Anomaly => "int8 anomalies",
            Task::Regression => "int8 quantities",
        };
        tiles.insert(0, (label, render::measure(Some(validation.int8)), float));
    }
    let tile = |(label, value, note): (&str, String, String)| {
        format!("<div class=\"tile\"><dt>{label}</dt><dd>{value}<small>{note}</small></dd></div>\n")
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.into_iter().map(tile).collect::<String>())
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: String = items.into_iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<ul>\n{items}</ul>\n")
}

fn warnings(report: &Report) -> String {
    let mut warnings: Vec<String> = report.warnings.iter().map(|warning| escape(warning)).collect();
    warnings.extend(report.missed().err().map(|failure| escape(&failure.to_string())));
    if warnings.is_empty() {
        return String::new();
    }
    format!("<section class=\"warn\">\n<h2>Warnings</h2>\n{}</section>\n", list(warnings))
}

/// Calibration, recovery, sensitivity, and what was folded.
fn choices(report: &Report) -> String {
    let mut body = String::new();
    if !report.calibration_tried.is_empty() {
        let mut table =
            Table::new("Calibration methods", &[("method", ""), ("output SQNR, dB", ""), ("", "")]);
        for tried in &report.calibration_tried {
            let taken = if tried.method == report.calibration { "taken" } else { "" };
            table.row([Cell::text(&tried.method), Cell::db(tried.sqnr_db), Cell::text(taken)]);
        }
        body += "<h3>Calibration</h3>\n<p>Every method on held-out samples; the best was taken.</p>\n";
        body += &table.html();
    }
    if !report.recovery.is_empty() {
        let columns = [("step", ""), ("before, dB", ""), ("after, dB", ""), ("gain, dB", ""), ("", "")];
        let mut table = Table::new("Recovery steps", &columns);
        for step in &report.recovery {
            let gain = step.before_db.zip(step.after_db).map(|(before, after)| after - before);
            let kept = if step.kept { "kept" } else { "undone" };
            table.row([
                Cell::text(&step.step),
                Cell::db(step.before_db),
                Cell::db(step.after_db),
                Cell::number(gain, |gain| format!("{gain:+.2}")),
                Cell::text(kept),
            ]);
        }
        body += "<h3>Recovery</h3>\n<p>Output SQNR on held-out samples. A step that loses is undone.</p>\n";
        body += &table.html();
    }
    body += &sensitivity(report);
    if !report.folded.is_empty() {
        let folded = list(report.folded.iter().map(|folded| escape(folded)));
        let _ = write!(
            body,
            "<h3>Folded and fused</h3>\n<details><summary>{} rewrites of the graph</summary>\n{folded}</details>\n",
            report.folded.len()
        );
    }
    if body.is_empty() { body } else { section("How it was quantized", &body) }
}

fn sensitivity(report: &Report) -> String {
    if report.sensitivity.is_empty() {
        return String::new();
    }
    let columns = [
        ("layer", ""),
        ("int4 weights: points lost", ""),
        ("SQNR, dB", ""),
        ("plan", "bytes"),
        ("int16: points lost", ""),
        ("SQNR, dB", ""),
        ("arena", "bytes"),
    ];
    let mut table = Table::new("Sensitivity of layers", &columns);
    for row in &report.sensitivity {
        let (narrow, wide) = (row.narrow, row.wide);
        let points = |drop: f64| format!("{drop:.2}");
        table.row([
            Cell::name(&row.layer),
            Cell::number(narrow.map(|alone| alone.drop), points),
            Cell::db(narrow.and_then(|alone| alone.sqnr_db)),
            Cell::count(narrow.map(|alone| alone.plan_bytes as u64)),
            Cell::number(wide.map(|alone| alone.drop), points),
            Cell::db(wide.and_then(|alone| alone.sqnr_db)),
            Cell::count(wide.map(|alone| alone.arena_bytes as u64)),
        ]);
    }
    format!(
        "<h3>Sensitivity</h3>\n<p>The whole network, with one layer at another precision.</p>\n{}",
        table.html()
    )
}

/// Inputs, outputs, configuration, hashes.
fn origin(report: &Report) -> String {
    let columns = [("", ""), ("name", ""), ("shape", ""), ("type", ""), ("scale", ""), ("zero point", "")];
    let mut ports = Table::new("Inputs and outputs", &columns);
    let inputs = report.inputs.iter().map(|port| ("input", port));
    for (kind, port) in inputs.chain(report.outputs.iter().map(|port| ("output", port))) {
        let shape: Vec<_> = port.shape.iter().map(usize::to_string).collect();
        ports.row([
            Cell::text(kind),
            Cell::name(&port.name),
            Cell::text(&shape.join(" × ")),
            Cell::text(&port.dtype),
            Cell::number(Some(f64::from(port.scale)), |_| port.scale.to_string()),
            Cell::number(Some(f64::from(port.zero_point)), |_| port.zero_point.to_string()),
        ]);
    }
    let mut hashes = Table::new("Hashes", &[("", ""), ("from", ""), ("SHA-256", "")]);
    let of = &report.hashes;
    let mut hash = |name: &str, from: &str, sha256: &str| {
        hashes.row([Cell::text(name), Cell::name(from), Cell::hash(sha256)]);
    };
    hash("model", "", &of.model);
    hash("calibration data", &of.calibration.origin, &of.calibration.sha256);
    if let Some(test) = &of.test {
        hash("test data", &test.origin, &test.sha256);
    }
    hash("configuration", "", &of.configuration);
    hash("plan", &report.plan.display().to_string(), &of.plan);
    let seed = report.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    let body = format!(
        "{}<h3>Configuration</h3>\n<p>In <code>model.toml</code> these lines make the same plan of the same model and \
         data.</p>\n<pre>{}</pre>\n<h3>Hashes</h3>\n{}<p>still8 {}, plan format {}{seed}.</p>\n",
        ports.html(),
        escape(&report.configuration),
        hashes.html(),
        escape(&report.versions.still8),
        report.versions.plan_format
    );
    section("Where it comes from", &body)
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn no_text_ends_an_element_or_an_attribute() {
        assert_eq!(
            escape("<a b=\"c\" d='e'>&\u{1b}\n"),
            "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\u{fffd}\n"
        );
    }
}
