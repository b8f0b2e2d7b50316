//! Whole networks: one hash of the output bytes on the host, in every order of weights, and on every emulated core.

mod support;

use std::path::Path;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use still8::format::Family;
use still8_validation::data::Dataset;
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, Model};
use still8_validation::onnx::blocks::BLOCKS;
use still8_validation::recipe::Precision;
use still8_validation::transfer::{DeviceInputs, Transfer};
use support::emulator_available;
use xtask::boards::{self, Board, Core, Run};
use xtask::commands::quantize::quantize_model;
use xtask::console::Console;
use xtask::emit::emit;
use xtask::emulator;
use xtask::network::Network;
use xtask::quantize::{Settings, Silent, Source};

const QUIET: Console = Console { json: false, quiet: true };

/// Few, so that a large network takes seconds on the slowest core.
const SAMPLES: usize = 3;

/// A network's name, and what makes it of that.
type Named = (&'static str, fn(&str) -> Network);

/// Every network.
const NETWORKS: [Named; 14] = [
    ("fashion", model),
    ("motion", model),
    ("anomaly", model),
    ("fashion with layers of every precision", mixed),
    ("kws", reference),
    ("ic", reference),
    ("ad", reference),
    ("vww", reference),
    ("sww", reference),
    ("squeeze_and_excite", block),
    ("u_net", block),
    ("transformer", block),
    ("shuffled_channels", block),
    ("labels", block),
];

/// A network of `models/`.
fn model(name: &str) -> Network {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models")).join(name);
    quantize_model(&folder, QUIET).unwrap().network
}

/// The model with weights of four bits, and activations of sixteen.
fn mixed(_: &str) -> Network {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/fashion"));
    let model = Model::open(folder).unwrap();
    let source = Source::open(&model.student().unwrap(), &[]).unwrap();
    let pins = [
        ("layer3/pointwise", Precision::Int4),
        ("layer7/pointwise", Precision::Int4),
        ("layer7/depthwise", Precision::Int4),
        ("layer4/depthwise", Precision::Int16),
        ("layer4/pointwise", Precision::Int16),
        ("layer6/add", Precision::Int16),
        ("layer9/mean", Precision::Int16),
    ];
    let pins = pins.map(|(name, precision)| (name.to_owned(), precision)).to_vec();
    let settings = Settings { pins, ..Settings::default() };
    let data = model.dataset(DataKind::Calibration).unwrap();
    source.quantize(&data, &settings, &Silent).unwrap().network
}

/// A network of the benchmark.
fn reference(name: &str) -> Network {
    xtask::reference::network(name, &QUIET.progress("")).unwrap()
}

/// A block of operators that have one kernel for all cores.
fn block(name: &str) -> Network {
    let (_, model) = BLOCKS.iter().find(|(other, _)| *other == name).unwrap();
    let source = Source::open(&model().write(name), &[]).unwrap();
    let data = Dataset::random(1, &source.inputs(&Default::default()), 40);
    source.quantize(&data, &Settings::default(), &Silent).unwrap().network
}

/// A network with samples, and what the host makes of them with the portable plan.
struct Reference {
    name: &'static str,
    network: Network,
    inputs: DeviceInputs,
    hash: String,
}

fn references() -> &'static [Reference] {
    static REFERENCES: OnceLock<Vec<Reference>> = OnceLock::new();
    REFERENCES.get_or_init(|| {
        let reference = |&(name, make): &Named| {
            let network = make(name);
            let runner = HostRunner::new(&emit(&network, Family::Portable).unwrap().bytes).unwrap();
            let transfer = Transfer::new(&runner.plan());
            let data = Dataset::random(7, &transfer.input_specs(), SAMPLES);
            let inputs = transfer.to_device(&data).unwrap();
            let outputs = runner.run_device(&inputs, |_| ());
            // A network whose output never changes would hide most differences.
            let samples: Vec<&[i8]> = outputs.chunks(outputs.len() / SAMPLES).collect();
            assert!(samples.iter().any(|sample| *sample != samples[0]), "{name}: one output for all");
            Reference { name, network, inputs, hash: sha256(&outputs) }
        };
        NETWORKS.iter().map(reference).collect()
    })
}

fn sha256(bytes: &[i8]) -> String {
    Sha256::digest(bytemuck::cast_slice::<i8, u8>(bytes)).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_host_reads_every_order() {
    for reference in references() {
        for family in Family::ALL {
            let runner = HostRunner::new(&emit(&reference.network, family).unwrap().bytes).unwrap();
            let found = sha256(&runner.run_device(&reference.inputs, |_| ()));
            assert_eq!(found, reference.hash, "{} in {} order on the host", reference.name, family.name());
        }
    }
}

/// On the first of these boards that holds each network.
fn equal_the_host(core: Core, boards: &[Board]) {
    if !emulator_available(core) {
        return;
    }
    for reference in references() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), emit(&reference.network, core.family()).unwrap().bytes).unwrap();
        let report = emulator::run_on_first(boards, file.path(), &reference.inputs.bytes, false).unwrap();
        let place = format!("{} on {}", reference.name, report.board);
        assert_eq!((report.samples, report.self_test.as_str()), (SAMPLES, "passed"), "{place}");
        assert!(report.kernels.starts_with(core.family().name()), "{}", report.kernels);
        assert_eq!(sha256(&report.outputs), reference.hash, "{place}");
    }
}

macro_rules! cores {
    ($($test:ident = $core:ident),*) => {
        $(
            #[test]
            fn $test() {
                equal_the_host(Core::$core, &boards::emulated(Core::$core).unwrap());
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

/// A core without the dot-product instructions.
#[test]
fn aarch64_without_dot_product_equals_the_host() {
    let mut board = boards::find("aarch64-linux").unwrap();
    board.run = Run::QemuUser { cpu: "cortex-a72".into() };
    equal_the_host(Core::Aarch64, &[board]);
}
