//! `cargo xtask test`: every test there is, the emulated ones included.

use std::process::Command;

use still8_validation::{Failure, Result};

use crate::boards::{self, root};
use crate::commands::setup;
use crate::console::Console;
use crate::emulator::{Std, find_std};
use crate::process;

/// A step: what it is, and its command.
struct Step {
    what: &'static str,
    command: Command,
}

/// Sets up what is missing, then runs every step and reports all that failed.
///
/// # Errors
/// [`Failure::Missing`] where the set-up is incomplete, [`Failure::Missed`] names the steps that failed.
pub fn run(console: Console) -> Result<()> {
    let tools = setup::run(false)?;
    console.say(setup::render(&tools));
    tools.complete()?;
    let mut failed = Vec::new();
    for mut step in steps()? {
        console.say(format!("\n== {}: {}", step.what, process::command_line(&step.command)));
        match step.command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => failed.push(format!("{} ({status})", step.what)),
            Err(error) => failed.push(format!("{} ({error})", step.what)),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Missed(format!("{} of the test steps failed: {}", failed.len(), failed.join(", "))))
}

fn cargo(folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root().join(folder)).args(arguments);
    command
}

/// The steps, the workspace's tests last, so that the runner's closing lines are the last ones printed.
fn steps() -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut doc = cargo(".", &["doc", "--quiet", "--no-deps", "--workspace"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    steps.push(Step { what: "documentation", command: doc });
    steps.push(Step { what: "firmware formatting", command: cargo("firmware", &["fmt", "--check"]) });
    for (target, board) in [("thumbv7em-none-eabihf", "mps2-an386"), ("thumbv6m-none-eabi", "microbit")] {
        let mut clippy = find_std(target)?.cargo(target);
        clippy.current_dir(root().join("firmware")).args([
            "clippy",
            "--quiet",
            "--release",
            "--bin",
            "runner",
            "--bin",
            "selftest",
        ]);
        clippy.args(["--no-default-features", "--features", "semihosting,selftest", "--target", target]);
        clippy.arg("--target-dir").arg(root().join("target/firmware/clippy")).env("STILL8_BOARD", board);
        clippy.args(["--", "-Dwarnings"]);
        steps.push(Step { what: "firmware lints", command: clippy });
    }
    let mut builds: Vec<(String, &str)> = Vec::new();
    for board in boards::load()? {
        for core in ["portable", board.core.name()] {
            let build = (board.target.clone(), core);
            if !builds.contains(&build) {
                builds.push(build);
            }
        }
    }
    for (target, core) in builds {
        // The runtime alone, as a stranger's dependency, for every target that still8 names and each choice of kernels.
        let mut build = find_std(&target)?.cargo(&target);
        build.current_dir(root()).args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "still8",
            "--target",
            &target,
        ]);
        build.env("STILL8_CORE", core);
        steps.push(Step { what: "the runtime for a target", command: build });
    }
    for target in ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"] {
        let mut build = find_std(target)?.cargo(target);
        let family = if target.starts_with("thumbv7em") { "dsp" } else { "scalar" };
        build.current_dir(root().join("tests/downstream")).args([
            "build",
            "--quiet",
            "--release",
            "--target",
            target,
        ]);
        build.env("STILL8_PLAN", root().join(format!("tests/corpus/format-3/convnet.{family}.s8")));
        steps.push(Step { what: "a stranger's firmware crate", command: build });
    }
    steps.extend(miri());
    steps.extend(address_sanitizer());
    steps.extend(neon());
    steps.push(Step {
        what: "documentation examples",
        command: cargo(".", &["test", "--workspace", "--doc"]),
    });
    let mut tests = cargo(".", &["test", "--workspace", "--lib", "--bins", "--tests"]);
    tests.env("STILL8_REQUIRE_EMULATOR", "1");
    steps.push(Step { what: "tests", command: tests });
    Ok(steps)
}

/// The tests that hold kernels to the portable ones, under Miri, which knows what a pointer may be used for: few and
/// small cases, a few minutes. Needs a nightly compiler with Miri; without one the step is left out, and that is said.
fn miri() -> Option<Step> {
    // Its first call builds a standard library from the sources of the component rust-src.
    if !nightly_answers(&["cargo", "miri", "setup", "--print-sysroot"], "") {
        println!("SKIPPED: Miri (no nightly compiler with the components miri and rust-src)");
        return None;
    }
    let mut command = nightly(&["cargo", "miri", "test", "--quiet", "-p", "still8", "--lib"]);
    command.args(["--target-dir", "target/miri", "--", "kernels::"]);
    // Property tests look for the folder that they run in.
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation");
    Some(Step { what: "the kernels under Miri", command })
}

/// The runtime's tests with every access checked: the kernels' `unsafe` code runs on the host over models of its
/// instructions. Needs a nightly compiler; without one the step is left out, and that is said.
fn address_sanitizer() -> Option<Step> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    if !nightly_answers(&["rustc", "--version", "--verbose"], TARGET) {
        println!("SKIPPED: AddressSanitizer (no nightly compiler for {TARGET})");
        return None;
    }
    let mut command = nightly(&["cargo", "test", "--quiet", "-p", "still8", "--lib"]);
    command
        .args(["--target", TARGET, "--target-dir", "target/sanitizer"])
        .env("RUSTFLAGS", "-Zsanitizer=address");
    Some(Step { what: "the runtime under AddressSanitizer", command })
}

/// A command of the nightly toolchain, whatever toolchain this one runs in.
fn nightly(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(root()).args(["run", "nightly"]).args(arguments);
    command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Whether a command of the nightly toolchain ends well and says `word`.
fn nightly_answers(arguments: &[&str], word: &str) -> bool {
    let found = process::run(&mut nightly(arguments), std::time::Duration::from_secs(600), "");
    found.is_ok_and(|found| found.success() && found.text().contains(word))
}

/// The NEON kernels' tests on the instructions themselves, on a core without and on one with dot product. Needs an
/// installed standard library, a linker and the emulator; without one of them the steps are left out, and that is said.
fn neon() -> Vec<Step> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    const LINKER: &str = "aarch64-linux-gnu-gcc";
    let missing = [LINKER, "qemu-aarch64"].into_iter().find(|program| process::find(program).is_none());
    // A standard library from sources has no test harness.
    let missing = missing.or((find_std(TARGET).ok() != Some(Std::Installed)).then_some("a standard library"));
    if let Some(missing) = missing {
        println!("SKIPPED: the NEON kernels on emulated cores (no {missing} for {TARGET})");
        return Vec::new();
    }
    let step = |cpu: &str| {
        let mut command =
            cargo(".", &["test", "--quiet", "-p", "still8", "--target", TARGET, "--lib", "neon"]);
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
        let runner = format!("qemu-aarch64 -cpu {cpu} -L /usr/aarch64-linux-gnu");
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        Step { what: "the NEON kernels on an emulated core", command }
    };
    ["cortex-a72", "max"].map(step).into()
}
