//! Held to what others need for the same work: at most these shares of the instructions, estimated cycles, code and arena
//! of TensorFlow Lite Micro with CMSIS-NN, and on AArch64 of tract's instructions, on every network and core for which the
//! figure is known; a plan hardly larger than its weights; and nothing more than 1 % worse than in the committed baseline,
//! on microcontroller cores.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use support::emulator_available;
use xtask::boards::Core;
use xtask::commands::bench::{self, Measurement, Options};
use xtask::console::Console;
use xtask::reference::REFERENCES;
use xtask::reference::peers::{Counts, Peer, peer};

const QUIET: Console = Console { json: false, quiet: true };

/// Largest share of the peer's instructions and of its cycles.
fn limits(core: Core, board: &str, network: &str) -> (f64, f64) {
    match (core, network) {
        // With dot product and without.
        (Core::Aarch64, _) => (if board == "aarch64-linux-a72" { 0.8 } else { 0.4 }, 1.0),
        (Core::CortexM0, "ad") => (0.6, 0.6),
        (Core::CortexM0, _) => (0.5, 0.5),
        (Core::CortexM3, "ad") => (0.65, 1.0),
        (Core::CortexM3, _) => (0.6, 1.0),
        (Core::CortexM55, _) => (0.8, 1.0),
        _ => (0.65, 0.65),
    }
}

fn measured(core: Core) -> Vec<Measurement> {
    let models = REFERENCES.iter().map(|reference| reference.name.into()).collect();
    // Counts of a Linux process differ by some percent with where its memory happens to lie.
    let against =
        (core != Core::Aarch64).then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json"));
    let report =
        bench::run(&Options { models, on: vec![core], against, ..Options::default() }, QUIET).unwrap();
    bench::missed(&report).unwrap();
    if let Some(comparison) = &report.against {
        assert_eq!(comparison.compared, report.results.len());
    }
    report.results
}

fn beats_the_peer(core: Core) {
    if !emulator_available(core) {
        return;
    }
    let results = measured(core);
    assert!(results.len() >= REFERENCES.len());
    for result in &results {
        let peer = peer(&result.model).unwrap();
        let at_most = |what: &str, found: f64, limit: f64| {
            assert!(
                found <= limit,
                "{} on {}: {what} is {found}, limit {limit:.0}",
                result.model,
                result.board
            );
        };
        if let Some(Counts { instructions, cycles }) = peer.counts(core) {
            let (share, cycle_share) = limits(core, &result.board, &result.model);
            at_most("instructions", result.instructions.unwrap(), share * instructions as f64);
            if let (Some(ours), Some(theirs)) = (result.cycles, cycles) {
                at_most("cycles", ours, cycle_share * theirs as f64);
            }
        }
        if core != Core::Aarch64 {
            at_most("arena", result.arena_bytes as f64, peer.arena_bytes as f64);
        }
        at_most("plan", result.plan_bytes as f64, plan_limit(result));
        if core == Core::CortexM4 {
            code_is_small(result, peer);
        }
    }
}

fn code_is_small(result: &Measurement, peer: &Peer) {
    let code = result.code_bytes.unwrap();
    assert!(
        3 * code <= peer.code_bytes,
        "{}: {code} bytes of code against {}",
        result.model,
        peer.code_bytes
    );
}

/// 1.1 times weights, 4 bytes a bias and 12 a channel, and 2 KiB.
fn plan_limit(result: &Measurement) -> f64 {
    static CHANNELS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    // Quantized once for the tests of all cores.
    let mut known = CHANNELS.lock().unwrap_or_else(PoisonError::into_inner);
    let channels = *known.entry(result.model.clone()).or_insert_with(|| {
        let network = xtask::reference::network(&result.model, &QUIET.progress("")).unwrap();
        network.ops.iter().map(|op| op.kind.channels().len()).sum()
    });
    1.1 * (result.weights_bytes + 16 * channels) as f64 + 2048.0
}

macro_rules! cores {
    ($($test:ident = $core:ident),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                beats_the_peer(Core::$core);
            }
        )*
    };
}

cores!(
    cortex_m0_beats_the_peer = CortexM0,
    cortex_m3_beats_the_peer = CortexM3,
    cortex_m4_beats_the_peer = CortexM4,
    cortex_m7_beats_the_peer = CortexM7,
    cortex_m33_beats_the_peer = CortexM33,
    cortex_m55_beats_the_peer = CortexM55,
    aarch64_beats_the_peer = Aarch64,
);
