//! What a run on an emulated board brought.

use std::collections::HashMap;

use super::Count;

/// Outputs and measurements of one run.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// The board.
    pub board: String,
    /// The kernel variant that ran.
    pub kernels: String,
    /// Outputs in device layout, all outputs of a sample in order, sample after sample.
    pub outputs: Vec<i8>,
    /// Samples that ran.
    pub samples: usize,
    /// Mean instructions of one [`still8::Session::run`]; `None` where they are not counted.
    pub instructions_per_sample: Option<f64>,
    /// Mean estimated cycles of one [`still8::Session::run`]; `None` unless counted, and for a core without timing.
    pub cycles_per_sample: Option<f64>,
    /// Mean of every op; empty unless counted.
    pub ops: Vec<Count>,
    /// Stack that [`still8::Session::run`] used, by painting.
    pub stack_bytes: Option<u64>,
    /// The runner's `.data` and `.bss`.
    pub static_bytes: Option<u64>,
    /// `passed`, `absent`, or what failed.
    pub self_test: String,
    /// Log lines.
    pub log: Vec<String>,
}

/// The runner's `key=value` lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(HashMap<String, String>);

impl Lines {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        Self(lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}
