//! A quantized network written as QDQ ONNX and imported again has the same integers.

use std::path::{Path, PathBuf};

use still8::format::{DataType, OpCode};
use still8_validation::data::Dataset;
use still8_validation::model::{DataKind, Model};
use still8_validation::onnx::build::{With as _, ints};
use still8_validation::onnx::testing::{ModelBuilder, node};
use still8_validation::recipe::Precision;
use xtask::commands::quantize::quantize_model;
use xtask::console::Console;
use xtask::network::{Kind, Network};
use xtask::quantization::Quantization;
use xtask::quantize::pins::Pin;
use xtask::quantize::{Quantized, Settings, Silent, Source};

const QUIET: Console = Console { json: false, quiet: true };

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name)
}

/// Writes the network, reads it, and holds the one to the other.
fn read_back(name: &str, written: &Quantized) -> Quantized {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("qdq.onnx");
    std::fs::write(&path, written.to_qdq().unwrap()).unwrap();
    let source = Source::open(&path, &[]).unwrap();
    assert!(source.is_quantized(), "{name} needs no calibration");
    let specs = source.inputs(&Default::default());
    let any = Dataset::random(1, &specs, 2);
    let read = source.quantize(&any, &Settings::default(), &Silent).unwrap();
    assert_eq!(written.network.ops.len(), read.network.ops.len());
    for (a, b) in written.network.ops.iter().zip(&read.network.ops) {
        assert_eq!(
            (a.kind.code(), a.kind.weights()),
            (b.kind.code(), b.kind.weights()),
            "{name}: {}",
            a.name
        );
        for (a, b) in a.kind.channels().iter().zip(b.kind.channels()) {
            // Scales of a file are float32: a bias is the same integer, a multiplier the same to that precision.
            let close = (f64::from(a.multiplier) / f64::from(b.multiplier) - 1.0).abs() < 1e-6;
            assert!(a.bias == b.bias && a.shift == b.shift && close, "{name}: {a:?} {b:?}");
        }
        if matches!(a.kind.code(), OpCode::Conv2d16 | OpCode::AveragePool2d) {
            assert_eq!(format!("{:?}", a.kind), format!("{:?}", b.kind), "{name}: {}", a.name);
        }
    }
    // A tensor of one channel may be seen in either order.
    let tensors = |quantized: &Quantized| -> Vec<(Vec<usize>, Quantization)> {
        let Network { ops, tensors, .. } = &quantized.network;
        let seen = ops.iter().flat_map(|op| op.inputs.iter().chain([&op.output]));
        let of = |&i: &usize| {
            let sizes = tensors[i].shape.iter().copied().filter(|&size| size != 1);
            (sizes.collect(), tensors[i].quantization)
        };
        seen.map(of).collect()
    };
    assert_eq!(tensors(written), tensors(&read), "{name}");
    read
}

#[test]
fn what_is_written_is_what_is_read() {
    for name in ["fashion", "motion"] {
        read_back(name, &quantize_model(&folder(name), QUIET).unwrap());
    }
}

/// An average over its input's own integers rounds halves up, which QuantizeLinear does not: the file says so, and is understood.
#[test]
fn averages_round_halves_up_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("average.onnx");
    let average = node("AveragePool", &["x"], "y").with(ints("kernel_shape", &[2, 2]));
    let model = ModelBuilder::new(17).input("x", &[1, 2, 4, 4]).node(average).output("y");
    std::fs::write(&path, model.bytes()).unwrap();
    let source = Source::open(&path, &[]).unwrap();
    let data = Dataset::random(1, &source.inputs(&Default::default()), 40);
    let written = source.quantize(&data, &Settings::default(), &Silent).unwrap();
    let read = read_back("average", &written);
    let averages = |quantized: &Quantized| {
        quantized
            .network
            .ops
            .iter()
            .any(|op| matches!(&op.kind, Kind::AveragePool2d(params) if params.ties_away == 0))
    };
    assert!(averages(&written) && averages(&read));
}

#[test]
fn layers_of_other_precisions_are_read_as_they_were_written() {
    for name in ["fashion", "motion"] {
        let model = Model::open(&folder(name)).unwrap();
        let source = Source::open(&model.student().unwrap(), &[]).unwrap();
        let data = model.dataset(DataKind::Calibration).unwrap().pick(&(0..40).collect::<Vec<_>>());
        let quantize = |pins: Vec<Pin>| {
            let settings = Settings { pins, recover: vec![], ..Settings::default() };
            source.quantize(&data, &settings, &Silent).unwrap()
        };
        let plain = quantize(vec![]);
        let weighted = plain.network.ops.iter().filter(|op| !op.kind.weights().is_empty());
        let names: Vec<String> = weighted.map(|op| op.name.clone()).collect();
        // Every third layer in each of the three precisions, so that each kind stands beside each other.
        let of = [Precision::Int4, Precision::Int16, Precision::Int8];
        let mixed = names.iter().enumerate().map(|(i, name)| (name.clone(), of[i % 3])).collect();
        let all_wide = names.iter().map(|name| (name.clone(), Precision::Int16)).collect();
        for pins in [mixed, all_wide] {
            let written = quantize(pins);
            let read = read_back(name, &written);
            assert!(read.network.tensors.iter().any(|tensor| tensor.quantization.dtype == DataType::Int16));
            // What was read is written and read as well.
            read_back(name, &read);
        }
    }
}

#[test]
fn a_layer_that_is_quantized_in_its_file_takes_no_other_precision() {
    let model = Model::open(&folder("fashion")).unwrap();
    let source = Source::open(&model.folder().join("student.qdq.onnx"), &[]).unwrap();
    let data = model.dataset(DataKind::Calibration).unwrap().pick(&[0, 1]);
    let quantize = |pins: Vec<Pin>| {
        source.quantize(&data, &Settings { pins, recover: vec![], ..Settings::default() }, &Silent)
    };
    let written = quantize(vec![]).unwrap();
    let name = &written.network.ops.iter().find(|op| !op.kind.weights().is_empty()).unwrap().name;
    assert!(quantize(vec![(name.clone(), Precision::Int8)]).is_ok());
    let failure = quantize(vec![(name.clone(), Precision::Int16)]).unwrap_err();
    assert_eq!(failure.exit_code(), 2, "{failure}");
    for words in [name, "quantized file", "float file"] {
        assert!(failure.to_string().contains(words), "{failure}");
    }
}
