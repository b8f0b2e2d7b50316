//! `cargo xtask setup`: what the commands need beside Rust, found or installed.

use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use serde::Serialize;
use still8_validation::{Failure, Result};

use crate::emulator::{Std, find_std};
use crate::{boards, process};

/// rustup without a network gives up by itself after several retries; this is earlier.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);
const APT_LIMIT: Duration = Duration::from_secs(1800);

/// Debian's way to a standard library for Arm.
const DEBIAN_RUST: &[&str] = &["rustc-web", "rust-web-src", "cargo-web", "binutils-arm-none-eabi"];

/// Programs by the Debian packages that bring them.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("qemu-system-arm", &["qemu-system-arm"], "emulates the Cortex-M boards"),
    ("qemu-aarch64", &["qemu-user"], "runs 64-bit Arm Linux programs"),
    (
        "aarch64-linux-gnu-gcc",
        &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        "links for 64-bit Arm Linux",
    ),
];

/// State of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was there.
    Present,
    /// This command installed it.
    Installed,
    /// It is not there.
    Missing,
}

/// One thing that commands need.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// What it is.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// Whether it is there.
    pub state: State,
    /// Where it came from, or how to get it.
    pub note: String,
}

/// Every item.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this object.
    pub schema: u32,
    /// In the order in which they were looked for.
    pub items: Vec<Item>,
}

impl Report {
    /// The failure that a missing item is.
    ///
    /// # Errors
    /// [`Failure::Missing`] lists what is missing and how to get it.
    pub fn complete(&self) -> Result<()> {
        let missing: Vec<String> = self
            .items
            .iter()
            .filter(|item| item.state == State::Missing)
            .map(|item| format!("{}: {}", item.name, item.note))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Failure::Missing(missing.join("\n"))) }
    }
}

/// The report as lines for people.
pub fn render(report: &Report) -> String {
    let line = |item: &Item| {
        let state = match item.state {
            State::Present => "present",
            State::Installed => "installed",
            State::Missing => "MISSING",
        };
        format!("{state:9} {} ({}): {}", item.name, item.purpose, item.note)
    };
    report.items.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Looks for everything that emulated boards need and, unless `check`, installs what is missing: standard libraries by
/// `rustup target add` or else Debian's packages, programs by `apt-get` where that may be used. Item by item the
/// report says what became of it; whether all is there says [`Report::complete`].
///
/// # Errors
/// [`Failure::Data`] where the board table cannot be read.
pub fn run(check: bool) -> Result<Report> {
    let mut items = Vec::new();
    let mut targets: Vec<String> = boards::load()?.into_iter().map(|board| board.target).collect();
    targets.sort();
    targets.dedup();
    for target in targets {
        items.push(standard_library(&target, check));
    }
    for &(program, packages, purpose) in PROGRAMS {
        items.push(self::program(program, packages, purpose, check));
    }
    Ok(Report { schema: 1, items })
}

fn standard_library(target: &str, check: bool) -> Item {
    let item = |state, note: String| Item {
        name: format!("Rust standard library for {target}"),
        purpose: "compiles for the boards".into(),
        state,
        note,
    };
    if let Ok(std) = find_std(target) {
        return item(State::Present, std.name().into());
    }
    let by_hand = format!("`rustup target add {target}`, or as root `{}`", apt_line(DEBIAN_RUST));
    if check {
        return item(State::Missing, by_hand);
    }
    let rustup = process::run(Command::new("rustup").args(["target", "add", target]), RUSTUP_LIMIT, "");
    if rustup.is_ok_and(|finished| finished.success()) && find_std(target).is_ok() {
        return item(State::Installed, "by rustup target add".into());
    }
    match apt_install(DEBIAN_RUST) {
        Ok(()) => match find_std(target) {
            Ok(std @ Std::Debian) => item(State::Installed, std.name().into()),
            Ok(std) => item(State::Present, std.name().into()),
            Err(_) => item(State::Missing, by_hand),
        },
        Err(reason) => item(State::Missing, format!("{by_hand} ({reason})")),
    }
}

fn program(program: &str, packages: &[&str], purpose: &str, check: bool) -> Item {
    let item = |state, note: String| Item { name: program.into(), purpose: purpose.into(), state, note };
    if let Some(path) = process::find(program) {
        return item(State::Present, path.display().to_string());
    }
    let by_hand = format!("as root `{}`, or your system's package of that name", apt_line(packages));
    if check {
        return item(State::Missing, by_hand);
    }
    match apt_install(packages) {
        Ok(()) => match process::find(program) {
            Some(path) => item(State::Installed, path.display().to_string()),
            None => item(State::Missing, by_hand),
        },
        Err(reason) => item(State::Missing, format!("{by_hand} ({reason})")),
    }
}

fn apt_line(packages: &[&str]) -> String {
    format!("apt-get install {}", packages.join(" "))
}

/// Installs Debian packages; the error says why that was not possible.
fn apt_install(packages: &[&str]) -> std::result::Result<(), String> {
    if process::find("apt-get").is_none() {
        return Err("there is no apt-get here".into());
    }
    if !is_root() {
        return Err("not run as root".into());
    }
    // A new machine has no package lists; where they are there, this changes nothing that the project cares about.
    // A failed update shows in the installation that follows.
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| drop(process::run(Command::new("apt-get").arg("update"), APT_LIMIT, "")));
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let finished = process::run(&mut command, APT_LIMIT, "").map_err(|failure| failure.to_string())?;
    if finished.success() {
        return Ok(());
    }
    let last = finished.stderr.lines().last().unwrap_or_default();
    Err(format!("`{}` {}: {last}", process::command_line(&command), finished.ending()))
}

fn is_root() -> bool {
    let id = process::run(Command::new("id").arg("-u"), Duration::from_secs(10), "");
    id.is_ok_and(|finished| finished.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_item_is_exit_code_5() {
        let item =
            |state| Item { name: "qemu".into(), purpose: String::new(), state, note: "install it".into() };
        let missing = Report { schema: 1, items: vec![item(State::Present), item(State::Missing)] };
        assert_eq!(missing.complete().unwrap_err().exit_code(), 5);
        assert!(Report { schema: 1, items: vec![item(State::Installed)] }.complete().is_ok());
    }

    #[test]
    fn a_check_lists_every_target_and_program() {
        let names: Vec<String> = run(true).unwrap().items.into_iter().map(|item| item.name).collect();
        assert!(names.iter().any(|name| name.contains("thumbv6m-none-eabi")));
        assert!(names.contains(&"qemu-system-arm".into()));
    }
}
