//! A report as text for the terminal: one screen, and the table of all layers.

use std::fmt::Write as _;
use std::path::PathBuf;

use still8_validation::anomaly::FALSE_ALARMS;
use still8_validation::recipe::Task;
use still8_validation::regression::Quantity;
use still8_validation::{render, validate};

use super::{Alone, Layer, Report, Sensitivity};
use crate::console::{percent, table};

/// Layers that the summary names.
const WORST: usize = 5;
/// Columns that text is cut to fit in.
const COLUMNS: usize = 100;
/// Longest name of a layer in a table.
const NAME: usize = 40;

/// At most 24 lines of 100 columns (paths may be longer): sizes, accuracy, the worst layers, and where `reports` are.
pub fn summary(report: &Report, reports: &[PathBuf]) -> String {
    let mut text = String::new();
    let mut line = |label: &str, what: String| {
        let what: Vec<char> = what.chars().collect();
        let fits = what.len() + 11 <= COLUMNS;
        let what: String =
            if fits { what.iter().collect() } else { what[..COLUMNS - 12].iter().chain(&['…']).collect() };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<11}{what}");
    };
    let calibrated = format!(
        "{}: {} layers, calibrated by {} on {} samples",
        report.name,
        report.layers.len(),
        report.calibration,
        report.calibration_samples
    );
    line("model", calibrated);
    line(
        "plan",
        format!(
            "{} bytes, {} order; {} parameters, {} MACs",
            thousands(report.flash_bytes as u64),
            report.family,
            thousands(report.parameters as u64),
            thousands(report.macs)
        ),
    );
    let peak = report.arena_peak_layer.as_deref().unwrap_or("-");
    let bytes = [report.arena_bytes, report.arena_lower_bound].map(|bytes| thousands(bytes as u64));
    line("arena", format!("{} bytes (lower bound {}), peak at {}", bytes[0], bytes[1], short(peak, NAME)));
    if let Some(validation) = &report.validation {
        let label = match validation.task {
            Task::Classification => "accuracy",
            Task::Anomaly => "anomalies",
            Task::Regression => "quantities",
        };
        for (label, what) in [label, ""].into_iter().zip(accuracy(validation)) {
            line(label, what);
        }
    }
    line("output", format!("SQNR {} {}", decibels(report.output_sqnr_db()), report.output_note()));
    if !report.recovery.is_empty() {
        let steps = report.recovery.iter().map(|step| {
            let undone = if step.kept { "" } else { " undone" };
            format!("{} {} to {} dB{undone}", step.step, decibels(step.before_db), decibels(step.after_db))
        });
        line("recovery", steps.collect::<Vec<_>>().join(", "));
    }
    if !report.warnings.is_empty() {
        line("warnings", report.warnings.len().to_string());
    }
    text += &worst(report);
    let _ = write!(text, "wrote      {}", report.plan.display());
    for path in report.qdq.iter().chain(reports) {
        let _ = write!(text, "\n           {}", path.display());
    }
    text
}

/// Accuracies (AUC) with what was lost on the way, and how close the networks are.
fn accuracy(report: &validate::Report) -> [String; 2] {
    let of = render::measure;
    let networks = |lost: String| {
        format!(
            "teacher {}, float {}, int8 {}{lost} on {} samples",
            of(report.teacher),
            of(report.float),
            of(Some(report.int8)),
            thousands(report.samples as u64)
        )
    };
    let number = |value: Option<f64>, digits| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let lost = || {
        let lost = report.loss.quantization.map(|lost| format!(" ({:+.4})", render::four_decimals(-lost)));
        lost.unwrap_or_default()
    };
    if let Some(quantities) = &report.quantities {
        let error = |of: &Quantity| format!("{} {}", of.name, number(of.int8.map(|int8| int8.rmse), 4));
        let errors: Vec<String> = quantities.iter().map(error).collect();
        return [networks(lost()), format!("int8's root mean squared errors: {}", errors.join("; "))];
    }
    if let Some(anomaly) = &report.anomaly {
        return [
            networks(lost()),
            format!(
                "score above {}: {} of the anomalous, {} of the normal samples",
                number(anomaly.threshold, 4),
                percent(anomaly.detected),
                percent(anomaly.threshold.map(|_| FALSE_ALARMS))
            ),
        ];
    }
    let lost = report
        .loss
        .quantization
        .map_or_else(String::new, |lost| format!(" ({:+.2} points)", -100.0 * lost + 0.0));
    let kl = number(report.kl, 4);
    [
        networks(lost),
        format!(
            "same class as float {}, as the teacher {}, KL from the teacher {kl} nats",
            percent(report.agreement.float_int8),
            percent(report.agreement.teacher_int8)
        ),
    ]
}

/// The worst layers, and what to write to mend the first of them.
fn worst(report: &Report) -> String {
    let worst: Vec<&Layer> =
        report.worst().into_iter().take(WORST).map(|index| &report.layers[index]).collect();
    let Some(first) = worst.first() else { return String::new() };
    let mut rows = table(&["worst layers", "operator", "alone dB", "so far dB", "clipped"]);
    for layer in &worst {
        rows.add_row([
            short(&layer.name, NAME),
            layer.op.clone(),
            decibels(layer.sqnr_isolated_db),
            decibels(layer.sqnr_db),
            clipped(layer),
        ]);
    }
    let mut text = format!("\n{rows}\n");
    if !report.sensitivity.is_empty() {
        text += &precisions(report);
    } else if let Some(lines) = &first.widen {
        let _ = writeln!(text, "to give the first 16 bits, add to model.toml:");
        lines.lines().for_each(|line| {
            let _ = writeln!(text, "    {line}");
        });
    }
    text + "\n"
}

/// What was found of precisions: the layers that lose most with int4 weights, and what to write to keep the choice.
fn precisions(report: &Report) -> String {
    let mut rows = table(&[
        "if this layer alone",
        "int4: points",
        "dB",
        "plan bytes",
        "int16: points",
        "dB",
        "arena bytes",
    ]);
    let mut sorted: Vec<_> = report.sensitivity.iter().collect();
    let narrow_db = |row: &Sensitivity| row.narrow.and_then(|alone| alone.sqnr_db).unwrap_or(f64::INFINITY);
    sorted.sort_by(|a, b| narrow_db(a).total_cmp(&narrow_db(b)));
    for row in sorted.into_iter().take(WORST) {
        let cells = |alone: Option<Alone>, bytes: fn(&Alone) -> usize| {
            let points = alone.map_or_else(|| "-".to_owned(), |alone| format!("{:.2}", alone.drop));
            let count = alone.map_or_else(|| "-".to_owned(), |alone| thousands(bytes(&alone) as u64));
            [points, decibels(alone.and_then(|alone| alone.sqnr_db)), count]
        };
        let narrow = cells(row.narrow, |alone| alone.plan_bytes);
        let wide = cells(row.wide, |alone| alone.arena_bytes);
        rows.add_row([vec![short(&row.layer, NAME)], narrow.to_vec(), wide.to_vec()].concat());
    }
    let mut text = format!("{rows}\n");
    let pins: Vec<&str> = report.configuration.lines().filter(|line| line.contains(" = ")).collect();
    let pins: Vec<_> = pins.windows(2).filter(|pair| pair[1].starts_with("bits")).collect();
    if !pins.is_empty() {
        text += "to keep these precisions, write into model.toml's [quantize]:\n    layer = [";
        for (i, pair) in pins.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            let _ = write!(text, "{separator}{{ {}, {} }}", pair[0], pair[1]);
        }
        text += "]\n";
    }
    text
}

/// Every layer, and what was folded and fused.
pub fn layers(report: &Report) -> String {
    let mut rows = table(&[
        "layer",
        "operator",
        "output n,h,w,c",
        "MACs",
        "weights",
        "flash",
        "alone dB",
        "so far dB",
        "clipped",
    ]);
    for layer in &report.layers {
        rows.add_row([
            layer.name.clone(),
            layer.op.clone(),
            layer.output_shape.map(|dim| dim.to_string()).join(","),
            layer.macs.to_string(),
            layer.weights_bytes.to_string(),
            layer.flash.total().to_string(),
            decibels(layer.sqnr_isolated_db),
            decibels(layer.sqnr_db),
            clipped(layer),
        ]);
    }
    let mut text = format!("{rows}\n");
    for folded in &report.folded {
        let _ = writeln!(text, "{folded}");
    }
    for tried in &report.calibration_tried {
        let db = decibels(tried.sqnr_db);
        let _ = writeln!(text, "calibrated by {}: {db} dB on held-out samples", tried.method);
    }
    text
}

fn clipped(layer: &Layer) -> String {
    layer.distribution.as_ref().map_or_else(|| "-".to_owned(), |seen| percent(Some(seen.clipped)))
}

/// One decimal, or a dash.
pub(super) fn decibels(db: Option<f64>) -> String {
    db.map_or_else(|| "-".to_owned(), |db| format!("{db:.1}"))
}

/// A number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A name of at most `most` characters: the middle of a longer one is left out. What would steer a terminal is shown as a
/// replacement character.
pub(super) fn short(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if letters.len() <= most {
        return letters.into_iter().collect();
    }
    let front = (most - 1) / 2;
    let back = most - 1 - front;
    letters[..front].iter().chain(&['…']).chain(&letters[letters.len() - back..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(short("abcdefghij", 10), "abcdefghij");
        assert_eq!(short("abcdefghijk", 7), "abc…ijk");
        assert_eq!([decibels(None), decibels(Some(12.34))], ["-", "12.3"]);
    }
}
