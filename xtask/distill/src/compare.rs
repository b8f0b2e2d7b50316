//! What distilling is worth: the same student on labels alone, distilled, and distilled with the quantization in the loop.

use serde::Serialize;
use still8_validation::Result;
use xtask::console::{Console, percent, table};

use crate::command::{validated, write_student};
use crate::run::{Bench, Teaching};

/// Accuracy, or AUC, of one student.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `labels`, `distilled` or `quantization-aware`.
    pub teaching: &'static str,
    /// Seed.
    pub seed: u64,
    /// In float.
    pub float: Option<f64>,
    /// In int8.
    pub int8: Option<f64>,
}

/// The three ways, for seeds from the recipe's on; measured on the shipped test data. Trainings that were made before are
/// not made again.
///
/// # Errors
/// Those of training and validation.
pub fn compare(bench: &Bench, seeds: u64, console: Console) -> Result<Vec<Row>> {
    let quiet = Console { quiet: true, ..console };
    let mut rows = Vec::new();
    for seed in (0..seeds).map(|i| bench.config.seed + i) {
        for teaching in [Teaching::Labels, Teaching::Distilled] {
            console.say(format!("seed {seed}: {}", teaching.name()));
            let folder = bench.folder(teaching, seed);
            let trained = bench.train(&bench.config.student, teaching, Some(&folder), seed)?;
            let mut measure = |name: &'static str, float, quantized| -> Result<()> {
                let out = folder.join("compare").join(name);
                let (folder, ..) = write_student(bench, (teaching, seed), (float, quantized), &out, false)?;
                let report = validated(&folder, quiet)?;
                let float = report.float.and_then(|score| score.measure());
                rows.push(Row { teaching: name, seed, float, int8: report.int8.measure() });
                Ok(())
            };
            measure(teaching.name(), &trained.before, None)?;
            if teaching == Teaching::Distilled && trained.quantized.is_some() {
                measure("quantization-aware", &trained.float, trained.quantized.as_ref())?;
            }
        }
    }
    console.say(render(&rows));
    Ok(rows)
}

/// Means over seeds, with the smallest and the largest.
pub fn render(rows: &[Row]) -> String {
    let mut text = table(&["taught by", "seeds", "float", "int8"]);
    for teaching in ["labels", "distilled", "quantization-aware"] {
        let of = |value: fn(&Row) -> Option<f64>| -> Vec<f64> {
            rows.iter().filter(|row| row.teaching == teaching).filter_map(value).collect()
        };
        let (float, int8) = (of(|row| row.float), of(|row| row.int8));
        if !int8.is_empty() {
            text.add_row([teaching.to_owned(), int8.len().to_string(), spread(&float), spread(&int8)]);
        }
    }
    text.to_string()
}

fn spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let ends = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    match values {
        [one] => percent(Some(*one)),
        _ => format!("{} ({} to {})", percent(Some(mean)), percent(Some(ends.0)), percent(Some(ends.1))),
    }
}
