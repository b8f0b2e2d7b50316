//! The operator cases of the `onnx` package (its backend's node tests): a model of few nodes, inputs and the outputs that
//! belong to them.
//!
//! Every case runs the whole way twice: import and float evaluation, and quantize and int8 run.

mod case;
mod judge;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Serialize;
use still8_validation::{Failure, Result};

use case::Case;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "lowercase")]
pub enum Outcome {
    /// Float and int8 are right.
    Passed,
    /// The importer or the quantizer says why it cannot take it.
    Refused(String),
    /// A result is wrong, or an error is no refusal.
    Wrong(String),
    /// A panic.
    Crashed(String),
}

/// A case that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Name of its folder.
    pub case: String,
    /// The operators of its model, each once.
    pub operators: Vec<String>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Tries all cases in `folder`, by name: those in float32 whose operators are all known to the importer.
///
/// # Errors
/// [`Failure::Data`] where there are none.
pub fn run(folder: &Path, scratch: &Path, step: impl Fn(usize, usize)) -> Result<Vec<Tried>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::data(folder, error))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let mut tried = Vec::new();
    for (done, path) in folders.iter().enumerate() {
        step(done, folders.len());
        let Some(case) = Case::read(path)? else { continue };
        let judged = catch_unwind(AssertUnwindSafe(|| judge::judge(&case, scratch)));
        let outcome = judged.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Outcome::Crashed(text.unwrap_or("a panic").to_owned())
        });
        tried.push(Tried { case: case.name.clone(), operators: case.operators.clone(), outcome });
    }
    if tried.is_empty() {
        return Err(Failure::data(folder, "no operator cases (folders test_*/ with model.onnx)"));
    }
    Ok(tried)
}
