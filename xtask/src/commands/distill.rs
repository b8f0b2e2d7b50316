//! `cargo xtask distill`: starts the trainer, a crate of its own, so that no other command compiles it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use still8_validation::{Failure, Result};

use crate::boards::root;
use crate::console::Console;

/// Compiles the trainer where that is needed and runs it with these arguments; its exit code is the command's.
///
/// # Errors
/// [`Failure::Missing`] where cargo cannot be started.
pub fn run(arguments: &[OsString], console: Console) -> Result<ExitCode> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--package", "still8-distill", "--manifest-path"]);
    cargo.arg(root().join("Cargo.toml")).arg("--").args(arguments);
    cargo.args(console.json.then_some("--json")).args(console.quiet.then_some("--quiet"));
    // Activations come and go with every step: glibc is told to keep their memory.
    for (name, value) in [("MALLOC_MMAP_THRESHOLD_", "1073741824"), ("MALLOC_TRIM_THRESHOLD_", "4294967296")]
    {
        cargo.env(name, value);
    }
    let status =
        cargo.status().map_err(|error| Failure::Missing(format!("cargo cannot be started: {error}")))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
