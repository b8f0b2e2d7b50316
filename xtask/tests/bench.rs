//! `bench` at its edges: reports to compare with, and boards to time on.

// Other tests use the rest of it.
#[allow(dead_code)]
#[path = "support/command.rs"]
mod command;

use command::{DATA, Desk, MISSED, USAGE, text};
use xtask::boards::Core;
use xtask::emulator::find_std;
use xtask::process;

const MISSING: i32 = 5;

/// Whether images for the core can be built and, where asked for, run; says so where not.
fn available(core: Core, emulator: bool) -> bool {
    let board = xtask::boards::emulated(core).unwrap().remove(0);
    let there = find_std(&board.target).is_ok() && (!emulator || process::find("qemu-system-arm").is_some());
    if !there {
        eprintln!("SKIPPED: {core} cannot be built or emulated, see `cargo xtask setup`");
    }
    there
}

#[test]
fn what_is_no_report_is_refused_before_anything_is_measured() {
    let desk = Desk::new();
    let plan = desk.plan();
    desk.write("report.json", "{\"schema\": 1}");
    for (file, words) in [
        ("absent.json", ["absent.json", "cannot be read"]),
        (text(&plan), ["net.s8", "no report of `bench --json`"]),
        ("report.json", ["report.json", "results"]),
    ] {
        desk.run(&["bench", "net.s8", "--against", file]).failed(DATA, &words);
    }
}

#[test]
fn boards_that_cannot_time_are_usage_errors() {
    let desk = Desk::new();
    desk.plan();
    desk.run(&["bench", "net.s8", "--board", "arduino"]).failed(USAGE, &["`arduino`", "stm32f405"]);
    desk.run(&["bench", "net.s8", "--board", "aarch64-linux"]).failed(USAGE, &["--on aarch64"]);
    for other in [&["--on", "cortex-m4"][..], &["--portable"], &["--against", "net.s8"]] {
        let arguments = [&["bench", "net.s8", "--board", "microbit"], other].concat();
        desk.run(&arguments).failed(USAGE, &["--board", other[0]]);
    }
}

/// Builds firmware, which takes up to a minute in a cold target folder.
#[test]
fn a_real_board_asks_for_probe_rs() {
    if process::find("probe-rs").is_some() || !available(Core::CortexM0, false) {
        eprintln!("SKIPPED: bench without probe-rs");
        return;
    }
    let desk = Desk::new();
    desk.plan();
    desk.run(&["bench", "net.s8", "--board", "microbit-v1"])
        .failed(MISSING, &["`probe-rs` is not installed", "microbit-v1"]);
}

#[test]
fn a_report_passes_against_itself_and_fails_against_a_better_one() {
    if !available(Core::CortexM4, true) {
        return;
    }
    let desk = Desk::new();
    desk.plan();
    let first = desk.run(&["bench", "net.s8", "--json"]).done();
    desk.write("before.json", &first.stdout);
    let again = desk.run(&["bench", "net.s8", "--json", "--against", "before.json"]).done().json();
    assert_eq!(again["against"]["compared"], 1);
    assert_eq!(again["results"], first.json()["results"]);

    let mut better = first.json();
    let cycles = better["results"][0]["cycles"].as_f64().unwrap();
    better["results"][0]["cycles"] = (0.98 * cycles).into();
    desk.write("better.json", better.to_string());
    let ended = desk.run(&["bench", "net.s8", "--against", "better.json"]);
    let after = format!("-> {cycles:.0} (+2.0 %)");
    ended.failed(MISSED, &["on cortex-m4, dsp kernels: cycles", &after]);
}
