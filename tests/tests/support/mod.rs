//! Whether this machine can run the emulated cores.

use std::io::Write;

use still8_validation::Failure;
use xtask::boards::{self, Board, Core, Run};
use xtask::emulator::find_std;
use xtask::process;

/// Whether the tools for `core` are there. Where they are not, says so loudly, or fails if the environment holds
/// `STILL8_REQUIRE_EMULATOR=1`.
pub fn emulator_available(core: Core) -> bool {
    let missing = boards::emulated(core).unwrap().iter().find_map(missing_for);
    let Some(missing) = missing else {
        return true;
    };
    let required = std::env::var_os("STILL8_REQUIRE_EMULATOR").is_some_and(|value| value == "1");
    assert!(!required, "{core} cannot be emulated: {missing}");
    // Not `println!`, which the harness swallows where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {core} cannot be emulated: {missing}");
    false
}

/// What the board's emulator or image needs and this machine lacks.
fn missing_for(board: &Board) -> Option<String> {
    let tools: &[&str] = match board.run {
        Run::Qemu { .. } => &["qemu-system-arm"],
        Run::QemuUser { .. } => &["qemu-aarch64", "aarch64-linux-gnu-gcc"],
        Run::ProbeRs { .. } => &[],
    };
    match tools.iter().find(|tool| process::find(tool).is_none()) {
        Some(tool) => Some(format!("there is no `{tool}`; run `cargo xtask setup`")),
        None => match find_std(&board.target) {
            Err(Failure::Missing(what)) => Some(what),
            result => result.err().map(|error| error.to_string()),
        },
    }
}
