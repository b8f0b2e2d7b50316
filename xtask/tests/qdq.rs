//! A quantized network written as QDQ ONNX and imported again has the same integers.

use std::path::Path;

use xtask::commands::quantize::quantize_model;
use xtask::console::Console;
use xtask::quantize::{Settings, Silent, Source};

const QUIET: Console = Console { json: false, quiet: true };

#[test]
fn what_is_written_is_what_is_read() {
    for name in ["fashion", "motion"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
        let written = quantize_model(&folder, QUIET).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("qdq.onnx");
        std::fs::write(&path, written.to_qdq().unwrap()).unwrap();
        let source = Source::open(&path, &[]).unwrap();
        assert!(source.is_quantized(), "{name} needs no calibration");
        let specs = source.inputs(&Default::default());
        let any = still8_validation::data::Dataset::random(1, &specs, 2);
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
        }
        for (a, b) in written.network.tensors.iter().zip(&read.network.tensors) {
            assert_eq!((a.shape, a.quantization), (b.shape, b.quantization), "{name}");
        }
    }
}
