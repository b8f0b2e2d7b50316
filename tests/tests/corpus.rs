//! Plans written by earlier releases of this format: each is read, and computes what it did when it was written.
//!
//! A folder `tests/corpus/format-N/` never changes once a release has shipped it: a later format gets a folder of its
//! own, and all are read. Before that, and only when plans in them are wrong, the plans of the latest are written anew
//! by `cargo test -p still8-validation --test corpus -- --ignored`.

#[path = "support/random_network.rs"]
mod random_network;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use random_network::Random;
use still8::format::{FORMAT_VERSION, Family, OpCode, SoftmaxParams};
use still8::session::SelfTest;
use still8::{Align16, Plan, Session};
use still8_validation::data::Dataset;
use still8_validation::files::{self, sha256_hex};
use still8_validation::host::HostRunner;
use still8_validation::onnx::testing::{ModelBuilder, With, int, ints, node};
use still8_validation::random::SplitMix64;
use xtask::emit::{emit, repack};
use xtask::network::Network;
use xtask::quantize::golden::Reference;
use xtask::quantize::{Settings, Silent, Source};

/// The formats that have a folder.
const VERSIONS: [u16; 3] = [1, 2, 3];
/// What the repository spends on the plans of one order of weights.
const LIMIT_BYTES: usize = 30_000;

/// The families that a format's writer had an order of their own for.
fn families(version: u16) -> &'static [Family] {
    match version {
        1 => &[Family::Portable, Family::Dsp1],
        _ => &[Family::Portable, Family::Scalar, Family::Dsp, Family::Helium, Family::Neon],
    }
}

/// The operators of format 1.
const OPERATORS: [OpCode; 12] = [
    OpCode::Conv2d,
    OpCode::DepthwiseConv2d,
    OpCode::FullyConnected,
    OpCode::Add,
    OpCode::AveragePool2d,
    OpCode::MaxPool2d,
    OpCode::Mean,
    OpCode::Pad,
    OpCode::Concat,
    OpCode::Softmax,
    OpCode::Transpose,
    OpCode::Table,
];

fn folder(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/format-{version}"))
}

/// Names and SHA-256 of the plans, as `sha256sum -c` takes them.
fn listed(version: u16) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder(version).join("SHA256SUMS")).unwrap();
    let line = |line: &str| {
        let (hash, name) = line.split_once("  ").unwrap();
        (name.to_owned(), hash.to_owned())
    };
    text.lines().map(line).collect()
}

fn plans() -> Vec<(String, u16, HostRunner)> {
    let open = |version, name: String| {
        let runner = HostRunner::open(&folder(version).join(&name)).unwrap();
        (format!("format-{version}/{name}"), version, runner)
    };
    let of = |version| listed(version).into_iter().map(move |(name, _)| open(version, name));
    VERSIONS.into_iter().flat_map(of).collect()
}

fn self_test(plan: &Plan<'_>) -> SelfTest {
    let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
    Session::new(plan, &mut arena).unwrap().self_test()
}

#[test]
fn the_files_are_the_committed_ones() {
    for version in VERSIONS {
        let mut bytes = 0;
        for (name, hash) in listed(version) {
            let file = files::read(&folder(version).join(&name)).unwrap();
            assert_eq!(sha256_hex(&file), hash, "format {version}: {name}");
            bytes += file.len();
        }
        assert!(bytes < LIMIT_BYTES * families(version).len(), "format {version}: {bytes} bytes");
        let names: BTreeSet<String> = listed(version).into_iter().map(|(name, _)| name).collect();
        let found = std::fs::read_dir(folder(version)).unwrap().map(|entry| entry.unwrap().file_name());
        let found: BTreeSet<String> =
            found.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".s8")).collect();
        assert_eq!(found, names, "format {version}: files and SHA256SUMS");
    }
}

#[test]
fn every_plan_computes_what_it_did() {
    for (name, version, runner) in plans() {
        let plan = runner.plan();
        assert_eq!(plan.header().version, version, "{name}");
        assert_eq!(self_test(&plan), SelfTest::Passed, "{name}");
    }
}

#[test]
fn every_plan_can_be_repacked() {
    for (name, _, runner) in plans() {
        for &family in families(FORMAT_VERSION) {
            let repacked = HostRunner::new(&repack(&runner.plan(), family).unwrap()).unwrap();
            assert_eq!(self_test(&repacked.plan()), SelfTest::Passed, "{name} as {}", family.name());
            assert_eq!(repacked.plan().header().version, FORMAT_VERSION, "{name}");
        }
    }
}

#[test]
fn every_operator_is_covered_in_every_order_of_weights() {
    let plans = plans();
    let orders = VERSIONS
        .into_iter()
        .flat_map(|version| families(version).iter().map(move |&family| (version, family)));
    for (version, family) in orders {
        let of_family = plans.iter().filter(|plan| plan.1 == version).map(|(_, _, runner)| runner.plan());
        let of_family = of_family.filter(|plan| plan.family() == family);
        let found: BTreeSet<u16> = of_family.flat_map(|plan| plan.ops().iter().map(|op| op.op)).collect();
        let missing: Vec<_> = OPERATORS.iter().filter(|&&code| !found.contains(&(code as u16))).collect();
        assert!(missing.is_empty(), "format {version}, {}: no plan has {missing:?}", family.name());
    }
}

#[test]
fn long_golden_inputs_repeat_and_softmax_tables_end() {
    let plans = plans();
    let latest = plans.iter().filter(|plan| plan.1 == FORMAT_VERSION).map(|(_, _, runner)| runner.plan());
    let repeats = latest.filter_map(|plan| plan.golden()).any(|golden| {
        let input: Vec<i8> = golden.input().collect();
        let stored = golden.stored();
        stored.len() < input.len() && input.chunks(stored.len()).all(|chunk| stored.starts_with(chunk))
    });
    assert!(repeats);
    let code = OpCode::Softmax as u16;
    let lengths = plans.iter().map(|(_, _, runner)| runner.plan()).flat_map(|plan| {
        let softmaxes = plan.ops().iter().filter(|op| op.op == code);
        let params = softmaxes.map(|op| op.params as usize);
        params
            .map(|at| bytemuck::pod_read_unaligned::<SoftmaxParams>(&plan.params()[at..][..8]))
            .collect::<Vec<_>>()
    });
    assert!(lengths.map(|params| params.table.bytes).any(|bytes| bytes < 1024));
}

#[test]
#[ignore = "writes the committed plans"]
fn write_corpus() {
    assert_eq!(VERSIONS.last(), Some(&FORMAT_VERSION), "give the new format a folder of its own");
    let folder = folder(FORMAT_VERSION);
    std::fs::create_dir_all(&folder).unwrap();
    let families = families(FORMAT_VERSION);
    let networks = [
        ("convnet", convnet(), families),
        ("operators", every_operator(), families),
        ("ports", ports(), &families[..1]),
    ];
    let mut sums = String::new();
    for (name, network, families) in &networks {
        for &family in *families {
            let file = format!("{name}.{}.s8", family.name());
            let bytes = emit(network, family).unwrap().bytes;
            sums += &format!("{}  {file}\n", sha256_hex(&bytes));
            std::fs::write(folder.join(file), bytes).unwrap();
        }
    }
    std::fs::write(folder.join("SHA256SUMS"), sums).unwrap();
}

/// Adds weights that are random by their name.
fn weights(model: ModelBuilder, name: &str, shape: &[i64]) -> ModelBuilder {
    let mut random = SplitMix64::new(name.bytes().map(u64::from).sum());
    let fan_in: i64 = shape[1..].iter().product();
    let largest = (3.0 / fan_in as f32).sqrt();
    let count = shape.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|_| random.uniform([-largest, largest])).collect();
    model.floats(name, shape, &values)
}

/// A small classifier, as `quantize` writes one.
fn convnet() -> Network {
    let mut model = ModelBuilder::new(17).input("image", &[1, 1, 12, 12]);
    for (name, shape) in [
        ("w1", &[8, 1, 3, 3][..]),
        ("w2", &[8, 1, 3, 3]),
        ("w3", &[8, 8, 1, 1]),
        ("w4", &[5, 8]),
        ("b4", &[5, 1]),
    ] {
        model = weights(model, name, shape);
    }
    let around = || ints("pads", &[1, 1, 1, 1]);
    let model = model
        .integers("five", &[5])
        .node(node("Reshape", &["b4", "five"], "b5"))
        .node(node("Conv", &["image", "w1"], "conv1").with(around()))
        .node(node("Relu", &["conv1"], "relu1"))
        .node(
            node("MaxPool", &["relu1"], "pool1")
                .with(ints("kernel_shape", &[2, 2]))
                .with(ints("strides", &[2, 2])),
        )
        .node(node("Conv", &["pool1", "w2"], "conv2").with(around()).with(int("group", 8)))
        .node(node("Relu", &["conv2"], "relu2"))
        .node(node("Conv", &["relu2", "w3"], "conv3"))
        .node(node("Add", &["conv3", "pool1"], "sum"))
        .node(node("GlobalAveragePool", &["sum"], "mean"))
        .node(node("Flatten", &["mean"], "flat"))
        .node(node("Gemm", &["flat", "w4", "b5"], "logits").with(int("transB", 1)))
        .node(node("Softmax", &["logits"], "probabilities"))
        .output("probabilities");
    quantized("convnet", &model)
}

/// Several inputs and outputs of ranks 2 to 4, in and out of the device's layout.
fn ports() -> Network {
    let model = weights(ModelBuilder::new(17), "w", &[4, 3, 3, 3])
        .input("image", &[1, 3, 6, 5])
        .input("channels_last", &[1, 4, 3, 4])
        .input("vector", &[1, 9]);
    let model = weights(model, "v", &[9, 4])
        .integers("rows", &[1, 4, 12])
        .node(node("Conv", &["image", "w"], "conv"))
        .node(node("Transpose", &["channels_last"], "channels_first").with(ints("perm", &[0, 3, 1, 2])))
        .node(node("Add", &["conv", "channels_first"], "sum"))
        .node(node("MatMul", &["vector", "v"], "dense"))
        .node(node("Reshape", &["sum", "rows"], "table"))
        .output("sum")
        .output("dense")
        .output("table");
    quantized("ports", &model)
}

fn quantized(name: &str, model: &ModelBuilder) -> Network {
    let source = Source::open(&model.write(name), &[]).unwrap();
    let data = Dataset::random(1, &source.inputs(&Default::default()), 32);
    let settings = Settings {
        name: name.to_owned(),
        lineage: Some("[source]\nfile = \"tests/tests/corpus.rs\"\n".to_owned()),
        ..Settings::default()
    };
    source.quantize(&data, &settings, &Silent).unwrap().network
}

/// Random ops over the whole numbers contract, two of each operator.
fn every_operator() -> Network {
    let mut network = random_network::network(1, &OPERATORS.map(|code| (code, 2)));
    network.name = "operators".to_owned();
    let bytes = network.inputs.iter().map(|port| network.tensors[port.tensor].len()).sum();
    let input = Random(SplitMix64::new(2)).activations(bytes);
    network.golden = Some(Reference::new(&network).unwrap().golden(&input).unwrap());
    network
}
