//! Runs an image in qemu and collects what it leaves.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use still8::plan::Io;
use still8_validation::{Failure, Result};

use super::build::{Image, build};
use super::plan_file::PlanFile;
use super::report::{Lines, RunReport};
use super::size::{size, unused_ram};
use super::{Count, REMEDY, counter, log};
use crate::boards::{self, Board, Core, Run};
use crate::process::{self, Finished};

/// The programs of qemu.
const SYSTEM: &str = "qemu-system-arm";
const USER: &str = "qemu-aarch64";

/// Time that a run may take on the slowest machine that is still usable: for the start, and for each sample.
const START_LIMIT: Duration = Duration::from_secs(120);
const SAMPLE_LIMIT: Duration = Duration::from_secs(30);

/// Where the C library of emulated Linux processes lies.
pub(super) const LINUX_ROOT: &str = "/usr/aarch64-linux-gnu";

/// Runs a plan on every sample of `inputs`, on the first board of the core that holds plan and arena.
///
/// `inputs` are int8 bytes in device layout, all inputs of a sample in order, sample after sample. With `count`,
/// the counting plugin tells instructions and estimated cycles of every op; without it, SysTick tells instructions.
///
/// # Errors
/// [`Failure::Missing`] without emulator or compiler; [`Failure::Missed`] where no board of the core is large enough;
/// [`Failure::Usage`] for a plan of another family; [`Failure::Data`] for anything wrong with plan or inputs.
pub fn run_plan(core: Core, plan: &Path, inputs: &[i8], count: bool) -> Result<RunReport> {
    run_on_first(&boards::emulated(core)?, plan, inputs, count)
}

/// Like [`run_plan`], on the first of these boards that holds plan and arena.
///
/// # Errors
/// As [`run_plan`].
pub fn run_on_first(boards: &[Board], plan: &Path, inputs: &[i8], count: bool) -> Result<RunReport> {
    let file = PlanFile::read(plan)?;
    let mut too_small = Vec::new();
    for board in boards {
        // Before anything is built.
        file.plan_for(board.family())?;
        let runner = build(board, Image::Runner)?;
        match excess(board, &runner, &file)? {
            None => return run_built(board, &runner, &file, inputs, count),
            Some(text) => too_small.push(text),
        }
    }
    Err(Failure::Missed(format!("no emulated board holds {}: {}", plan.display(), too_small.join("; "))))
}

/// Like [`run_plan`], on one board.
///
/// # Errors
/// As [`run_plan`].
pub fn run_on(board: &Board, plan: &Path, inputs: &[i8], count: bool) -> Result<RunReport> {
    let file = PlanFile::read(plan)?;
    let runner = build(board, Image::Runner)?;
    match excess(board, &runner, &file)? {
        None => run_built(board, &runner, &file, inputs, count),
        Some(text) => Err(Failure::Missed(format!("{}: {text}", plan.display()))),
    }
}

/// Runs an application image of an emulated board to its end; returns its log, and whether it ended well.
///
/// # Errors
/// [`Failure::Missing`] without emulator; [`Failure::Usage`] for a board that no machine of qemu is.
pub fn run_app(board: &Board, elf: &Path) -> Result<(Vec<String>, bool)> {
    run_image(board, elf, &[])
}

/// Like [`run_app`], in virtual time: the board's clocks count instructions, see [`instructions`].
///
/// # Errors
/// As [`run_app`].
pub fn run_app_counting(board: &Board, elf: &Path) -> Result<(Vec<String>, bool)> {
    let Run::Qemu { icount_shift, .. } = board.run else { return run_image(board, elf, &[]) };
    run_image(board, elf, &["-icount".into(), format!("shift={icount_shift}")])
}

fn run_image(board: &Board, elf: &Path, more: &[String]) -> Result<(Vec<String>, bool)> {
    let Run::Qemu { machine, .. } = &board.run else {
        return Err(Failure::Usage(format!("{} does not run in {SYSTEM}", board.name)));
    };
    let mut command = system_command(machine);
    command.args(more).args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(elf);
    let finished = process::run(&mut command, START_LIMIT, REMEDY)?;
    let mut lines = decode(elf, &finished)?;
    if !finished.success() {
        lines.push(format!("the program {}", finished.ending()));
        lines.extend(finished.stderr.lines().map(str::to_owned));
    }
    Ok((lines, finished.success()))
}

/// Instructions that the board's clock counts for a loop of `2 · iterations`: checks what the counts rest on.
///
/// # Errors
/// As [`run_plan`].
pub fn count_loop(board: &Board, iterations: u32) -> Result<f64> {
    let runner = build(board, Image::Runner)?;
    let folder = Folder::new(&[], &[])?;
    let mode = [String::from("loop"), iterations.to_string()];
    let (_, lines) = folder.run(board, &runner, &mode, false, START_LIMIT)?;
    let ticks = lines.number("ticks").ok_or_else(|| Failure::Data("the runner reports no ticks".into()))?;
    instructions(board, ticks)
        .ok_or_else(|| Failure::Usage(format!("{} does not count instructions", board.name)))
}

/// Name and count of every sequence of known cost in the runner: checks the counter and its timing.
///
/// # Errors
/// As [`run_plan`].
pub fn count_sequences(board: &Board) -> Result<Vec<(String, Count)>> {
    let runner = build(board, Image::Runner)?;
    let folder = Folder::new(&[], &[])?;
    let (_, lines) = folder.run(board, &runner, &[String::from("sequences")], true, START_LIMIT)?;
    let names = (0..).map_while(|i| lines.text(&format!("sequence.{i}")).map(str::to_owned));
    // A sequence lies between two marks; what lies between two sequences is left out.
    Ok(names.zip(counter::between(&folder.counts()?).into_iter().step_by(2)).collect())
}

/// What does not fit the board, in words.
fn excess(board: &Board, runner: &Path, file: &PlanFile) -> Result<Option<String>> {
    let Some(memory) = &board.memory else {
        return Ok(None);
    };
    let plan = file.plan_for(board.family())?;
    let arena = memory.arena.map_or_else(|| unused_ram(runner), |arena| Ok(arena.length))?;
    let arena_bytes = plan.arena_bytes().next_multiple_of(16);
    let needs =
        [("plan", file.bytes().len() as u64, memory.plan.length), ("arena", arena_bytes as u64, arena)];
    let excess = needs.iter().find(|(_, need, have)| need > have);
    Ok(excess.map(|(what, need, have)| {
        format!("{} has {have} bytes for the {what}, {} too few", board.name, need - have)
    }))
}

fn run_built(board: &Board, runner: &Path, file: &PlanFile, inputs: &[i8], count: bool) -> Result<RunReport> {
    let plan = file.plan_for(board.family())?;
    let elements = |io: Io<'_>| io.shape.iter().map(|&dim| dim as usize).product::<usize>();
    let input_bytes: usize = (0..plan.input_count()).filter_map(|i| plan.input(i)).map(elements).sum();
    let output_bytes: usize = (0..plan.output_count()).filter_map(|i| plan.output(i)).map(elements).sum();
    if input_bytes == 0 || !inputs.len().is_multiple_of(input_bytes) {
        return Err(Failure::Data(format!(
            "{} input bytes are no whole number of samples of {input_bytes} bytes",
            inputs.len()
        )));
    }
    let samples = inputs.len() / input_bytes;
    let folder = Folder::new(file.bytes(), inputs)?;
    let mode: &[String] = if count { &[String::from("marks")] } else { &[] };
    let limit = START_LIMIT + SAMPLE_LIMIT * u32::try_from(samples).unwrap_or(u32::MAX / 60);
    let (log, lines) = folder.run(board, runner, mode, count, limit)?;

    let outputs = folder.read("output")?;
    if lines.number("samples") != Some(samples as u64) || outputs.len() != samples * output_bytes {
        return Err(Failure::Data(format!(
            "{}: {} output bytes for {samples} samples of {output_bytes}",
            board.name,
            outputs.len()
        )));
    }
    let per_sample = |ticks: u64| Some(instructions(board, ticks)? / samples.max(1) as f64);
    let counts = if count { folder.counts()? } else { Vec::new() };
    let ops = mean_ops(&counts, samples, plan.ops().len())?;
    let total = Some(Count::sum(ops.iter().copied())).filter(|_| !ops.is_empty());
    let by_clock = lines.number("ticks").filter(|_| samples > 0).and_then(per_sample);
    Ok(RunReport {
        board: board.name.clone(),
        kernels: lines.text("kernels").unwrap_or_default().into(),
        outputs: bytemuck::cast_slice(&outputs).to_vec(),
        samples,
        instructions_per_sample: total.map(|total| total.instructions as f64).or(by_clock),
        cycles_per_sample: total.and_then(|total| total.cycles).map(|cycles| cycles as f64),
        ops,
        stack_bytes: lines.number("stack_bytes"),
        static_bytes: board.memory.map(|_| size(runner)).transpose()?.map(|size| size.static_bytes()),
        self_test: lines.text("self_test").unwrap_or_default().into(),
        log,
    })
}

/// Means over the samples, of the counts at the marks of a run: two neighbours, then for each sample one mark before
/// its first op and one after every op. None where there is no sample.
fn mean_ops(marks: &[Count], samples: usize, ops: usize) -> Result<Vec<Count>> {
    if marks.is_empty() || samples == 0 {
        return Ok(Vec::new());
    }
    if marks.len() != 2 + samples * (ops + 1) {
        return Err(Failure::Data(format!("{} marks for {samples} samples of {ops} ops", marks.len())));
    }
    let between = counter::between(marks);
    // What lies between two samples belongs to none.
    let of_op = |op: usize| between.iter().skip(op).step_by(ops + 1).copied();
    let mean = |sum: Count| Count {
        instructions: sum.instructions / samples as u64,
        cycles: sum.cycles.map(|cycles| cycles / samples as u64),
    };
    Ok((0..ops).map(|op| mean(Count::sum(of_op(op)))).collect())
}

/// Instructions that pass in `ticks` of the board's clock; `None` where its emulator does not count them.
pub fn instructions(board: &Board, ticks: u64) -> Option<f64> {
    match board.run {
        Run::Qemu { icount_shift, .. } => {
            let ticks_per_instruction =
                f64::from(board.clock_hz?) * f64::from(1u32.checked_shl(icount_shift)?) / 1e9;
            Some(ticks as f64 / ticks_per_instruction)
        }
        _ => None,
    }
}

/// The working directory of one run, so that runs at the same time do not meet.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(plan: &[u8], inputs: &[i8]) -> Result<Self> {
        let create = || -> std::io::Result<_> {
            let folder = tempfile::tempdir()?;
            fs::write(folder.path().join("plan.s8"), plan)?;
            fs::write(folder.path().join("input"), bytemuck::cast_slice::<i8, u8>(inputs))?;
            Ok(Self(folder))
        };
        create().map_err(|error| Failure::Data(format!("no temporary folder: {error}")))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.0.path().join(name);
        fs::read(&path).map_err(|error| Failure::data(&path, error))
    }

    /// What the counting plugin left.
    fn counts(&self) -> Result<Vec<Count>> {
        counter::parse(&String::from_utf8_lossy(&self.read(counter::FILE)?))
    }

    /// Runs the runner, with `count` under the counting plugin; returns log and report of a run that ended well.
    fn run(
        &self,
        board: &Board,
        runner: &Path,
        mode: &[String],
        count: bool,
        limit: Duration,
    ) -> Result<(Vec<String>, Lines)> {
        let mut command = match (&board.run, &board.memory) {
            (Run::Qemu { machine, icount_shift }, Some(memory)) => {
                let arguments: String = ["runner", "input", "output", "report"]
                    .into_iter()
                    .chain(mode.iter().map(String::as_str))
                    .map(|argument| format!(",arg={argument}"))
                    .collect();
                let mut command = system_command(machine);
                if count {
                    command.args(["-plugin", &counter::argument(SYSTEM, board.core, runner)?]);
                }
                command.args(["-icount", &format!("shift={icount_shift}")]);
                command.args(["-semihosting-config", &format!("enable=on,target=native{arguments}")]);
                let address = memory.plan.origin;
                command.args(["-device", &format!("loader,file=plan.s8,addr={address:#x},force-raw=on")]);
                command.arg("-kernel").arg(runner);
                command
            }
            (Run::QemuUser { cpu }, _) => {
                let mut command = Command::new(USER);
                if count {
                    command.args(["-plugin", &counter::argument(USER, board.core, runner)?]);
                }
                command.args(["-L", LINUX_ROOT, "-cpu", cpu]).arg(runner);
                command.args(["plan.s8", "input", "output", "report"]).args(mode);
                command
            }
            _ => return Err(Failure::Usage(format!("{} is not emulated", board.name))),
        };
        let finished = process::run(command.current_dir(self.0.path()), limit, REMEDY)?;
        counter::check(&finished)?;
        let log = match board.memory {
            Some(_) => decode(runner, &finished)?,
            None => finished.stderr.lines().map(str::to_owned).collect(),
        };
        // A run that ended before it made the report has none.
        let report = fs::read_to_string(self.0.path().join("report")).unwrap_or_default();
        let lines = Lines::parse(&report);
        if let Some(error) = lines.text("error") {
            return Err(Failure::Data(format!("{}: {error}", board.name)));
        }
        if !finished.success() {
            return Err(Failure::Data(format!(
                "{}: the runner {}\n{}\n{}",
                board.name,
                finished.ending(),
                log.join("\n"),
                finished.stderr.trim()
            )));
        }
        Ok((log, lines))
    }
}

pub(super) fn system_command(machine: &str) -> Command {
    let mut command = Command::new(SYSTEM);
    command.args(["-M", machine, "-display", "none", "-monitor", "none", "-serial", "none"]);
    command
}

pub(super) fn decode(elf: &Path, finished: &Finished) -> Result<Vec<String>> {
    let bytes = fs::read(elf).map_err(|error| Failure::data(elf, error))?;
    log::decode(elf, &bytes, &finished.stdout)
}
