//! Every emulated core computes what the host computes, byte for byte: a few hundred random ops in one plan.
//!
//! `STILL8_SEED=N` draws others than the usual ones.

mod support;

#[path = "support/random_network.rs"]
mod random_network;

use std::sync::OnceLock;

use random_network::Random;
use still8::format::{Family, OpCode};
use still8_validation::host::HostRunner;
use still8_validation::random::SplitMix64;
use still8_validation::transfer::DeviceInputs;
use support::emulator_available;
use xtask::boards::Core;
use xtask::emit::emit;
use xtask::emulator;
use xtask::network::{Kind, Network, Op};

const SAMPLES: usize = 3;

const COUNTS: [(OpCode, usize); 28] = [
    (OpCode::Conv2d, 72),
    (OpCode::DepthwiseConv2d, 48),
    (OpCode::FullyConnected, 32),
    (OpCode::Add, 32),
    (OpCode::AveragePool2d, 28),
    (OpCode::MaxPool2d, 28),
    (OpCode::Mean, 32),
    (OpCode::Pad, 16),
    (OpCode::Concat, 20),
    (OpCode::Softmax, 16),
    (OpCode::Transpose, 20),
    (OpCode::Table, 6),
    (OpCode::Mul, 8),
    (OpCode::PRelu, 6),
    (OpCode::MatMul, 8),
    (OpCode::LayerNorm, 8),
    (OpCode::Constant, 3),
    (OpCode::Gather, 8),
    (OpCode::ResizeLinear, 6),
    (OpCode::ArgMax, 4),
    (OpCode::Conv2dInt4, 16),
    (OpCode::DepthwiseConv2dInt4, 10),
    (OpCode::FullyConnectedInt4, 10),
    (OpCode::Convert, 4),
    (OpCode::Conv2d16, 10),
    (OpCode::Add16, 5),
    (OpCode::Mean16, 4),
    (OpCode::Table16, 3),
];

/// The network, its inputs and what the host makes of them.
struct Suite {
    network: Network,
    /// Device layout, samples outermost.
    inputs: Vec<i8>,
    outputs: Vec<i8>,
}

fn suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| {
        let network = random_network::network(seed(), &COUNTS);
        let runner = HostRunner::new(&emit(&network, Family::Portable).unwrap().bytes).unwrap();
        let bytes: usize = network.inputs.iter().map(|port| network.tensors[port.tensor].len()).sum();
        let inputs = Random(SplitMix64::new(3)).activations(bytes * SAMPLES);
        let outputs = run_on_host(&runner, &inputs);
        Suite { network, inputs, outputs }
    })
}

/// The usual one is one of those whose arena the planner packs at its first try, which saves most of the time.
fn seed() -> u64 {
    let given = std::env::var("STILL8_SEED").ok();
    given.map_or(11, |text| text.parse().expect("STILL8_SEED is a number"))
}

/// The suite's plan in a family's order.
fn plan(family: Family) -> &'static [u8] {
    static PLANS: [OnceLock<Vec<u8>>; Family::ALL.len()] = [const { OnceLock::new() }; Family::ALL.len()];
    let at = Family::ALL.iter().position(|&other| other == family).unwrap();
    PLANS[at].get_or_init(|| emit(&suite().network, family).unwrap().bytes)
}

fn run_on_host(runner: &HostRunner, inputs: &[i8]) -> Vec<i8> {
    let inputs = DeviceInputs { bytes: inputs.to_vec(), samples: SAMPLES, report: Default::default() };
    runner.run_device(&inputs, |_| ())
}

fn core_equals_the_host(core: Core) {
    if !emulator_available(core) {
        return;
    }
    let suite = suite();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plan(core.family())).unwrap();
    let report = emulator::run_plan(core, file.path(), &suite.inputs, false).unwrap();
    // `neon-dotprod` is chosen at run time.
    assert!(report.kernels.starts_with(core.family().name()), "{}", report.kernels);
    require_equal(&format!("{core} ({})", report.board), suite, &report.outputs);
}

/// Fails with the ops whose outputs differ.
fn require_equal(place: &str, suite: &Suite, outputs: &[i8]) {
    assert_eq!(outputs.len(), suite.outputs.len(), "{place}: number of output bytes");
    let network = &suite.network;
    let mut differing: Vec<String> = Vec::new();
    let mut start = 0;
    for sample in 0..SAMPLES {
        for port in &network.outputs {
            let len = network.tensors[port.tensor].len();
            let (expected, got) = (&suite.outputs[start..][..len], &outputs[start..][..len]);
            start += len;
            let Some(i) = (0..len).find(|&i| expected[i] != got[i]) else {
                continue;
            };
            let wrong = (0..len).filter(|&i| expected[i] != got[i]).count();
            let op = network.ops.iter().find(|op| op.output == port.tensor);
            differing.push(format!(
                "sample {sample}, output `{}` of {}: {wrong} of {len} bytes differ, the first at {i}: expected {}, got {}",
                port.name,
                op.map_or_else(|| "a kept input".to_owned(), |op| describe(network, op)),
                expected[i],
                got[i]
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{place}, seed {}: {} outputs differ\n{}",
        seed(),
        differing.len(),
        differing[..differing.len().min(8)].join("\n")
    );
}

/// The op with its parameters and tensors, without weights.
fn describe(network: &Network, op: &Op) -> String {
    let parameters = match &op.kind {
        Kind::Conv2d { params, channels, .. } | Kind::DepthwiseConv2d { params, channels, .. } => {
            format!("{params:?} {channels:?}")
        }
        Kind::FullyConnected { params, channels, .. } => format!("{params:?} {channels:?}"),
        Kind::Softmax { table } => format!("table {:?} ..", &table[..4]),
        Kind::Table { .. } => String::new(),
        kind => format!("{kind:?}"),
    };
    let tensor = |&tensor: &usize| {
        let tensor = &network.tensors[tensor];
        format!("{:?} zero point {}", tensor.shape, tensor.quantization.zero_point)
    };
    let inputs: Vec<String> = op.inputs.iter().map(tensor).collect();
    format!("{} {:?} ({} → {}) {parameters}", op.name, op.kind.code(), inputs.join(", "), tensor(&op.output))
}

#[test]
fn portable_kernels_read_every_order() {
    for family in Family::ALL {
        let runner = HostRunner::new(plan(family)).unwrap();
        let place = format!("host, {} order", family.name());
        require_equal(&place, suite(), &run_on_host(&runner, &suite().inputs));
    }
}

#[test]
#[should_panic(expected = "op0 Conv2d")]
fn a_wrong_byte_names_its_op() {
    let mut outputs = suite().outputs.clone();
    outputs[1] ^= 1;
    require_equal("nowhere", suite(), &outputs);
}

#[test]
fn the_suite_is_not_mostly_saturated() {
    let suite = suite();
    assert!(suite.network.ops.len() >= 300);
    assert!(Family::ALL.iter().all(|&family| plan(family).len() < 2 << 20));
    let plan = HostRunner::new(plan(Family::Dsp)).unwrap();
    assert!(plan.plan().arena_bytes() < 1 << 20, "{}", plan.plan().arena_bytes());
    let varied = suite.outputs.iter().filter(|&&q| q != i8::MIN && q != i8::MAX).count();
    assert!(varied * 2 > suite.outputs.len(), "{varied} of {}", suite.outputs.len());
}

macro_rules! cores {
    ($($test:ident = $core:ident),*) => {
        $(
            #[test]
            fn $test() {
                core_equals_the_host(Core::$core);
            }
        )*

        #[test]
        fn every_core_is_tested() {
            assert_eq!(Core::ALL.as_slice(), [$(Core::$core),*]);
        }
    };
}

cores!(
    cortex_m0_equals_the_host = CortexM0,
    cortex_m3_equals_the_host = CortexM3,
    cortex_m4_equals_the_host = CortexM4,
    cortex_m7_equals_the_host = CortexM7,
    cortex_m33_equals_the_host = CortexM33,
    cortex_m55_equals_the_host = CortexM55,
    aarch64_equals_the_host = Aarch64
);
