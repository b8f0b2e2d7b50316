//! `cargo xtask compare onnx`: the operator cases of the `onnx` package, in float and in int8.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use still8_validation::{Failure, Result};

use crate::conformance::{self, Outcome, Tried};
use crate::console::{Console, table};
use crate::python::{ONNX_CASES, Python};
use crate::quantize::Progress;

/// Options of the command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Folder with the cases [default: those of the `onnx` package, which is installed under target/still8/python].
    #[arg(long, value_name = "FOLDER")]
    pub cases: Option<PathBuf>,
}

/// The command's report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub cases: Vec<Tried>,
    pub passed: bool,
}

/// Tries every case.
///
/// # Errors
/// [`Failure::Missing`] without Python or the package, [`Failure::Data`] for damaged cases.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let folder = match &options.cases {
        Some(folder) => folder.clone(),
        None => Python::with(ONNX_CASES)?.package("onnx/backend/test/data/node")?,
    };
    let scratch = tempfile::tempdir().map_err(|error| Failure::data(&std::env::temp_dir(), error))?;
    let bar = console.progress("operator cases");
    let cases = conformance::run(&folder, scratch.path(), |done, all| {
        if done == 0 {
            bar.start(all);
        }
        bar.step();
    })?;
    drop(bar);
    console.say(render(&cases));
    let passed = cases.iter().all(|case| matches!(case.outcome, Outcome::Passed | Outcome::Refused(_)));
    Ok(Report { schema: 1, cases, passed })
}

/// # Errors
/// [`Failure::Missed`] where a result is wrong.
pub fn missed(report: &Report) -> Result<()> {
    let wrong =
        report.cases.iter().filter(|case| !matches!(case.outcome, Outcome::Passed | Outcome::Refused(_)));
    match wrong.count() {
        0 => Ok(()),
        wrong => Err(Failure::Missed(format!("{wrong} operator cases give a wrong result"))),
    }
}

/// Cases by operator, and all that did not pass.
fn render(cases: &[Tried]) -> String {
    let mut operators: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut total = [0; 4];
    for case in cases {
        let column = match case.outcome {
            Outcome::Passed => 1,
            Outcome::Refused(_) => 2,
            Outcome::Wrong(_) | Outcome::Crashed(_) => 3,
        };
        for column in [0, column] {
            total[column] += 1;
            for operator in &case.operators {
                operators.entry(operator).or_default()[column] += 1;
            }
        }
    }
    let mut rows = table(&["operator", "cases tried", "passed", "refused", "wrong"]);
    for (operator, counts) in operators.into_iter().chain([("all cases", total)]) {
        rows.add_row([vec![operator.to_owned()], counts.map(|count| count.to_string()).to_vec()].concat());
    }
    let mut text = rows.to_string();
    for case in cases {
        let line = match &case.outcome {
            Outcome::Passed => continue,
            Outcome::Refused(why) => format!("\nrefused {}: {why}", case.case),
            Outcome::Wrong(why) => format!("\nWRONG   {}: {why}", case.case),
            Outcome::Crashed(why) => format!("\nCRASHED {}: {why}", case.case),
        };
        text.push_str(&line);
    }
    text
}
