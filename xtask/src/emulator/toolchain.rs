//! Which standard library a target is built with: an installed one, or Debian's compiler with its sources.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use still8_validation::{Failure, Result};

use super::REMEDY;
use crate::process;

/// Debian's compiler, from the package `rustc-web`.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's cargo, from the package `cargo-web`.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// GNU's linker for Arm, from the package `binutils-arm-none-eabi`.
const DEBIAN_LD: &str = "arm-none-eabi-ld";

/// Where `core`, `alloc` and, on Linux, `std` come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Std {
    /// Installed for the target, as `rustup target add` does.
    Installed,
    /// Built from the sources in `rust-web-src` by Debian's compiler.
    Debian,
}

impl Std {
    /// A cargo command that builds for `target` this way.
    pub fn cargo(&self, target: &str) -> Command {
        let own = || std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        match self {
            Self::Installed => Command::new(own()),
            Self::Debian => {
                let cargo = if PathBuf::from(DEBIAN_CARGO).is_file() { DEBIAN_CARGO.into() } else { own() };
                let mut command = Command::new(cargo);
                // The crates themselves deny unstable features, which this variable would let pass.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN");
                if target.contains("linux") {
                    command.arg("-Zbuild-std=std,panic_abort");
                } else {
                    command.arg("-Zbuild-std=core,alloc");
                    // Debian's compiler comes without rust-lld.
                    let has_ld = process::find(DEBIAN_LD).is_some();
                    command.env(linker_variable(target), if has_ld { DEBIAN_LD } else { "ld.lld" });
                }
                command
            }
        }
    }

    /// For reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Debian => "built from rust-web-src by Debian's rustc",
        }
    }
}

/// The variable that sets the linker of a target.
pub(super) fn linker_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace(['-', '.'], "_"))
}

/// Finds a standard library for `target`.
///
/// # Errors
/// [`Failure::Missing`] where there is neither.
pub fn find_std(target: &str) -> Result<Std> {
    if is_installed(target) {
        return Ok(Std::Installed);
    }
    if has_debian_sources() {
        return Ok(Std::Debian);
    }
    Err(Failure::Missing(format!("there is no Rust standard library for {target}; {REMEDY}")))
}

fn is_installed(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", target]);
    // rustc prints the folder whether it exists or not.
    first_line(&mut command).is_some_and(|folder| PathBuf::from(folder).is_dir())
}

fn has_debian_sources() -> bool {
    let sysroot = first_line(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| PathBuf::from(sysroot).join("lib/rustlib/src/rust/library/core").is_dir())
}

fn first_line(command: &mut Command) -> Option<String> {
    let finished = process::run(command, Duration::from_secs(20), "").ok()?;
    let text = String::from_utf8(finished.stdout).ok()?;
    text.lines().next().filter(|_| finished.status.is_some_and(|status| status.success())).map(str::to_owned)
}
