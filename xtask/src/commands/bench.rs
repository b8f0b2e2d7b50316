//! `cargo xtask bench`: instructions, code, plan, arena and stack of a model on emulated cores.

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8::format::Family;
use still8_validation::host::HostRunner;
use still8_validation::{Failure, Result};

use crate::boards::{self, Board, Core, root};
use crate::commands::operator_name;
use crate::commands::quantize::quantize_model;
use crate::console::{Console, table};
use crate::emit::emit;
use crate::emulator::{self, Image};
use crate::network::Network;
use crate::quantize::Quantized;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Model folders or plans [default: every folder in models/].
    pub models: Vec<PathBuf>,
    /// Cores [default: cortex-m4].
    #[arg(long, value_name = "CORE")]
    pub on: Vec<Core>,
    /// Also measure the portable kernels on the same core.
    #[arg(long)]
    pub portable: bool,
}

/// The command's report; field names are those of the command contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub results: Vec<Measurement>,
}

/// A model on a core.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Measurement {
    pub model: String,
    pub on: &'static str,
    pub family: &'static str,
    pub kernels: String,
    pub board: String,
    /// Inside `Session::run`, one inference; `null` where the emulator does not count.
    pub instructions: Option<f64>,
    /// Not estimated yet.
    pub cycles: Option<f64>,
    pub macs: u64,
    /// Flash of an application with just this plan and no log, without the plan: start-up, the plan's check, the
    /// self-test, kernels, tables. `null` on Linux and where it does not fit.
    pub code_bytes: Option<u64>,
    /// The same with log lines through the debugger.
    pub code_log_bytes: Option<u64>,
    pub plan_bytes: usize,
    pub arena_bytes: usize,
    /// The runner's statics.
    pub static_bytes: Option<u64>,
    /// Stack high-water mark.
    pub stack_bytes: Option<u64>,
    pub ops: Vec<Op>,
}

/// An op of a measurement.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Op {
    pub index: usize,
    pub name: String,
    pub op: &'static str,
    pub instructions: Option<u64>,
    pub cycles: Option<u64>,
    pub macs: u64,
}

/// Measures every model on every core.
///
/// # Errors
/// [`Failure::Missing`] without emulator or compiler; those of quantize.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let models = if options.models.is_empty() { every_model()? } else { options.models.clone() };
    let cores = if options.on.is_empty() { vec![Core::CortexM4] } else { options.on.clone() };
    let mut results = Vec::new();
    for model in &models {
        let network = load(model, console)?;
        for &core in &cores {
            results.push(measure(&network, core, false)?);
            if options.portable && core.family() != Family::Portable {
                results.push(measure(&network, core, true)?);
            }
        }
    }
    let report = Report { schema: 1, results };
    console.say(render(&report));
    Ok(report)
}

/// The folders in `models/` that hold a recipe.
///
/// # Errors
/// [`Failure::Data`] where the folder cannot be read.
pub fn every_model() -> Result<Vec<PathBuf>> {
    let folder = root().join("models");
    let entries = std::fs::read_dir(&folder).map_err(|error| Failure::data(&folder, error))?;
    let mut models: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("model.toml").exists()).collect();
    models.sort();
    Ok(models)
}

fn load(model: &Path, console: Console) -> Result<Network> {
    if model.is_dir() {
        let Quantized { network, .. } = quantize_model(model, console)?;
        return Ok(network);
    }
    Ok(crate::emit::decode(&HostRunner::open(model)?.plan()))
}

fn measure(network: &Network, core: Core, portable_kernels: bool) -> Result<Measurement> {
    let input = network.golden_input().ok_or_else(|| {
        Failure::Data(format!("`{}` has no golden input to run; quantize it again", network.name))
    })?;
    let emulated = boards::emulated(core)?.into_iter();
    let boards: Vec<Board> = emulated.map(|board| Board { portable_kernels, ..board }).collect();
    let family = if portable_kernels { Family::Portable } else { core.family() };
    let emitted = emit(network, family)?;
    let file = emulator::temporary_plan(&emitted.bytes)?;
    let report = emulator::run_on_first(&boards, file.path(), &input, true)?;
    let board = boards.iter().find(|board| board.name == report.board && board.memory.is_some());
    let code = |image| match board.map(|board| emulator::build(board, image)).transpose() {
        Ok(Some(elf)) => Ok(Some(emulator::size(&elf)?.code_bytes(emitted.bytes.len() as u64))),
        Ok(None) | Err(Failure::Missed(_)) => Ok(None),
        Err(other) => Err(other),
    };
    let code_bytes = code(Image::SilentApp(file.path()))?;
    let code_log_bytes = code(Image::App(file.path()))?;
    let op = |(index, op): (usize, &crate::network::Op)| Op {
        index,
        name: op.name.clone(),
        op: operator_name(op.kind.code()),
        instructions: report.ops.get(index).copied(),
        cycles: None,
        macs: network.macs(op),
    };
    let ops: Vec<Op> = network.ops.iter().enumerate().map(op).collect();
    Ok(Measurement {
        model: network.name.clone(),
        on: core.name(),
        family: family.name(),
        kernels: report.kernels,
        board: report.board,
        instructions: report.instructions_per_sample,
        cycles: None,
        macs: ops.iter().map(|op| op.macs).sum(),
        code_bytes,
        code_log_bytes,
        plan_bytes: emitted.bytes.len(),
        arena_bytes: emitted.memory.arena_bytes,
        static_bytes: report.static_bytes,
        stack_bytes: report.stack_bytes,
        ops,
    })
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    for result in &report.results {
        let mut ops = table(&["layer", "operator", "MACs", "instructions", "per MAC", "share"]);
        let total = result.instructions.unwrap_or(f64::NAN);
        for op in &result.ops {
            let instructions = op.instructions.map(|n| n as f64);
            let cell = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"))
            };
            ops.add_row([
                op.name.clone(),
                op.op.to_owned(),
                op.macs.to_string(),
                cell(instructions, 0),
                cell(instructions.filter(|_| op.macs > 0).map(|n| n / op.macs as f64), 2),
                instructions
                    .filter(|_| total > 0.0)
                    .map_or_else(|| "-".into(), |n| format!("{:.1} %", 100.0 * n / total)),
            ]);
        }
        text += &format!(
            "{} on {} ({} kernels, {})\n{ops}\n",
            result.model, result.on, result.kernels, result.board
        );
    }
    text + &totals(&report.results).to_string()
}

/// One row for each measurement, also for the README.
pub fn totals(results: &[Measurement]) -> comfy_table::Table {
    let mut totals = table(&[
        "model",
        "core",
        "kernels",
        "instructions",
        "per MAC",
        "code",
        "with log",
        "plan",
        "arena",
        "statics",
        "stack",
    ]);
    for result in results {
        let bytes = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        totals.add_row([
            result.model.clone(),
            result.on.to_owned(),
            result.kernels.clone(),
            result.instructions.map_or_else(|| "-".into(), |n| format!("{n:.0}")),
            result.instructions.map_or_else(|| "-".into(), |n| format!("{:.2}", n / result.macs as f64)),
            bytes(result.code_bytes),
            bytes(result.code_log_bytes),
            result.plan_bytes.to_string(),
            result.arena_bytes.to_string(),
            bytes(result.static_bytes),
            bytes(result.stack_bytes),
        ]);
    }
    totals
}
