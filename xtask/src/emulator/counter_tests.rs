//! The counter against sequences of known length and cost (`firmware/src/sequences.rs`).

use still8_validation::Failure;

use super::{Count, count_sequences};
use crate::boards;

/// A sequence: name, instructions, and cycles on M0+, M3 and M4 by their manuals' tables (sources in
/// `xtask/plugin/src/timing.rs`); 0 where the core has no such instruction.
///
/// Terms stand in the order of the instructions. On M3 and M4 a taken branch is 1 + P = 3, a return by `POP` of n words
/// 1 + n + P; on M0+ a taken branch is 2, `BL` 3, `BX` 2, a return by `POP` 3 + n.
const SEQUENCES: [(&str, u64, [u64; 3]); 22] = [
    ("empty", 0, [0, 0, 0]),
    ("data_processing", 4, [4, 4, 4]),
    // Four loads in a row: the first 2, the others 1 where loads are pipelined.
    ("loads", 4, [2 * 4, 2 + 1 + 1 + 1, 2 + 1 + 1 + 1]),
    ("loads_apart", 4, [2 + 1 + 2 + 1, 2 + 1 + 2 + 1, 2 + 1 + 2 + 1]),
    ("stores_and_loads", 3, [2 * 3, 1 + 1 + 1, 1 + 1 + 1]),
    // 1 + N each, and a subtraction.
    ("multiples", 3, [5 + 1 + 5, 5 + 1 + 5, 5 + 1 + 5]),
    ("stack", 2, [4 + 4, 4 + 4, 4 + 4]),
    ("multiply", 3, [1 + 1 + 1, 1 + 1 + 1, 1 + 1 + 1]),
    ("branch", 1, [2, 3, 3]),
    ("branch_not_taken", 4, [1 + 1 + 1 + 1, 1 + 1 + 1 + 1, 1 + 1 + 1 + 1]),
    ("branch_taken", 3, [1 + 1 + 2, 1 + 1 + 3, 1 + 1 + 3]),
    // 100 · 2⁸ turns of two instructions, the last branch not taken.
    (
        "counted_loop",
        2 + 2 * 25_600,
        [2 + 25_600 + 25_599 * 2 + 1, 2 + 25_600 + 25_599 * 3 + 1, 2 + 25_600 + 25_599 * 3 + 1],
    ),
    // BL, BX, B.
    ("call", 3, [3 + 2 + 2, 3 + 3 + 3, 3 + 3 + 3]),
    // BL, PUSH of 2, POP of 2 with the program counter, B.
    ("return_by_pop", 4, [3 + 3 + 5 + 2, 3 + 3 + 5 + 3, 3 + 3 + 5 + 3]),
    // MLA and MLS take 2 on M3.
    ("accumulate", 3, [0, 1 + 2 + 2, 1 + 1 + 1]),
    // UMULL 3 to 5 and SMLAL 4 to 7 on M3.
    ("long_multiply", 3, [0, 1 + 4 + 6, 1 + 1 + 1]),
    // 2 to 12.
    ("divide", 3, [0, 1 + 1 + 7, 1 + 1 + 7]),
    ("doubles", 2, [0, 3 + 3, 3 + 3]),
    // CBZ taken, CBNZ not.
    ("compare_and_branch", 4, [0, 1 + 3 + 1 + 1, 1 + 3 + 1 + 1]),
    ("if_then", 4, [0, 4, 4]),
    // 2 + P.
    ("table_branch", 2, [0, 1 + 4, 1 + 4]),
    ("dual_multiply", 4, [0, 0, 4]),
];

fn counts_every_sequence(board: &str, column: usize) {
    let board = boards::find(board).unwrap();
    let found = match count_sequences(&board) {
        Err(Failure::Missing(what)) => {
            eprintln!("skipped: {what}");
            return;
        }
        found => found.unwrap(),
    };
    let expected: Vec<(String, Count)> = SEQUENCES
        .into_iter()
        .filter(|(name, _, cycles)| cycles[column] > 0 || *name == "empty")
        .map(|(name, instructions, cycles)| {
            (name.to_owned(), Count { instructions, cycles: Some(cycles[column]) })
        })
        .collect();
    assert_eq!(found, expected, "{}", board.name);
}

#[test]
fn cortex_m0() {
    counts_every_sequence("microbit", 0);
}

#[test]
fn cortex_m3() {
    counts_every_sequence("mps2-an385", 1);
}

#[test]
fn cortex_m4() {
    counts_every_sequence("mps2-an386", 2);
}

/// Cores without a published table count the same instructions, and no cycles.
#[test]
fn cores_without_timing() {
    for name in ["mps2-an500", "mps2-an505", "mps3-an547"] {
        let board = boards::find(name).unwrap();
        let found = match count_sequences(&board) {
            Err(Failure::Missing(what)) => {
                eprintln!("skipped: {what}");
                return;
            }
            found => found.unwrap(),
        };
        let dsp = board.target.starts_with("thumbv7em");
        let expected: Vec<(String, Count)> = SEQUENCES
            .into_iter()
            .filter(|(name, ..)| dsp || *name != "dual_multiply")
            .map(|(name, instructions, _)| (name.to_owned(), Count { instructions, cycles: None }))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}
