//! Watches the LED of an application without a log: the emulator's own trace of writes to the LED's register.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use still8_validation::recipe::Task;
use still8_validation::{Failure, Result};

use super::REMEDY;
use super::plan_file::PlanFile;
use super::run::system_command;
use crate::boards::{Board, Run};
use crate::process;

/// Time until the last expected blink, on the slowest machine that is still usable.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the LED must stay as it is to count as on for good, and as off for good after the last expected blink. A
/// blink takes a few hundredths of a second.
const ON_FOR_GOOD: Duration = Duration::from_secs(10);
const OFF_FOR_GOOD: Duration = Duration::from_millis(500);

/// What an LED did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leds {
    /// How often it went on.
    pub blinks: usize,
    /// How often it should, by the plan's golden output: once more than the index of the class; once, where it gives none.
    pub expected: usize,
    /// It went on and not off again: the plan is refused, or its self-test failed.
    pub stays_on: bool,
}

/// Runs an application without a log until its LED rests.
///
/// # Errors
/// [`Failure::Missing`] without emulator; [`Failure::Usage`] for a board whose emulator does not show the LED.
pub fn run_silent(board: &Board, elf: &Path, plan: &Path) -> Result<Leds> {
    let Run::Qemu { machine, icount_shift } = &board.run else {
        return Err(Failure::Usage(format!("{} does not run in qemu-system-arm", board.name)));
    };
    if !machine.starts_with("mps") {
        return Err(Failure::Usage(format!(
            "the emulator of {} does not show its LED, and nothing else shows what an image without a log does; \
             take an mps board, or the image with its log",
            board.name
        )));
    }
    let expected = expected_blinks(&PlanFile::read(plan)?);
    let folder =
        tempfile::tempdir().map_err(|error| Failure::Data(format!("no temporary folder: {error}")))?;
    let trace = folder.path().join("trace");
    let mut command = system_command(machine);
    command.args(["-icount", &format!("shift={icount_shift},sleep=off")]);
    command.args(["-trace", "mps2_fpgaio_write", "-D"]).arg(&trace).arg("-kernel").arg(elf);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::start(&mut command, REMEDY)?;
    let leds = watch(&mut child, &trace, expected);
    // The image never ends by itself.
    let _ = child.kill();
    let _ = child.wait();
    Ok(leds)
}

/// One more than the class of the golden output; none without a self-test, which also is the only input.
fn expected_blinks(file: &PlanFile) -> usize {
    let plan = file.plan();
    let Some(golden) = plan.golden() else { return 0 };
    if file.task().is_some_and(|task| task != Task::Classification) {
        return 1;
    }
    let classes = plan.output(0).map_or(0, |io| io.shape.iter().product::<u32>() as usize);
    let mut best = None;
    for (class, &q) in golden.output.iter().take(classes).enumerate() {
        if best.is_none_or(|(_, largest)| q > largest) {
            best = Some((class, q));
        }
    }
    best.map_or(0, |(class, _)| class + 1)
}

fn watch(child: &mut Child, trace: &Path, expected: usize) -> Leds {
    let start = Instant::now();
    let mut seen = (0, Instant::now());
    loop {
        let writes = led_writes(&fs::read_to_string(trace).unwrap_or_default());
        if writes.len() != seen.0 {
            seen = (writes.len(), Instant::now());
        }
        let blinks = writes.iter().filter(|&&on| on).count();
        let on = writes.last() == Some(&true);
        let leds = Leds { blinks, expected, stays_on: on && seen.1.elapsed() > ON_FOR_GOOD };
        let rests = !on && blinks >= expected && seen.1.elapsed() > OFF_FOR_GOOD;
        if rests || leds.stays_on || start.elapsed() > LIMIT || !matches!(child.try_wait(), Ok(None)) {
            return leds;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What was written to the LED's register, the first of its block: whether LED 0 went on.
fn led_writes(trace: &str) -> Vec<bool> {
    let data = |line: &str| {
        let (_, rest) = line.split_once("FPGAIO write: offset 0x0 data 0x")?;
        let digits = rest.split(' ').next()?;
        Some(u32::from_str_radix(digits, 16).ok()? & 1 == 1)
    };
    trace.lines().filter_map(data).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn led_writes_are_those_to_the_first_register() {
        let trace = "mps2_fpgaio_write MPS2 FPGAIO write: offset 0x0 data 0x1 size 4\n\
                     mps2_fpgaio_write MPS2 FPGAIO write: offset 0x4c data 0x1 size 4\n\
                     12@1.5:mps2_fpgaio_write MPS2 FPGAIO write: offset 0x0 data 0x0 size 4\n";
        assert_eq!(led_writes(trace), [true, false]);
    }
}
