//! `cargo xtask flash`: an image with a plan inside, onto a board or into its emulator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use still8_validation::{Failure, Result};

use crate::boards::{self, Board, Run};
use crate::commands::quantize;
use crate::console::Console;
use crate::emulator::{self, Image, Leds, PlanFile};
use crate::process;
use crate::reference;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A model folder, whose student is quantized for the board; a network of MLPerf Tiny by name, as for `quantize`; or a
    /// plan.
    pub model: PathBuf,
    /// The board, see firmware/boards.toml.
    #[arg(long, value_name = "NAME")]
    pub board: String,
    /// Leave out the log: the smallest image, whose LED alone shows what it does.
    #[arg(long)]
    pub no_log: bool,
}

/// The command's report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub board: String,
    pub plan: PathBuf,
    /// Log lines of an emulated board.
    pub log: Vec<String>,
    /// How often its LED went on, without a log.
    pub blinks: Option<usize>,
}

/// Builds the application for a board with a plan inside and runs it. On an emulated board it ends after the golden
/// input; on a real one it is flashed and runs until Ctrl-C.
///
/// # Errors
/// [`Failure::Usage`] for an unknown board or a plan of another kernel family, [`Failure::Data`] for a broken plan,
/// [`Failure::Missed`] where the image exceeds the board's memory or the self-test fails, [`Failure::Missing`]
/// without a tool or a probe.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let board = boards::find(&options.board)?;
    let plan = plan_for(&options.model, &board)?;
    let mut log = Vec::new();
    let mut blinks = None;
    match &board.run {
        Run::ProbeRs { chip } => flash(&board, chip, &plan, !options.no_log)?,
        Run::Qemu { .. } if options.no_log => {
            let leds = emulate_silently(&board, &plan)?;
            console.say(format!("the LED went on {} times", leds.blinks));
            blinks = Some(leds.blinks);
        }
        Run::Qemu { .. } => log = emulate(&board, &plan)?,
        Run::QemuUser { .. } => {
            return Err(Failure::Usage(format!(
                "{} has no flash; use `cargo xtask run {} --on {}`",
                board.name,
                plan.display(),
                board.core
            )));
        }
    }
    console.say(log.join("\n"));
    Ok(Report { schema: 1, board: board.name, plan, log, blinks })
}

/// The plan itself, or that of a model folder or of a [`mod@reference`] network in the order of the board's kernels.
pub fn plan_for(model: &Path, board: &Board) -> Result<PathBuf> {
    if !model.is_dir() && reference::find(model).is_none() {
        return Ok(model.to_owned());
    }
    // Nothing but the plan is wanted.
    let quiet = Console { quiet: true, json: false };
    let options = quantize::Options::new(model.to_owned(), board.family());
    Ok(quantize::run(&options, quiet)?.plan)
}

/// Builds the application and runs it in the board's emulator; returns its log.
///
/// # Errors
/// As [`run`].
pub fn emulate(board: &Board, plan: &Path) -> Result<Vec<String>> {
    check(board, plan)?;
    let elf = emulator::build(board, Image::App(plan))?;
    let (lines, success) = emulator::run_app(board, &elf)?;
    if success {
        return Ok(lines);
    }
    Err(Failure::Missed(format!("the application on {} failed:\n{}", board.name, lines.join("\n"))))
}

/// Builds the application without a log and runs it in the board's emulator; returns what its LED did.
///
/// # Errors
/// As [`run`].
pub fn emulate_silently(board: &Board, plan: &Path) -> Result<Leds> {
    check(board, plan)?;
    let elf = emulator::build(board, Image::SilentApp(plan))?;
    let leds = emulator::run_silent(board, &elf, plan)?;
    if leds.stays_on {
        return Err(Failure::Missed(format!(
            "the application on {} failed: its LED stays on, as where the plan is refused or the self-test fails; \
             run it with its log to see which",
            board.name
        )));
    }
    if leds.blinks != leds.expected {
        return Err(Failure::Missed(format!(
            "the LED of {} went on {} times, not {} as the output on the host asks for",
            board.name, leds.blinks, leds.expected
        )));
    }
    Ok(leds)
}

fn flash(board: &Board, chip: &str, plan: &Path, log: bool) -> Result<()> {
    check(board, plan)?;
    let elf = emulator::build(board, if log { Image::App(plan) } else { Image::SilentApp(plan) })?;
    let mut command = probe_command(board, chip, &elf)?;
    let line = process::command_line(&command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Missing(format!("`{line}` ended: {status}"))),
        Err(error) => Err(Failure::Missing(format!("`{line}` cannot be started: {error}"))),
    }
}

/// The command that flashes an image and prints its log.
///
/// # Errors
/// [`Failure::Missing`] without `probe-rs` or a probe.
pub(super) fn probe_command(board: &Board, chip: &str, elf: &Path) -> Result<Command> {
    let probe_rs = process::find("probe-rs").ok_or_else(|| {
        Failure::Missing(format!(
            "`probe-rs` is not installed, and {} is flashed with it: `cargo install probe-rs-tools --locked`, \
             on Linux also the udev rules of https://probe.rs/docs/getting-started/probe-setup. The image is {}",
            board.name,
            elf.display()
        ))
    })?;
    let mut list = Command::new(&probe_rs);
    list.arg("list");
    let probes = process::run(&mut list, Duration::from_secs(30), "")?;
    if probes.text().contains("No debug probes were found") {
        return Err(Failure::Missing(format!(
            "no debug probe is attached; connect {} by USB, and on Linux install the udev rules of \
             https://probe.rs/docs/getting-started/probe-setup",
            board.name
        )));
    }
    let mut command = Command::new(&probe_rs);
    command.args(["run", "--chip", chip]).arg(elf);
    Ok(command)
}

/// Refuses a plan that is broken, of another family, or larger than the board even without code.
pub(super) fn check(board: &Board, path: &Path) -> Result<()> {
    let file = PlanFile::read(path)?;
    let plan = file.plan_for(board.family())?;
    let Some(memory) = &board.memory else {
        return Ok(());
    };
    let needs = [
        ("plan", "flash", plan.file_bytes() as u64, memory.flash.length),
        ("arena", "RAM beside the stack", plan.arena_bytes() as u64, memory.ram.length - memory.stack_bytes),
    ];
    match needs.iter().find(|(_, _, need, have)| need > have) {
        None => Ok(()),
        Some((what, place, need, have)) => Err(Failure::Missed(format!(
            "{}: the {what} of {need} bytes exceeds {have} bytes of {place} by {} bytes, before any code",
            board.name,
            need - have
        ))),
    }
}
