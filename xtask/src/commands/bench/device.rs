//! Times a plan on a board by the board's own counter: builds the image that does so, runs it, and reads its log.

use std::path::Path;
use std::time::Duration;

use still8_validation::{Failure, Result};

use super::{Measurement, code_bytes, described, golden_input};
use crate::boards::{Board, Run};
use crate::commands::flash;
use crate::console::Console;
use crate::emit::emit;
use crate::emulator::{self, Count, Image};
use crate::network::Network;
use crate::process;

/// Time for flashing and for one inference.
const LIMIT: Duration = Duration::from_secs(300);

/// How every line of the measurement begins, see `firmware/src/measure.rs`.
const PREFIX: &str = "bench ";
const DONE: &str = "done";

/// Measures a network on a board: cycles on a real one; on an emulated one its counters count instructions.
///
/// # Errors
/// [`Failure::Usage`] for a board without counter; [`Failure::Missing`] without a tool or a probe;
/// [`Failure::Missed`] where the plan exceeds the board, or computes something else there than on the host;
/// [`Failure::Data`] with the log where the image does not end its measurement.
pub(super) fn measure(network: &Network, board: &Board, console: Console) -> Result<Measurement> {
    golden_input(network)?;
    let emitted = emit(network, board.family())?;
    let file = emulator::temporary_plan(&emitted.bytes)?;
    flash::check(board, file.path())?;
    let elf = emulator::build(board, Image::Bench(file.path()))?;
    console.note(format!("{}: timing on {}", network.name, board.name));
    let log = Log(run(board, &elf)?);
    let emulated = board.is_emulated();
    match log.text(DONE) {
        Some("1") => (),
        Some(_) => return Err(Failure::Missed(log.about(board, "computes something else than the host"))),
        None => return Err(Failure::Data(log.about(board, "did not end its measurement"))),
    }
    let count = |ticks: u64| match emulated {
        true => Count {
            instructions: emulator::instructions(board, ticks).unwrap_or_default().round() as u64,
            cycles: None,
        },
        false => Count { instructions: 0, cycles: Some(ticks) },
    };
    let ticks: Vec<u64> = (0..network.ops.len()).map_while(|op| log.number(&format!("op.{op}"))).collect();
    let total = log.number("total").filter(|_| ticks.len() == network.ops.len());
    let total = total.ok_or_else(|| Failure::Data(log.about(board, "did not time every op")))?;
    let counts: Vec<Count> = ticks.iter().map(|&ticks| count(ticks)).collect();
    let mut measurement = described(network, board, &emitted, &counts);
    if !emulated {
        measurement.ops.iter_mut().for_each(|op| op.instructions = None);
    }
    Ok(Measurement {
        kernels: log.text("kernels").unwrap_or_default().to_owned(),
        counter: log.text("counter").and_then(known_counter).unwrap_or("unknown"),
        instructions: emulator::instructions(board, total),
        cycles: (!emulated).then_some(total as f64),
        code_bytes: code_bytes(board, Image::SilentApp(file.path()), &emitted)?,
        code_log_bytes: code_bytes(board, Image::App(file.path()), &emitted)?,
        stack_bytes: log.number("stack_bytes"),
        ..measurement
    })
}

/// Runs the image on the board or in its emulator; returns its log.
fn run(board: &Board, elf: &Path) -> Result<Vec<String>> {
    match &board.run {
        Run::Qemu { .. } => Ok(emulator::run_app_counting(board, elf)?.0),
        Run::ProbeRs { chip } => {
            let mut command = flash::probe_command(board, chip, elf)?;
            let last = format!("{PREFIX}{DONE}=");
            process::run_until(&mut command, LIMIT, "", |line| line.contains(&last))
        }
        Run::QemuUser { .. } => Err(Failure::Usage(format!(
            "{} has no counter of its own; use `cargo xtask bench --on {}`",
            board.name, board.core
        ))),
    }
}

fn known_counter(name: &str) -> Option<&'static str> {
    ["dwt", "systick", "timer"].into_iter().find(|&known| known == name)
}

/// Log lines, among them those of the measurement; a debugger may write more around them.
struct Log(Vec<String>);

impl Log {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|line| {
            let (_, entry) = line.split_once(PREFIX)?;
            let value = entry.strip_prefix(key)?.strip_prefix('=')?;
            value.split_whitespace().next()
        })
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    fn about(&self, board: &Board, what: &str) -> String {
        format!("the network on {} {what}:\n{}", board.name, self.0.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_within_a_debuggers_output() {
        let lines = [
            "Erasing ...",
            "0.000 [INFO ] bench op.1=25 (bench bench.rs:3)",
            "bench op.10=7",
            "bench total=",
        ];
        let log = Log(lines.map(str::to_owned).to_vec());
        assert_eq!((log.number("op.1"), log.number("op.10")), (Some(25), Some(7)));
        assert_eq!((log.number("op.2"), log.text("total"), log.text("op")), (None, None, None));
    }
}
