//! The float models of MLPerf Tiny: quantized on random data, run on the host and on the emulated Cortex-M4.
//!
//! The files are not part of the project; where they are absent every test here says that it skips.

mod support;

use std::collections::HashSet;
use std::path::PathBuf;

use ndarray::ArrayD;
use still8::format::Family;
use still8_validation::data::{Dataset, Sample};
use still8_validation::host::HostRunner;
use still8_validation::metrics::sqnr_db;
use still8_validation::oracle::Oracle;
use still8_validation::transfer::Transfer;
use xtask::boards::Core;
use xtask::console::Console;
use xtask::emit::emit;
use xtask::engine::{self, Place};
use xtask::quantize::{Settings, Source};

const QUIET: Console = Console { json: false, quiet: true };

/// Quantizes the model on random data of its own range; `device` samples run on the emulated core as well.
fn check(name: &str, range: Option<[f32; 2]>, device: usize, distinct: usize) {
    let path =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models/mlperf_tiny")).join(name);
    if !path.exists() {
        println!("SKIPPED: {name} is not there (the MLPerf Tiny models are optional)");
        return;
    }
    let source = Source::open(&path, &[]).unwrap();
    let mut specs = source.inputs(&Default::default());
    specs.iter_mut().for_each(|spec| spec.range = range);
    let settings = Settings::default();
    let calibration = source.random_data(1, &specs, 64, &settings).unwrap();
    let quantized = source.quantize(&calibration, &settings, &QUIET.progress("")).unwrap();
    let plan = emit(&quantized.network, Family::Portable).unwrap();
    let runner = HostRunner::new(&plan.bytes).unwrap();

    // Other inputs like the calibration's: their range is that of the plan's input.
    let data = Dataset::random(2, &Transfer::new(&runner.plan()).input_specs(), 100);
    let host = engine::run(Place::Host, &runner, &data, QUIET).unwrap().outputs;
    let oracle = Oracle::load(&path, &[]).unwrap();
    let (mut float, mut int8) = (Vec::new(), Vec::new());
    let (_, output) = &host.dequantized()[0];
    for i in 0..data.samples() {
        let (Sample::Float(input), Sample::Float(logits)) = (data.inputs[0].1.sample(i), output.sample(i))
        else {
            panic!("random data and dequantized outputs are float");
        };
        let input = ArrayD::from_shape_vec(oracle.input_shapes()[0].clone(), input.to_vec()).unwrap();
        float.extend(oracle.run(&[input]).unwrap()[0].iter().copied());
        int8.extend_from_slice(logits);
    }
    let sqnr = sqnr_db(&float, &int8);
    assert!(sqnr >= 20.0, "{name}: {sqnr:.1} dB");
    let bytes = host.bytes();
    let rows: HashSet<&[u8]> = bytes.chunks(bytes.len() / data.samples()).collect();
    assert!(rows.len() >= distinct, "{name}: {} distinct outputs", rows.len());

    if device > 0 && support::emulator_available(Core::CortexM4) {
        let mut few = data;
        few.thin(device);
        let run = |place| engine::run(place, &runner, &few, QUIET).unwrap().outputs.bytes();
        assert_eq!(run(Place::Core(Core::CortexM4)), run(Place::Host), "{name}: the Cortex-M4's bytes");
        println!(
            "{name}: {sqnr:.1} dB, {} distinct outputs, {device} samples equal on the Cortex-M4",
            rows.len()
        );
    }
}

#[test]
fn keyword_spotting() {
    check("kws_float.onnx", None, 20, 2);
}

#[test]
fn image_classification() {
    check("ic_float.onnx", None, 10, 50);
    check("ic_float.onnx", Some([0.0, 255.0]), 0, 50);
}

#[test]
fn large_image_classification() {
    check("ic_large_float.onnx", None, 2, 2);
}

#[test]
fn anomaly_detection() {
    check("ad_float.onnx", None, 100, 50);
    check("ad_float.onnx", Some([-10.0, 10.0]), 0, 50);
}

#[test]
fn visual_wake_words() {
    check("vww_float.onnx", None, 5, 2);
    check("vww_float.onnx", Some([0.0, 1.0]), 0, 2);
}
