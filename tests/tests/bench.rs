//! What `bench` counts: against the committed baseline, against the emulated clock, and against the boards' own
//! counters.
//!
//! The baseline `tests/baseline.json` is a report of `cargo xtask bench --json`. After a change that is meant to cost
//! something, write it again; after one that saves something as well, so that the saving is kept.

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::emulator_available;
use xtask::boards::{self, Core};
use xtask::commands::bench::{self, Measurement, Options};
use xtask::commands::quantize::quantize_model;
use xtask::console::Console;
use xtask::emit::emit;
use xtask::emulator;

const QUIET: Console = Console { json: false, quiet: true };

/// What counts of the same work may differ by.
const TOLERANCE: f64 = 0.005;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn measured(options: Options) -> Vec<Measurement> {
    bench::run(&options, QUIET).unwrap().results
}

#[test]
fn no_model_is_worse_than_the_baseline() {
    if !emulator_available(Core::CortexM4) {
        return;
    }
    let against = Some(root().join("tests/baseline.json"));
    let report = bench::run(&Options { against, ..Options::default() }, QUIET).unwrap();
    bench::missed(&report).unwrap();
    let comparison = report.against.as_ref().unwrap();
    assert_eq!(comparison.compared, report.results.len(), "{comparison}");

    let json = serde_json::to_value(&report).unwrap();
    let result = &json["results"][0];
    let fields = "model on board family kernels counter instructions cycles macs code_bytes weights_bytes plan_bytes \
                  arena_bytes static_bytes stack_bytes ops";
    for field in fields.split_whitespace() {
        assert!(result.get(field).is_some_and(|value| !value.is_null()), "{field}: {result:#}");
    }
    let total: u64 = result["ops"].as_array().unwrap().iter().filter_map(|op| op["cycles"].as_u64()).sum();
    assert_eq!(result["cycles"].as_f64(), Some(total as f64));
}

/// The sum over the ops, which the plugin counts between marks, against SysTick around the whole inference.
#[test]
fn the_counter_agrees_with_the_clock() {
    let network = quantize_model(&root().join("models/motion"), QUIET).unwrap().network;
    let input = &network.golden.as_ref().unwrap().input;
    for core in [Core::CortexM0, Core::CortexM3, Core::CortexM4] {
        if !emulator_available(core) {
            continue;
        }
        let plan = emulator::temporary_plan(&emit(&network, core.family()).unwrap().bytes).unwrap();
        let count = |by_plugin| {
            let report = emulator::run_plan(core, plan.path(), input, by_plugin).unwrap();
            report.instructions_per_sample.unwrap()
        };
        let (clock, plugin) = (count(false), count(true));
        assert!(
            (plugin / clock - 1.0).abs() < TOLERANCE,
            "{core}: {clock} by the clock, {plugin} by the plugin"
        );
    }
}

/// The image that times a plan on a board, in the boards' emulators: their counters count instructions there.
#[test]
fn a_boards_own_counter_agrees_with_the_plugin() {
    let models = vec![root().join("models/motion")];
    for (board, counter) in [("mps2-an386", "systick"), ("microbit", "timer"), ("mps2-an500", "systick")] {
        let core = boards::find(board).unwrap().core;
        if !emulator_available(core) {
            continue;
        }
        let on_board =
            measured(Options { models: models.clone(), board: Some(board.to_owned()), ..Options::default() });
        let by_plugin = measured(Options { models: models.clone(), on: vec![core], ..Options::default() });
        let (on_board, by_plugin) = (&on_board[0], &by_plugin[0]);
        assert_eq!((on_board.counter, by_plugin.counter), (counter, "plugin"));
        assert_eq!(on_board.kernels, by_plugin.kernels);
        let (timed, counted) = (on_board.instructions.unwrap(), by_plugin.instructions.unwrap());
        assert!((timed / counted - 1.0).abs() < TOLERANCE, "{board}: {timed} timed, {counted} counted");
        for (timed, counted) in on_board.ops.iter().zip(&by_plugin.ops) {
            let (timed, counted) = (timed.instructions.unwrap(), counted.instructions.unwrap());
            let difference = timed.abs_diff(counted);
            assert!(difference <= 8 + counted / 200, "{board}: {timed} timed, {counted} counted");
        }
    }
}

/// Both Linux machines count, and their instructions are told apart by board.
#[test]
fn linux_machines_count_without_cycles() {
    if !emulator_available(Core::Aarch64) {
        return;
    }
    let models = vec![root().join("models/motion")];
    let results = measured(Options { models, on: vec![Core::Aarch64], ..Options::default() });
    let boards: Vec<&str> = results.iter().map(|result| result.board.as_str()).collect();
    assert_eq!(boards, ["aarch64-linux", "aarch64-linux-a72"]);
    for result in &results {
        assert!(result.instructions.is_some_and(|count| count > result.macs as f64 / 32.0));
        assert_eq!((result.cycles, result.code_bytes), (None, None));
        assert!(serde_json::to_value(result).is_ok_and(|json| json["cycles"] == Value::Null));
    }
}
