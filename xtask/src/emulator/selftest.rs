//! Runs the self-test image: random cases of every kernel, on the core itself.

use std::process::Command;
use std::time::Duration;

use still8_validation::{Failure, Result};

use super::REMEDY;
use super::build::{Image, build};
use super::run::{LINUX_ROOT, decode, system_command};
use crate::boards::{Board, Run};
use crate::process;

/// Time that a self-test may take: for the start, and for a thousand cases.
const START_LIMIT: Duration = Duration::from_secs(120);
const THOUSAND_LIMIT: Duration = Duration::from_secs(60);

/// Runs `cases` random cases of `seed`, from number `first` on, on an emulated board. Returns the log, whose last line is
/// the number of cases and bytes.
///
/// # Errors
/// [`Failure::Missed`] with the first difference between a kernel and the portable one; [`Failure::Missing`] without
/// emulator or compiler; [`Failure::Usage`] for a real board; [`Failure::Data`] where the image ends in another way.
pub fn self_test(board: &Board, seed: u64, first: u32, cases: u32) -> Result<Vec<String>> {
    let elf = build(board, Image::SelfTest)?;
    let words = [seed.to_string(), cases.to_string(), first.to_string()];
    let mut command = match &board.run {
        Run::Qemu { machine, .. } => {
            let words: String = words.iter().map(|word| format!(",arg={word}")).collect();
            let mut command = system_command(machine);
            command.args(["-semihosting-config", &format!("enable=on,target=native,arg=selftest{words}")]);
            command.arg("-kernel").arg(&elf);
            command
        }
        Run::QemuUser { cpu } => {
            let mut command = Command::new("qemu-aarch64");
            command.args(["-L", LINUX_ROOT, "-cpu", cpu]).arg(&elf).args(words);
            command
        }
        Run::ProbeRs { .. } => return Err(Failure::Usage(format!("{} is not emulated", board.name))),
    };
    let finished = process::run(&mut command, START_LIMIT + THOUSAND_LIMIT * (cases / 1000), REMEDY)?;
    let log = match board.memory {
        Some(_) => decode(&elf, &finished)?,
        None => finished.stderr.lines().map(str::to_owned).collect(),
    };
    let said = |word: &str| log.iter().any(|line| line.starts_with(word));
    if finished.success() && said("selftest: PASS") {
        return Ok(log);
    }
    let text = format!("{}: {}", board.name, log.join("\n"));
    if said("selftest: FAIL") {
        return Err(Failure::Missed(text));
    }
    Err(Failure::Data(format!("{text}\nthe self-test {}\n{}", finished.ending(), finished.stderr.trim())))
}
