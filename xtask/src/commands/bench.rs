//! `cargo xtask bench`: instructions, estimated cycles, code, plan, arena and stack of a model on emulated cores.
//!
//! Everything is counted inside `Session::run` by a plugin of the emulator (`xtask/plugin`). With `--board` the same
//! plan is timed by the board's own counter instead (`device`).

mod compare;
mod device;
mod render;

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8::format::Family;
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, FILE_NAME, Model};
use still8_validation::{Failure, Result};

use crate::boards::{self, Board, Core, root};
use crate::commands::operator_name;
use crate::commands::quantize::quantize_model;
use crate::console::Console;
use crate::emit::{Emitted, emit};
use crate::emulator::{self, Count, Image};
use crate::network::Network;
use crate::quantize::Quantized;
use crate::reference;

pub use compare::{Baseline, Change, Comparison};
pub use render::totals;

/// Options of the command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Model folders, plans, or networks of MLPerf Tiny by name: kws, ic, ad, vww, sww (with random weights, built in
    /// memory; a file or folder of that name wins) [default: every folder in models/].
    pub models: Vec<PathBuf>,
    /// Cores [default: cortex-m4].
    #[arg(long, value_name = "CORE")]
    pub on: Vec<Core>,
    /// Also measure the portable kernels on the same core.
    #[arg(long)]
    pub portable: bool,
    /// Compare with an earlier report (`bench --json`); a total that is more than 1 % worse is exit 1.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Time on this board by its own counter instead, see firmware/boards.toml.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["on", "portable", "against"])]
    pub board: Option<String>,
}

/// The command's report; field names are those of the command contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub results: Vec<Measurement>,
    /// Only with `--against`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
}

/// A model on a core.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Measurement {
    pub model: String,
    pub on: &'static str,
    pub board: String,
    pub family: &'static str,
    pub kernels: String,
    /// What counted: `plugin` (the emulator's); `dwt`, `systick` or `timer` (the board's).
    pub counter: &'static str,
    /// Inside `Session::run`, one inference; `null` on a real board.
    pub instructions: Option<f64>,
    /// Estimated from the core's published timing, `null` where there is none; on a real board measured.
    pub cycles: Option<f64>,
    pub macs: u64,
    /// Flash of an application with just this plan and no log, without the plan: start-up, the plan's check, the
    /// self-test, kernels, tables. `null` on Linux and where it does not fit.
    pub code_bytes: Option<u64>,
    /// Weights alone, a part of the plan.
    pub weights_bytes: usize,
    /// The same with log lines through the debugger.
    pub code_log_bytes: Option<u64>,
    pub plan_bytes: usize,
    pub arena_bytes: usize,
    /// The runner's statics; `null` with `--board`.
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

/// Measures every model on every core, or on the board.
///
/// # Errors
/// [`Failure::Missing`] without emulator, compiler or probe; those of quantize; [`Failure::Data`] for a report to
/// compare with that cannot be read. What the comparison finds is in the report, see [`missed`].
pub fn run(options: &Options, console: Console) -> Result<Report> {
    // Before anything is measured.
    let baseline = options.against.as_deref().map(Baseline::read).transpose()?;
    let models = if options.models.is_empty() { every_model(console)? } else { options.models.clone() };
    let results = match &options.board {
        Some(board) => on_board(&models, &boards::find(board)?, console)?,
        None => on_cores(&models, options, console)?,
    };
    let against = baseline.map(|baseline| baseline.compare(&results));
    let report = Report { schema: 1, results, against };
    console.say(render::render(&report));
    Ok(report)
}

/// The failure that a report with a regression is.
///
/// # Errors
/// [`Failure::Missed`].
pub fn missed(report: &Report) -> Result<()> {
    report.against.as_ref().map_or(Ok(()), Comparison::missed)
}

/// The folders in `models/` that hold a recipe and the data to quantize and judge by; a warning names each other one.
///
/// # Errors
/// [`Failure::Data`] where the folder cannot be read or a recipe is broken.
pub fn every_model(console: Console) -> Result<Vec<PathBuf>> {
    let mut models = Vec::new();
    for folder in model_folders()? {
        let model = Model::open(&folder)?;
        match model.dataset(DataKind::Calibration).and_then(|_| model.dataset(DataKind::Test)) {
            Ok(_) => models.push(folder),
            Err(Failure::Missing(why)) => console.warn(format!("{} is left out: {why}", model.recipe().name)),
            Err(other) => return Err(other),
        }
    }
    Ok(models)
}

/// The folders of all models that ship, by name.
pub(crate) fn model_folders() -> Result<Vec<PathBuf>> {
    let folder = root().join("models");
    let entries = std::fs::read_dir(&folder).map_err(|error| Failure::data(&folder, error))?;
    let mut folders: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join(FILE_NAME).exists()).collect();
    folders.sort();
    Ok(folders)
}

/// The network that an argument of the command names.
fn load(model: &Path, console: Console) -> Result<Network> {
    if let Some(reference) = reference::find(model) {
        return Ok(reference.quantize(&console.progress("calibrating"))?.network);
    }
    if model.is_dir() {
        let Quantized { network, .. } = quantize_model(model, console)?;
        return Ok(network);
    }
    Ok(crate::emit::decode(&HostRunner::open(model)?.plan()))
}

fn on_board(models: &[PathBuf], board: &Board, console: Console) -> Result<Vec<Measurement>> {
    models.iter().map(|model| device::measure(&load(model, console)?, board, console)).collect()
}

fn on_cores(models: &[PathBuf], options: &Options, console: Console) -> Result<Vec<Measurement>> {
    let cores = if options.on.is_empty() { vec![Core::CortexM4] } else { options.on.clone() };
    let mut results = Vec::new();
    for model in models {
        let network = load(model, console)?;
        for &core in &cores {
            for boards in candidates(core)? {
                results.push(measure(&network, &boards, false)?);
                if options.portable && core.family() != Family::Portable {
                    results.push(measure(&network, &boards, true)?);
                }
            }
        }
    }
    Ok(results)
}

/// Lists of boards, of each of which the first that holds a plan measures it: all boards of a microcontroller core in
/// one list; Linux machines differ in the instructions that they have, so that each is measured.
fn candidates(core: Core) -> Result<Vec<Vec<Board>>> {
    let (bare, hosted): (Vec<Board>, Vec<Board>) =
        boards::emulated(core)?.into_iter().partition(|board| board.memory.is_some());
    let bare = if bare.is_empty() { vec![] } else { vec![bare] };
    Ok(bare.into_iter().chain(hosted.into_iter().map(|board| vec![board])).collect())
}

/// The network's golden input, which is what a measurement runs.
fn golden_input(network: &Network) -> Result<Vec<i8>> {
    network.golden_input().ok_or_else(|| {
        Failure::Data(format!("`{}` has no golden input to run; quantize it again", network.name))
    })
}

fn measure(network: &Network, boards: &[Board], portable_kernels: bool) -> Result<Measurement> {
    let input = golden_input(network)?;
    let boards: Vec<Board> = boards.iter().map(|board| Board { portable_kernels, ..board.clone() }).collect();
    let family = boards.first().map_or(Family::Portable, Board::family);
    let emitted = emit(network, family)?;
    let file = emulator::temporary_plan(&emitted.bytes)?;
    let report = emulator::run_on_first(&boards, file.path(), &input, true)?;
    let board = boards.iter().find(|board| board.name == report.board).unwrap_or(&boards[0]);
    Ok(Measurement {
        kernels: report.kernels,
        counter: "plugin",
        instructions: report.instructions_per_sample,
        cycles: report.cycles_per_sample,
        code_bytes: code_bytes(board, Image::SilentApp(file.path()), &emitted)?,
        code_log_bytes: code_bytes(board, Image::App(file.path()), &emitted)?,
        static_bytes: report.static_bytes,
        stack_bytes: report.stack_bytes,
        ..described(network, board, &emitted, &report.ops)
    })
}

/// Flash of an application with a plan inside, without the plan; `None` where there is no such application.
fn code_bytes(board: &Board, image: Image<'_>, emitted: &Emitted) -> Result<Option<u64>> {
    if board.memory.is_none() {
        return Ok(None);
    }
    match emulator::build(board, image) {
        Ok(elf) => Ok(Some(emulator::size(&elf)?.code_bytes(emitted.bytes.len() as u64))),
        Err(Failure::Missed(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// What is known of a network on a board without a total, with the counts of its ops.
fn described(network: &Network, board: &Board, emitted: &Emitted, counts: &[Count]) -> Measurement {
    let op = |(index, op): (usize, &crate::network::Op)| Op {
        index,
        name: op.name.clone(),
        op: operator_name(op.kind.code()),
        instructions: counts.get(index).map(|count| count.instructions),
        cycles: counts.get(index).and_then(|count| count.cycles),
        macs: network.macs(op),
    };
    let ops: Vec<Op> = network.ops.iter().enumerate().map(op).collect();
    Measurement {
        model: network.name.clone(),
        on: board.core.name(),
        board: board.name.clone(),
        family: board.family().name(),
        kernels: board.family().name().to_owned(),
        counter: "",
        instructions: None,
        cycles: None,
        macs: ops.iter().map(|op| op.macs).sum(),
        code_bytes: None,
        code_log_bytes: None,
        weights_bytes: network.ops.iter().map(|op| op.kind.weights().len()).sum(),
        plan_bytes: emitted.bytes.len(),
        arena_bytes: emitted.memory.arena_bytes,
        static_bytes: None,
        stack_bytes: None,
        ops,
    }
}
