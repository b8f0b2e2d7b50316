//! The plugin that makes qemu count: built from `xtask/plugin`, handed to qemu, and what it leaves.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object::{Object, ObjectSymbol};
use serde::Serialize;
use still8_validation::{Failure, Result};

use super::REMEDY;
use crate::boards::{self, Core};
use crate::process::{self, Finished};

/// The function of `firmware/src/mark.rs` at which the counts are noted.
const MARK: &str = "still8_mark";
/// Where the plugin writes, in the run's folder.
pub(super) const FILE: &str = "counts";

const BUILD_LIMIT: Duration = Duration::from_secs(900);
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Executed instructions and, where the core's timing is published, estimated cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Instructions.
    pub instructions: u64,
    /// Cycles; `None` where Arm publishes no timing of the core.
    pub cycles: Option<u64>,
}

impl Count {
    fn minus(self, other: Self) -> Self {
        let cycles = self.cycles.zip(other.cycles);
        Self {
            instructions: self.instructions.saturating_sub(other.instructions),
            cycles: cycles.map(|(cycles, other)| cycles.saturating_sub(other)),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            cycles: self.cycles.zip(other.cycles).map(|(cycles, other)| cycles + other),
        }
    }

    /// Sum of counts; nothing, in known cycles, of none.
    pub fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        counts.into_iter().fold(Self { instructions: 0, cycles: Some(0) }, Self::plus)
    }
}

/// Value of qemu's `-plugin` that counts between the marks of `image`, as `core` times them.
///
/// # Errors
/// [`Failure::Missing`] without compiler or emulator; [`Failure::Data`] where the image has no mark.
pub(super) fn argument(qemu: &str, core: Core, image: &Path) -> Result<String> {
    let plugin = plugin(qemu)?;
    // A comma ends a value unless it is doubled.
    let plugin = plugin.display().to_string().replace(',', ",,");
    Ok(format!("{plugin},core={core},mark={:#x},out={FILE}", mark(image)?))
}

/// What the plugin wrote: the counts at every mark.
///
/// # Errors
/// [`Failure::Data`] where there is nothing, or something else.
pub(super) fn parse(text: &str) -> Result<Vec<Count>> {
    let line = |line: &str| {
        let (instructions, cycles) = line.split_once(' ')?;
        let cycles = if cycles == "-" { None } else { Some(cycles.parse().ok()?) };
        Some(Count { instructions: instructions.parse().ok()?, cycles })
    };
    let counts: Option<Vec<Count>> = text.lines().map(line).collect();
    counts
        .filter(|counts| counts.len() >= 2)
        .ok_or_else(|| Failure::Data("the counting plugin left no counts".into()))
}

/// The counts between marks. The first two marks are neighbours, and their distance is what a mark costs.
pub(super) fn between(marks: &[Count]) -> Vec<Count> {
    let [first, second, marks @ ..] = marks else { return Vec::new() };
    let cost = second.minus(*first);
    marks.windows(2).map(|pair| pair[1].minus(pair[0]).minus(cost)).collect()
}

/// Whether qemu refused `-plugin` itself.
pub(super) fn check(finished: &Finished) -> Result<()> {
    let refused = |line: &str| {
        line.contains("plugin") && (line.contains("invalid option") || line.contains("unknown option"))
    };
    if !finished.success() && finished.stderr.lines().any(refused) {
        return Err(Failure::Missing(format!(
            "this qemu is built without plugins, which `bench` counts with; use the one of a distribution; {REMEDY}\n{}",
            finished.stderr.trim()
        )));
    }
    Ok(())
}

/// Address of the mark in an image.
fn mark(image: &Path) -> Result<u64> {
    let bytes = fs::read(image).map_err(|error| Failure::data(image, error))?;
    let file = object::File::parse(&*bytes).map_err(|error| Failure::data(image, error))?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(MARK));
    // Bit 0 of a function's address says that it is Thumb code; A64 code is aligned anyway.
    symbol
        .map(|symbol| symbol.address() & !1)
        .ok_or_else(|| Failure::data(image, format_args!("there is no function {MARK}")))
}

/// The plugin for a program of qemu, built once a process.
fn plugin(qemu: &str) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<u8, PathBuf>>> = Mutex::new(None);
    let version = interface_version(qemu)?;
    // A thread that panicked inside left the map as it was.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(plugin) = built.get(&version) {
        return Ok(plugin.clone());
    }
    let plugin = build(version)?;
    built.insert(version, plugin.clone());
    Ok(plugin)
}

fn build(version: u8) -> Result<PathBuf> {
    let target_dir = boards::root().join("target/plugin").join(format!("v{version}"));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(boards::root()).args(["build", "--release", "--package", "still8-counter"]);
    command.arg("--target-dir").arg(&target_dir).env("STILL8_QEMU_PLUGIN", version.to_string());
    // These describe another build, which may have started this one.
    command.env_remove("CARGO_BUILD_TARGET").env_remove("CARGO_TARGET_DIR");
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let finished = process::run(&mut command, BUILD_LIMIT, REMEDY)?;
    if !finished.success() {
        return Err(Failure::Data(format!(
            "the counting plugin does not build; `{}` {}\n{}",
            process::command_line(&command),
            finished.ending(),
            finished.text()
        )));
    }
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Ok(target_dir.join("release").join(format!("{prefix}still8_counter{suffix}")))
}

/// The plugin interface of a program of qemu; see `xtask/plugin/src/qemu.rs`.
fn interface_version(qemu: &str) -> Result<u8> {
    let finished = process::run(Command::new(qemu).arg("--version"), VERSION_LIMIT, REMEDY)?;
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    interface_of(&text).ok_or_else(|| Failure::Data(format!("`{qemu} --version` says no version: {text}")))
}

/// From a line such as `QEMU emulator version 7.2.22 (Debian ...)`.
fn interface_of(text: &str) -> Option<u8> {
    let mut numbers = text.split_once("version ")?.1.split(|c: char| !c.is_ascii_digit());
    let release: (u32, u32) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some(match release {
        (..=8, _) => 1,
        (9, 0) => 2,
        _ => 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(instructions: u64, cycles: u64) -> Count {
        Count { instructions, cycles: Some(cycles) }
    }

    #[test]
    fn a_marks_own_cost_is_left_out() {
        let marks = parse("100 150\n102 156\n200 300\n212 326\n224 362\n").unwrap();
        assert_eq!(between(&marks), [count(10, 20), count(10, 30)]);
        let marks = parse("5 -\n7 -\n9 -\n13 -\n").unwrap();
        assert_eq!(between(&marks), [Count { instructions: 2, cycles: None }]);
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for text in ["", "1 2\n", "1 2\n3\n", "a b\nc d\n"] {
            assert_eq!(parse(text).unwrap_err().exit_code(), 4, "{text:?}");
        }
    }

    #[test]
    fn interfaces_by_qemus_version() {
        let of =
            |version: &str| interface_of(&format!("QEMU emulator version {version} (Debian)\nCopyright"));
        assert_eq!(
            [of("7.2.22"), of("8.2.0"), of("9.0.1"), of("9.1.0"), of("10.0.2")],
            [1, 1, 2, 3, 3].map(Some)
        );
        assert_eq!(interface_of("qemu-aarch64 version 7.2.22 (Debian)"), Some(1));
        assert_eq!(interface_of("unknown"), None);
    }
}
