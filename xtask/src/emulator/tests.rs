//! Every emulated machine computes what the host computes, and counts instructions exactly.

use still8::format::{ChannelRecord, DataRef, Family, FullyConnectedParams};
use still8::{Align16, Session, requantize};
use still8_validation::{Failure, Result};

use super::*;
use crate::boards::{self, Board, Core};
use crate::emit::emit;
use crate::network::{Bits, Golden, Kind, Network, Op, Port, Tensor};

const INPUTS: usize = 37;
const OUTPUTS: usize = 10;
const SAMPLES: usize = 3;

/// Numbers that look random, the same on every machine.
fn numbers(seed: u32) -> impl Iterator<Item = i8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 16) as i8).max(-127)
    })
}

/// One fully connected layer, and a table behind it.
fn network() -> Network {
    let empty = DataRef { offset: 0, bytes: 0 };
    let channel = |bias: i8| ChannelRecord {
        bias: i32::from(bias) * 50,
        multiplier: (1 << 30) + i32::from(bias) * 1000 + 200_000,
        offset: requantize::offset(3, 9),
        shift: 9,
        left: 0,
        reserved: 0,
    };
    let tensor = |len, zero_point| Tensor::int8([1, 1, 1, len], 0.1, zero_point);
    let port = |name: &str, len, tensor| Port {
        name: name.into(),
        shape: vec![1, len],
        permutation: vec![0, 1],
        tensor,
    };
    let fully_connected = Kind::FullyConnected {
        bits: Bits::Eight,
        params: FullyConnectedParams {
            weights: empty,
            channels: empty,
            activation_min: -128,
            activation_max: 127,
            reserved: 0,
        },
        weights: numbers(1).take(INPUTS * OUTPUTS).collect(),
        channels: numbers(2).take(OUTPUTS).map(channel).collect(),
    };
    let table = Kind::Table { table: (0..256).map(|i| (i / 2) as i8).collect() };
    Network {
        name: "tiny".into(),
        tensors: vec![tensor(INPUTS, 0), tensor(OUTPUTS, 3), tensor(OUTPUTS, 3)],
        ops: vec![
            Op { name: "dense".into(), kind: fully_connected, inputs: vec![0], output: 1 },
            Op { name: "squash".into(), kind: table, inputs: vec![1], output: 2 },
        ],
        inputs: vec![port("x", INPUTS, 0)],
        outputs: vec![port("y", OUTPUTS, 2)],
        ..Network::default()
    }
}

/// The network's plan in a file, with a golden self-test, and samples with the host's outputs.
struct Case {
    plan: tempfile::NamedTempFile,
    inputs: Vec<i8>,
    outputs: Vec<i8>,
}

fn case(family: Family, change: impl FnOnce(&mut Network)) -> Case {
    let mut network = network();
    let inputs: Vec<i8> = numbers(3).take(INPUTS * SAMPLES).collect();
    let runs: Vec<Golden> = inputs.chunks(INPUTS).map(|input| run_on_host(&network, input)).collect();
    let outputs = runs.iter().flat_map(|run| run.output.clone()).collect();
    network.golden = runs.into_iter().next();
    change(&mut network);
    Case { plan: write_plan(&network, family), inputs, outputs }
}

fn write_plan(network: &Network, family: Family) -> tempfile::NamedTempFile {
    let plan = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(plan.path(), emit(network, family).unwrap().bytes).unwrap();
    plan
}

fn run_on_host(network: &Network, input: &[i8]) -> Golden {
    let file = write_plan(network, Family::Portable);
    let file = PlanFile::read(file.path()).unwrap();
    let plan = file.plan();
    let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
    let mut session = Session::new(&plan, &mut arena).unwrap();
    session.input(0).unwrap().copy_from_slice(input);
    let mut op_crcs = Vec::new();
    session.run_observed(|_, output| op_crcs.push(still8::crc32::crc32(bytemuck::cast_slice(output))));
    Golden { input: input.to_vec(), output: session.output(0).unwrap().to_vec(), op_crcs }
}

/// `None`, with a word on it, where this machine has no emulator or compiler for the board.
fn available<T>(result: Result<T>) -> Option<T> {
    match result {
        Err(Failure::Missing(what)) => {
            eprintln!("skipped: {what}");
            None
        }
        result => Some(result.unwrap()),
    }
}

fn equals_the_host(board: &Board) {
    let case = case(board.core.family(), |_| ());
    let Some(report) = available(run_on(board, case.plan.path(), &case.inputs, false)) else {
        return;
    };
    assert_eq!(report.outputs, case.outputs);
    assert_eq!((report.samples, report.self_test.as_str()), (SAMPLES, "passed"));
    assert!(report.kernels.starts_with(board.core.family().name()), "{}", report.kernels);
    assert!(report.log.iter().any(|line| line == "golden: PASS"), "{:?}", report.log);
    assert!(report.ops.is_empty());
    let counted = run_on(board, case.plan.path(), &case.inputs, true).unwrap();
    assert_eq!(counted.outputs, case.outputs);
    assert_eq!(counted.ops.len(), 2);
    assert!(counted.ops.iter().all(|op| op.instructions > 50), "{:?}", counted.ops);
    let timed = matches!(board.core, Core::CortexM0 | Core::CortexM3 | Core::CortexM4);
    assert_eq!(counted.cycles_per_sample.is_some(), timed);
    if board.memory.is_none() {
        return;
    }
    // A call and a return, and what the clock resolves, are not in both.
    let (clock, sum) = (report.instructions_per_sample.unwrap(), counted.instructions_per_sample.unwrap());
    assert!((clock - sum).abs() < 20.0 + 0.001 * clock, "{clock} by the clock, {sum} by the counter");
    assert!(report.stack_bytes.unwrap() >= 64 && report.static_bytes.unwrap() > 0);
}

fn counts_a_known_loop(board: &Board) {
    // The second one needs more than the 24 bits of SysTick.
    for iterations in [10_000u32, 15_000_000] {
        let Some(counted) = available(count_loop(board, iterations)) else {
            return;
        };
        let error = counted / (2.0 * f64::from(iterations)) - 1.0;
        assert!(error.abs() < 0.01, "{}: {counted} for {iterations} iterations", board.name);
    }
}

macro_rules! emulated_boards {
    ($($test:ident = $board:literal),*) => {$(
        #[test]
        fn $test() {
            let board = boards::find($board).unwrap();
            equals_the_host(&board);
            if board.memory.is_some() {
                counts_a_known_loop(&board);
            }
        }
    )*

        #[test]
        fn every_emulated_board_is_tested() {
            let tested = [$($board),*];
            let emulated = boards::load().unwrap().into_iter().filter(Board::is_emulated);
            assert_eq!(emulated.map(|board| board.name).collect::<Vec<_>>(), tested);
        }
    };
}

emulated_boards!(
    microbit = "microbit",
    mps2_an385_m0 = "mps2-an385-m0",
    mps2_an385 = "mps2-an385",
    mps2_an386 = "mps2-an386",
    netduinoplus2 = "netduinoplus2",
    mps2_an500 = "mps2-an500",
    mps2_an505 = "mps2-an505",
    mps3_an547 = "mps3-an547",
    aarch64_linux = "aarch64-linux",
    aarch64_linux_a72 = "aarch64-linux-a72"
);

#[test]
fn a_large_arena_moves_cortex_m0_to_the_larger_board() {
    let case = case(Family::Portable, |network| {
        // A graph output of its own that nothing else uses makes the arena large.
        network.golden = None;
        let wide = Tensor::int8([1, 1, 1, 20_000], 0.1, 0);
        network.tensors.push(wide);
        network.inputs.push(Port {
            name: "wide".into(),
            shape: vec![20_000],
            permutation: vec![0],
            tensor: 3,
        });
    });
    let inputs = vec![1; INPUTS + 20_000];
    let Some(report) = available(run_plan(Core::CortexM0, case.plan.path(), &inputs, false)) else {
        return;
    };
    assert_eq!(report.board, "mps2-an385-m0");
    let microbit = boards::find("microbit").unwrap();
    let error = run_on(&microbit, case.plan.path(), &inputs, false).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    assert!(error.to_string().contains("too few"), "{error}");
}

#[test]
fn wrong_self_test_names_the_op() {
    let case = case(Family::Dsp, |network| {
        if let Some(golden) = &mut network.golden {
            golden.op_crcs[1] ^= 1;
        }
    });
    let Some(report) = available(run_plan(Core::CortexM4, case.plan.path(), &[], false)) else {
        return;
    };
    assert!(report.log.iter().any(|line| line == "golden: FAIL at op 1 (squash)"), "{:?}", report.log);
    assert_eq!((report.samples, report.instructions_per_sample), (0, None));
}

#[test]
fn another_family_and_a_partial_sample_are_refused() {
    let case = case(Family::Portable, |_| ());
    let Some(error) = refused(run_plan(Core::CortexM4, case.plan.path(), &case.inputs, false)) else {
        return;
    };
    assert!(error.contains("portable") && error.contains("--family dsp"), "{error}");
    let Some(error) = refused(run_plan(Core::CortexM3, case.plan.path(), &case.inputs[1..], false)) else {
        return;
    };
    assert!(error.contains("whole number of samples"), "{error}");
}

fn refused(result: Result<RunReport>) -> Option<String> {
    match result {
        Err(Failure::Missing(_)) => None,
        result => Some(result.unwrap_err().to_string()),
    }
}

#[test]
fn an_application_classifies_its_golden_input() {
    for name in ["mps2-an386", "microbit"] {
        let board = boards::find(name).unwrap();
        let case = case(board.core.family(), |_| ());
        let Some(log) = available(crate::commands::flash::emulate(&board, case.plan.path())) else {
            return;
        };
        assert!(log.iter().any(|line| line == "golden: PASS"), "{log:?}");
        assert!(log.iter().any(|line| line.starts_with("1: class ")), "{log:?}");
        let elf = build(&board, Image::App(case.plan.path())).unwrap();
        let plan_bytes = case.plan.path().metadata().unwrap().len();
        let size = size(&elf).unwrap();
        assert!(size.rodata > plan_bytes && size.text > 4000 && size.bss > 0, "{size:?}");
        assert_eq!(size.code_bytes(plan_bytes) + plan_bytes, size.flash_bytes());
    }
}

/// The plan of a shipped or written card says what its model does.
#[test]
fn an_application_shows_quantities_where_the_card_says_so() {
    let board = boards::find("mps2-an386").unwrap();
    let case = case(board.core.family(), |_| ());
    let bytes = std::fs::read(case.plan.path()).unwrap();
    let with_card = crate::card::file::append(&bytes, "schema = 1\ntask = \"regression\"\n");
    std::fs::write(case.plan.path(), with_card).unwrap();
    let Some(log) = available(crate::commands::flash::emulate(&board, case.plan.path())) else { return };
    let quantization = PlanFile::read(case.plan.path()).unwrap().plan().output(0).unwrap().quantization;
    for (i, &q) in case.outputs[..OUTPUTS].iter().enumerate() {
        let prefix = format!("quantity {i}: ");
        let line =
            log.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("{log:?}"));
        let (value, int8) = line.split_once(" (int8 ").unwrap();
        let value: f32 = value.parse().unwrap();
        assert!((value - quantization.dequantize(q)).abs() < 1e-3 && int8 == format!("{q})"), "{line}");
    }
    assert!(!log.iter().any(|line| line.contains("class")), "{log:?}");
    let leds = crate::commands::flash::emulate_silently(&board, case.plan.path()).unwrap();
    assert_eq!(leds, Leds { blinks: 1, expected: 1, stays_on: false });
}

#[test]
fn an_application_scores_what_an_anomaly_model_gives_back() {
    let board = boards::find("mps2-an386").unwrap();
    let plan = crate::commands::flash::plan_for(&boards::root().join("models/anomaly"), &board).unwrap();
    let Some(log) = available(crate::commands::flash::emulate(&board, &plan)) else { return };
    let file = PlanFile::read(&plan).unwrap();
    let plan = file.plan();
    let (golden, from, to) = (plan.golden().unwrap(), plan.input(0).unwrap(), plan.output(0).unwrap());
    let squares = golden.input().zip(golden.output.iter()).map(|(x, &y)| {
        let difference = from.quantization.dequantize(x) - to.quantization.dequantize(y);
        difference * difference
    });
    let expected = squares.sum::<f32>() / golden.output.len() as f32;
    let score = log.iter().find_map(|line| line.strip_prefix("score ")).unwrap_or_else(|| panic!("{log:?}"));
    assert!((score.parse::<f32>().unwrap() / expected - 1.0).abs() < 1e-4, "{score}, {expected}");
}

#[test]
fn an_application_without_a_log_blinks_its_class() {
    let board = boards::find("mps2-an386").unwrap();
    let case = case(board.core.family(), |_| ());
    let Some(leds) = available(crate::commands::flash::emulate_silently(&board, case.plan.path())) else {
        return;
    };
    let golden = &case.outputs[..OUTPUTS];
    let best = (0..OUTPUTS).rev().max_by_key(|&class| golden[class]).unwrap();
    assert_eq!(leds, Leds { blinks: best + 1, expected: best + 1, stays_on: false });
    let sizes = [Image::App(case.plan.path()), Image::SilentApp(case.plan.path())]
        .map(|image| size(&build(&board, image).unwrap()).unwrap().flash_bytes());
    assert!(sizes[1] + 3000 < sizes[0], "{sizes:?}");
}

#[test]
fn an_application_without_a_log_shows_a_failed_self_test() {
    let board = boards::find("mps2-an386").unwrap();
    let case = case(board.core.family(), |network| {
        if let Some(golden) = &mut network.golden {
            golden.op_crcs[1] ^= 1;
        }
    });
    match crate::commands::flash::emulate_silently(&board, case.plan.path()) {
        Err(Failure::Missing(what)) => eprintln!("skipped: {what}"),
        Err(Failure::Missed(text)) => assert!(text.contains("its LED stays on"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_that_exceeds_flash_says_by_how_much() {
    let board = boards::find("microbit").unwrap();
    let case = case(Family::Portable, |network| network.lineage = Some("#".repeat(250_000)));
    let Some(error) = refused_app(&board, case.plan.path()) else {
        return;
    };
    assert!(error.contains("exceed the flash (262144 bytes) by"), "{error}");
}

fn refused_app(board: &Board, plan: &std::path::Path) -> Option<String> {
    match build(board, Image::App(plan)) {
        Err(Failure::Missing(_)) => None,
        result => Some(result.unwrap_err().to_string()),
    }
}
