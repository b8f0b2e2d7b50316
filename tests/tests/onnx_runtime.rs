//! The QDQ form of a quantized network in ONNX Runtime, without its optimizations, against the plan: layer by layer on the
//! same integers, and end to end.
//!
//! ONNX Runtime comes from its Python package; where that is absent the test says so and skips.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use still8::format::Family;
use still8_validation::data::{Dataset, Sample};
use still8_validation::fields::smooth;
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, Model};
use still8_validation::npy::{Array, Arrays, Values, write_npy};
use still8_validation::onnx::blocks::BLOCKS;
use still8_validation::{Failure, files};
use xtask::commands::bench::every_model;
use xtask::commands::quantize::quantize_model;
use xtask::console::Console;
use xtask::emit::emit;
use xtask::python::{ONNX_RUNTIME, Python};
use xtask::qdq::integers_of;
use xtask::quantize::isolate::layers;
use xtask::quantize::{Quantized, Settings, Silent, Source};
use xtask::reference;

/// Inputs of a network.
const INPUTS: usize = 1000;
/// Inputs of one run: what ONNX Runtime writes of them must fit into memory.
const CHUNK: usize = 50;
const LIMIT: Duration = Duration::from_secs(600);

/// Least share of equal bytes of a layer, those next to a half left out.
const EQUAL: f64 = 0.999;
/// Least share of samples with the same largest output.
const TOP_1: f64 = 0.999;

const QUIET: Console = Console { json: false, quiet: true };

/// What was compared.
#[derive(Default)]
struct Tally {
    bytes: usize,
    equal: usize,
    near: usize,
}

fn int8(arrays: &HashMap<String, Array>, name: &str) -> Vec<i8> {
    match arrays.get(name).and_then(Array::values) {
        Some(Values::Int8(values)) => values,
        other => panic!("{name}: {other:?}"),
    }
}

fn check(name: &str, quantized: &Quantized, data: &Dataset, inputs: usize, python: &Python) {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    let model = path("model.onnx");
    files::write_atomically(&model, |file| file.write_all(&quantized.to_qdq().unwrap())).unwrap();
    let plan = emit(&quantized.network, Family::Portable).unwrap().bytes;
    let runner = HostRunner::new(&plan).unwrap();
    let (ours, _) = runner.run(data, |_| ()).unwrap();
    let layers = layers(quantized).unwrap();
    let value = |id: usize| &quantized.graph.values[id];
    let mut tallies: Vec<Tally> = layers.iter().map(|_| Tally::default()).collect();
    let (mut same_top, mut same_bytes, mut all_bytes) = (0, 0, 0);
    let tensor = &data.inputs[0].1;
    for start in (0..inputs).step_by(CHUNK) {
        let count = CHUNK.min(inputs - start);
        let mut floats = Vec::new();
        for i in start..start + count {
            let Sample::Float(sample) = tensor.sample(i) else { panic!("float data") };
            floats.extend_from_slice(sample);
        }
        let shape = [&[count], &tensor.shape()[1..]].concat();
        let (input, output) = (path("input.npy"), path("output.npz"));
        files::write_atomically(&input, |file| write_npy(file, &shape, &Values::Float(floats))).unwrap();
        python.run("qdq.py", &[&model, &input, &output], LIMIT).unwrap();
        let Ok(Arrays::Named(arrays)) = Arrays::parse(&files::read(&output).unwrap()) else {
            panic!("{name}")
        };
        let arrays: HashMap<String, Array> = arrays.into_iter().collect();
        for (layer, tally) in layers.iter().zip(&mut tallies) {
            let given: Vec<Vec<i8>> =
                layer.inputs.iter().map(|&id| int8(&arrays, &integers_of(&value(id).name))).collect();
            let theirs = int8(&arrays, &integers_of(&value(layer.output).name));
            let near = int8(&arrays, &format!("{}_near", value(layer.output).name));
            let elements = theirs.len() / count;
            for i in 0..count {
                let inputs: Vec<&[i8]> =
                    given.iter().map(|all| &all[i * (all.len() / count)..][..all.len() / count]).collect();
                let ours = layer.run(&inputs).unwrap();
                let theirs = &theirs[i * elements..][..elements];
                for ((a, b), near) in ours.iter().zip(theirs).zip(&near[i * elements..]) {
                    assert!(a.abs_diff(*b) <= 1, "{name}, {}: {a} and {b}", layer.name);
                    tally.near += usize::from(*near == 1);
                    tally.bytes += usize::from(*near == 0);
                    tally.equal += usize::from(*near == 0 && a == b);
                }
            }
        }
        let output = quantized.graph.outputs[0];
        let theirs = int8(&arrays, &integers_of(&value(output).name));
        let elements = theirs.len() / count;
        for i in 0..count {
            let Sample::Int8(ours) = ours.quantized[0].1.sample(start + i) else { panic!("int8") };
            let theirs = &theirs[i * elements..][..elements];
            // Equal largest integers are no decision of either.
            let top = |q: &[i8]| q.iter().max().copied().unwrap_or_default();
            same_top +=
                usize::from(ours.iter().zip(theirs).any(|(&a, &b)| a == top(ours) && b == top(theirs)));
            same_bytes += ours.iter().zip(theirs).filter(|(a, b)| a == b).count();
            all_bytes += elements;
        }
    }
    let least = |tally: &Tally| tally.equal as f64 / tally.bytes.max(1) as f64;
    let near: usize = tallies.iter().map(|tally| tally.near).sum();
    let worst = layers.iter().zip(&tallies).min_by(|a, b| least(a.1).total_cmp(&least(b.1))).unwrap();
    println!(
        "{name}: {inputs} inputs, {} layers; the worst, {}, has {:.4} % of its bytes equal ({near} next to a half left out); \
         end to end {:.2} % of bytes, {:.2} % of top-1",
        layers.len(),
        worst.0.name,
        100.0 * least(worst.1),
        100.0 * same_bytes as f64 / all_bytes as f64,
        100.0 * same_top as f64 / inputs as f64
    );
    for (layer, tally) in layers.iter().zip(&tallies) {
        assert!(least(tally) >= EQUAL, "{name}, {}: {:.5} of bytes equal", layer.name, least(tally));
    }
    assert!(same_top as f64 >= TOP_1 * inputs as f64, "{name}: {same_top} of {inputs} top-1 equal");
}

fn python() -> Option<Python> {
    match Python::with(ONNX_RUNTIME) {
        Ok(python) => Some(python),
        Err(Failure::Missing(why)) => {
            println!("SKIPPED: {why}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn shipped_models_equal_onnx_runtime() {
    let Some(python) = python() else { return };
    // Those without their data are left out, with a warning.
    for folder in every_model(Console { json: false, quiet: false }).unwrap() {
        let model = Model::open(&folder).unwrap();
        let quantized = quantize_model(&folder, QUIET).unwrap();
        let data = model.dataset(DataKind::Test).unwrap();
        check(&model.recipe().name, &quantized, &data, INPUTS.min(data.samples()), &python);
    }
}

#[test]
fn networks_built_in_code_equal_onnx_runtime() {
    let Some(python) = python() else { return };
    for name in ["kws", "ic", "ad", "vww", "sww"] {
        let reference = reference::find(Path::new(name)).unwrap();
        let (_folder, path) = reference.temporary().unwrap();
        let source = Source::open(&path, &[]).unwrap();
        let quantized = source.quantize(&reference.calibration(), &reference.settings(), &Silent).unwrap();
        let data = smooth(3, &source.inputs(&reference.settings().input_ranges), 100);
        check(name, &quantized, &data, 100, &python);
    }
}

#[test]
fn blocks_equal_onnx_runtime() {
    let Some(python) = python() else { return };
    for (name, block) in BLOCKS {
        let source = Source::open(&block().write(name), &[]).unwrap();
        let specs = source.inputs(&Default::default());
        let quantized =
            source.quantize(&Dataset::random(1, &specs, 40), &Settings::default(), &Silent).unwrap();
        check(name, &quantized, &Dataset::random(2, &specs, 100), 100, &python);
    }
}

#[test]
fn public_models_equal_onnx_runtime() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/mlperf_tiny");
    if !folder.join("kws_float.onnx").is_file() {
        println!("SKIPPED: no {}/*_float.onnx", folder.display());
        return;
    }
    let Some(python) = python() else { return };
    let names = [("kws", [-60.0, 60.0]), ("ic", [0.0, 255.0]), ("ad", [-60.0, 20.0]), ("vww", [0.0, 1.0])];
    for (name, range) in names {
        let source = Source::open(&folder.join(format!("{name}_float.onnx")), &[]).unwrap();
        let mut specs = source.inputs(&Default::default());
        specs.iter_mut().for_each(|spec| spec.range = Some(range));
        let settings = Settings::default();
        let calibration = smooth(1, &specs, 64);
        let quantized = source.quantize(&calibration, &settings, &Silent).unwrap();
        check(name, &quantized, &smooth(2, &specs, INPUTS), INPUTS, &python);
    }
}
