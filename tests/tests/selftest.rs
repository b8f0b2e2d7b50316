//! Every kernel of every core against the portable one, on the emulated core itself: thousands of random cases.
//!
//! `STILL8_SEED=N` draws others than the usual ones.

mod support;

use std::io::Write;

use support::emulator_available;
use xtask::boards::{self, Board, Core, Run};
use xtask::emulator;

/// Some seconds on an emulated core.
const CASES: u32 = 8000;

fn seed() -> u64 {
    let given = std::env::var("STILL8_SEED").ok();
    given.map_or(1, |text| text.parse().expect("STILL8_SEED is a number"))
}

fn passes(board: &Board) {
    if !emulator_available(board.core) {
        return;
    }
    let log = emulator::self_test(board, seed(), 0, CASES).unwrap_or_else(|failure| panic!("{failure}"));
    let boot = format!("on {}, {} kernels", board.name, board.core.family().name());
    assert!(log[0].ends_with(&boot), "{log:?}");
    // The dot-product kernels run where the core has the instructions, and nowhere else.
    let has_dot_product = matches!(&board.run, Run::QemuUser { cpu } if cpu == "max");
    assert_eq!(log.iter().any(|line| line == "dot-product kernels:"), has_dot_product, "{log:?}");
    let result = log.last().unwrap();
    assert!(result.starts_with(&format!("selftest: PASS, {CASES} cases")), "{result}");
    // Differences in bytes at the bounds would be hidden.
    let numbers: Vec<u64> = result.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[2] * 2 > numbers[1], "{result}");
    let _ = writeln!(std::io::stderr(), "{}: {result}", board.name);
}

macro_rules! boards {
    ($($test:ident = $board:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                passes(&boards::find($board).unwrap());
            }
        )*

        #[test]
        fn every_core_is_tested() {
            let tested = [$($board),*].map(|name| boards::find(name).unwrap().core);
            assert!(Core::ALL.iter().all(|core| tested.contains(core)));
        }
    };
}

boards!(
    cortex_m0_equals_portable = "microbit",
    cortex_m0_code_on_a_larger_board_equals_portable = "mps2-an385-m0",
    cortex_m3_equals_portable = "mps2-an385",
    cortex_m4_equals_portable = "mps2-an386",
    cortex_m7_equals_portable = "mps2-an500",
    cortex_m33_equals_portable = "mps2-an505",
    cortex_m55_equals_portable = "mps3-an547",
    aarch64_equals_portable = "aarch64-linux",
);

/// A core without the dot-product instructions.
#[test]
fn aarch64_without_dot_product_equals_portable() {
    let mut board = boards::find("aarch64-linux").unwrap();
    board.run = Run::QemuUser { cpu: "cortex-a72".into() };
    passes(&board);
}
