//! The model card: where a plan came from, how close it is to its teacher, and what its limits are.
//!
//! [`gather`] makes a card from the recipe, the ONNX file's metadata and what was measured; [`file`](mod@file) keeps it
//! behind the plan in the plan's file; [`document`] arranges it under headings, which [`text`] and [`html`] write.
//!
//! Everything is optional: cards of other versions, and the lineage that plans carry inside, are read as well. What is not
//! known is `null` in JSON and "not stated" elsewhere.

pub mod document;
pub mod file;
pub mod gather;
mod html;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use still8_validation::recipe::Statements;
use still8_validation::{Failure, Result, files};

pub use html::html;
pub use text::text;

/// Version of the fields.
pub const SCHEMA: u32 = 1;

/// A model card.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// [`SCHEMA`]; 0 for the lineage inside a plan.
    pub schema: u32,
    /// The model's name.
    pub name: Option<String>,
    /// What the model does: `classification`.
    pub task: Option<String>,
    /// One sentence on what goes in and what comes out.
    pub description: Option<String>,
    /// Names of the classes, in the order of the output's elements.
    pub classes: Vec<String>,
    /// SHA-256 of `model.toml`.
    pub recipe_sha256: Option<String>,
    /// What people say of it.
    pub card: Statements,
    /// The network's input.
    pub input: Option<Input>,
    /// The network's output, by name.
    pub output: Option<String>,
    /// The student.
    pub student: Option<Network>,
    /// The teacher.
    pub teacher: Option<Network>,
    /// Data sets by their keys in `model.toml`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Data>,
    /// Sources of data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// What the quantized ONNX file says of its training: its metadata with keys `still8.…`, without that prefix.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub training: BTreeMap<String, String>,
    /// What was measured when the plan was made.
    pub evaluation: Option<Evaluation>,
    /// The plan.
    pub plan: Option<Plan>,
}

/// The network's input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Input {
    pub name: Option<String>,
    /// In the ONNX file's layout.
    pub shape: Vec<u64>,
    /// Smallest and largest value.
    pub range: Option<[f64; 2]>,
    /// How a raw sample becomes an input, in words.
    pub preprocessing: Option<String>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Network {
    pub sha256: Option<String>,
    /// Of the same network in QDQ form, where that is what was quantized.
    pub quantized_sha256: Option<String>,
    pub licence: Option<String>,
    /// Who trained it, on what.
    pub origin: Option<String>,
    pub parameters: Option<u64>,
    pub macs: Option<u64>,
    /// Who permits to distil from it.
    pub permits_distillation: Option<String>,
}

/// A data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Data {
    pub sha256: Option<String>,
    pub samples: Option<u64>,
    /// Which samples these are, in words.
    pub split: Option<String>,
}

/// A source of data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Source {
    pub name: Option<String>,
    pub package: Option<String>,
    pub licence: Option<String>,
    pub citation: Option<String>,
    pub date: Option<String>,
    pub url: Option<String>,
}

/// What was measured on test data.
///
/// Figures are named numbers, so that every task has those that suit it; [`gather::FIGURES`] says what the names mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// The data set's key in [`Card::data`].
    pub data: Option<String>,
    /// Number of samples.
    pub samples: u64,
    /// Figures over all samples.
    pub figures: BTreeMap<String, f64>,
    /// Figures by class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class: Vec<Class>,
}

/// Figures of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its samples.
    pub samples: u64,
    /// Share of its samples that a network recognizes, by network; and the int8 student's precision.
    pub figures: BTreeMap<String, f64>,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Of the plan alone, as it is flashed, without its card.
    pub sha256: Option<String>,
    /// The checksum in its header, which a device logs at boot.
    pub crc32: Option<String>,
    /// Of the ONNX file that it was made from.
    pub source_sha256: Option<String>,
    /// Kernel family.
    pub family: Option<String>,
    /// Format of the plan.
    pub format_version: Option<u16>,
    /// Bytes that are flashed.
    pub flash_bytes: Option<u64>,
    /// Bytes of the arena.
    pub arena_bytes: Option<u64>,
    /// Weights and biases, as the compiler left them.
    pub parameters: Option<u64>,
    /// Multiply-accumulates of one inference, as the compiler left them.
    pub macs: Option<u64>,
    /// How activations' ranges were chosen.
    pub calibration: Option<String>,
    /// Samples that they were chosen on.
    pub calibration_samples: Option<u64>,
    /// Version of still8 that quantized.
    pub still8: Option<String>,
}

impl Card {
    /// The card as TOML.
    ///
    /// # Errors
    /// [`Failure::Data`] where it holds what TOML cannot say.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Failure::Data(format!("the model card: {error}")))
    }

    /// A card or a lineage in TOML. Keys that this version does not know are skipped.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The card as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
            + "\n"
    }
}

/// What a file's extension says about the form of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.html`, `.htm`.
    Html,
    /// `.json`.
    Json,
    /// `.md`.
    Markdown,
}

impl Form {
    /// The form of `path`.
    ///
    /// # Errors
    /// Names the extensions that are known.
    pub fn of(path: &Path) -> std::result::Result<Self, String> {
        match path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase().as_str() {
            "html" | "htm" => Ok(Self::Html),
            "json" => Ok(Self::Json),
            "md" => Ok(Self::Markdown),
            _ => Err(format!("`{}`: a card is a .html, .json or .md file", path.display())),
        }
    }
}

/// Writes the card in the form that the path's extension names, in one step.
///
/// # Errors
/// [`Failure::Usage`] for another extension, [`Failure::Data`] where it cannot be written.
pub fn write(card: &Card, path: &Path) -> Result<()> {
    let written = match Form::of(path).map_err(Failure::Usage)? {
        Form::Html => html(&document::document(card)),
        Form::Json => card.json(),
        Form::Markdown => text(&document::document(card)),
    };
    files::write_atomically(path, |file| file.write_all(written.as_bytes()))
}
