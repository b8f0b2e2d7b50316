//! What a command prints: messages and progress for people, or one JSON object for programs.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::quantize::Progress;

/// Where the output of a command goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console {
    /// One JSON object on standard output, nothing else there.
    pub json: bool,
    /// No messages but errors.
    pub quiet: bool,
}

impl Console {
    /// Prints text for people: on standard output, or on standard error where that is for JSON.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.quiet {
            return;
        }
        let mut out: Box<dyn Write> =
            if self.json { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        // A closed pipe is the reader's choice, not a failure.
        let _ = writeln!(out, "{}", text.as_ref());
    }

    /// Prints a remark on standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("note: {}", text.as_ref());
        }
    }

    /// Prints a warning on standard error.
    pub fn warn(&self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("warning: {}", text.as_ref());
        }
    }

    /// Prints the JSON object where it was asked for.
    pub fn finish(&self, report: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(report)
                .unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// A progress bar on a terminal; elsewhere one plain line.
    pub fn progress(&self, what: &str) -> Bar {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if self.quiet || !terminal { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        if !self.quiet && !terminal {
            eprintln!("{what} ...");
        }
        let bar = ProgressBar::with_draw_target(None, target).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        Bar(bar)
    }
}

/// A progress bar that goes away when it is done.
pub struct Bar(ProgressBar);

impl Progress for Bar {
    fn start(&self, steps: usize) {
        self.0.set_length(steps as u64);
    }

    fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// An empty table with a header.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(header);
    table
}

/// A fraction in percent, or a dash.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "-".to_owned(), |fraction| format!("{:.2} %", 100.0 * fraction))
}
