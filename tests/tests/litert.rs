//! Quantized files of TensorFlow Lite, imported: a plan gives the bytes that LiteRT gives.
//!
//! The files are public networks that are read in place; LiteRT comes from its Python package. Where either is absent the
//! test says so and skips.

use std::path::{Path, PathBuf};
use std::time::Duration;

use still8_validation::data::{Dataset, Sample, Tensor, Values};
use still8_validation::host::HostRunner;
use still8_validation::npy::{Arrays, write_npy};
use still8_validation::random::SplitMix64;
use still8_validation::transfer::Transfer;
use still8_validation::{Failure, files};
use xtask::emit::emit;
use xtask::python::{LITERT, Python};
use xtask::quantize::{Settings, Silent, Source};

const SAMPLES: usize = 200;
const SEED: u64 = 1;

/// Files that hold the same network twice, with the least share of equal bytes.
///
/// LiteRT multiplies accumulators in float32, the plan in integers: an activation next to a half can go either way, and one
/// in some million does. In `ic`, `ic_large` and `kws` such a one reaches the output of about one sample in a thousand.
const NETWORKS: [&str; 6] = ["ad", "ic", "ic_large", "kws", "sww", "vww"];
const EQUAL: f64 = 0.999;

fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/mlperf_tiny").join(name)
}

/// Random integers for the plan's only input.
fn samples(runner: &HostRunner) -> Dataset {
    let spec = &Transfer::new(&runner.plan()).input_specs()[0];
    let shape = [&[SAMPLES], spec.sample_shape()].concat();
    let mut random = SplitMix64::new(SEED);
    let values = (0..shape.iter().product::<usize>()).map(|_| (random.next_u64() >> 56) as i8).collect();
    let tensor = Tensor::new(shape, Values::Int8(values));
    Dataset {
        inputs: vec![(spec.name.clone(), tensor)],
        labels: None,
        targets: None,
        origin: "random".to_owned(),
    }
}

#[test]
fn imported_networks_give_the_bytes_of_litert() {
    if !shared("kws_int8.tflite").is_file() {
        println!("SKIPPED: no {}", shared("*_int8.tflite").display());
        return;
    }
    let python = match Python::with(LITERT) {
        Ok(python) => python,
        Err(Failure::Missing(why)) => {
            println!("SKIPPED: {why}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let folder = tempfile::tempdir().unwrap();
    for name in NETWORKS {
        let source = Source::open(&shared(&format!("{name}_int8_qdq.onnx")), &[]).unwrap();
        assert!(source.is_quantized(), "{name} brings every quantization");
        let settings = Settings::default();
        let random = Dataset::random(SEED, &source.inputs(&settings.input_ranges), 4);
        let network = source.quantize(&random, &settings, &Silent).unwrap().network;
        let plan = emit(&network, still8::format::Family::Portable).unwrap().bytes;
        let runner = HostRunner::new(&plan).unwrap();
        let data = samples(&runner);
        let (ours, _) = runner.run(&data, |_| ()).unwrap();
        let [input, output] = ["input.npy", "output.npy"].map(|file| folder.path().join(file));
        let tensor = &data.inputs[0].1;
        files::write_atomically(&input, |file| write_npy(file, tensor.shape(), tensor.values())).unwrap();
        let model = shared(&format!("{name}_int8.tflite"));
        python.run("litert.py", &[&model, &input, &output], Duration::from_secs(300)).unwrap();
        let Ok(Arrays::One(theirs)) = Arrays::parse(&files::read(&output).unwrap()) else { panic!("{name}") };
        let Some(Values::Int8(theirs)) = theirs.values() else { panic!("{name}: no int8") };
        let mut found = Vec::new();
        for i in 0..SAMPLES {
            let Sample::Int8(bytes) = ours.quantized[0].1.sample(i) else { panic!("{name}: no int8") };
            found.extend_from_slice(bytes);
        }
        assert_eq!(found.len(), theirs.len(), "{name}");
        let far = |(a, b): (&i8, &i8)| (i32::from(*a) - i32::from(*b)).abs();
        let equal = found.iter().zip(&theirs).filter(|(a, b)| a == b).count() as f64 / found.len() as f64;
        let farthest = found.iter().zip(&theirs).map(far).max().unwrap();
        println!(
            "{name}: {:.3} % of {} bytes equal, none off by more than {farthest}",
            equal * 100.0,
            found.len()
        );
        assert!(equal >= EQUAL && farthest <= 1, "{name}: {equal} equal, off by up to {farthest}");
    }
}
