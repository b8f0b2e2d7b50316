//! `cargo xtask run`: any plan on any input.

use std::path::PathBuf;

use serde::Serialize;
use still8_validation::Result;
use still8_validation::data::{self, Dataset};
use still8_validation::host::HostRunner;
use still8_validation::transfer::Transfer;

use crate::console::Console;
use crate::engine::{self, Place};

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The plan file.
    pub plan: PathBuf,
    /// Samples: .npy for one input (first axis the samples), .npz by input name; float32 or int8.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Int8 outputs: .npy for one output, .npz for several.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Also write dequantized outputs to NAME.float.npy beside --output.
    #[arg(long, requires = "output")]
    pub float: bool,
    /// host, cortex-m0, cortex-m3, cortex-m4, cortex-m7, cortex-m33, cortex-m55 or aarch64.
    #[arg(long, default_value = "host", value_name = "CORE")]
    pub on: Place,
}

/// The command's report; field names are those of the command contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub plan: PathBuf,
    pub on: &'static str,
    pub board: Option<String>,
    pub kernels: String,
    pub samples: usize,
    /// Of the raw output bytes: samples outermost, outputs in the plan's order, source layout.
    pub output_sha256: String,
    /// Mean per sample inside `Session::run`; `null` where it is not counted.
    pub instructions: Option<f64>,
    pub self_test: Option<String>,
    /// Input values outside the representable range.
    pub saturated: usize,
    /// Input values that were NaN and became the zero point.
    pub nan: usize,
    pub output: Option<PathBuf>,
}

/// Runs the plan and writes its outputs.
///
/// # Errors
/// By the exit codes of the command contract; no output is written then.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let runner = HostRunner::open(&options.plan)?;
    let data = Dataset::load(&options.input, &Transfer::new(&runner.plan()).input_specs())?;
    let execution = engine::run(options.on, &runner, &data, console)?;
    if execution.inputs.nan > 0 {
        console.warn(format!(
            "{} input values are NaN; each became its input's zero point",
            execution.inputs.nan
        ));
    }
    if execution.inputs.saturated > 0 {
        console.warn(format!(
            "{} input values lie outside the plan's input range and were saturated",
            execution.inputs.saturated
        ));
    }
    if let Some(output) = &options.output {
        data::save(output, &execution.outputs.quantized)?;
        if options.float {
            data::save(&output.with_extension(float_extension(output)), &execution.outputs.dequantized())?;
        }
    }
    let emulated = execution.report.as_ref();
    let report = Report {
        schema: 1,
        plan: options.plan.clone(),
        on: options.on.name(),
        board: emulated.map(|report| report.board.clone()),
        kernels: emulated.map_or_else(|| "portable".to_owned(), |report| report.kernels.clone()),
        samples: data.samples(),
        output_sha256: execution.outputs.sha256(),
        instructions: emulated.and_then(|report| report.instructions_per_sample),
        self_test: emulated.map(|report| report.self_test.clone()),
        saturated: execution.inputs.saturated,
        nan: execution.inputs.nan,
        output: options.output.clone(),
    };
    console.say(render(&report));
    Ok(report)
}

/// `float.npy` or `float.npz`, as the output itself.
fn float_extension(output: &std::path::Path) -> String {
    let extension = output.extension().map_or_else(|| "npy".to_owned(), |e| e.to_string_lossy().into_owned());
    format!("float.{extension}")
}

fn render(report: &Report) -> String {
    let mut text = format!("{} samples on {} ({} kernels", report.samples, report.on, report.kernels);
    if let Some(board) = &report.board {
        text += &format!(", board {board}");
    }
    text += ")";
    if let Some(instructions) = report.instructions {
        text += &format!(", {instructions:.0} instructions per sample");
    }
    text += &format!("\noutput sha256 {}", report.output_sha256);
    if let Some(output) = &report.output {
        text += &format!("\nwrote {}", output.display());
    }
    text
}
