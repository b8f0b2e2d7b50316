//! Blocks as networks use them: imported, compared with tract, quantized with everything that is on by default, and run.

mod support;

use still8::format::{Family, OpCode};
use still8_validation::data::{Dataset, Sample};
use still8_validation::host::HostRunner;
use still8_validation::onnx::blocks::{self, BLOCKS};
use still8_validation::onnx::testing::ModelBuilder;
use support::check;
use xtask::emit::emit;
use xtask::float::FloatRunner;
use xtask::network::Network;
use xtask::quantize::{Settings, Silent, Source};

/// Calibration and test samples.
const SAMPLES: usize = 40;

/// Output SQNR in dB that any of these reaches: an operator that is lowered wrongly has a few dB at most.
const LEAST: f64 = 28.0;

/// Holds the model to tract in float, and the plan to [`LEAST`]; returns the int8 network.
fn quantized(name: &str, model: &ModelBuilder) -> Network {
    check(name, model);
    let source = Source::open(&model.write(name), &[]).unwrap();
    let specs = source.inputs(&Default::default());
    let calibration = Dataset::random(1, &specs, SAMPLES);
    let quantized = source.quantize(&calibration, &Settings::default(), &Silent).unwrap();
    let test = Dataset::random(2, &specs, SAMPLES);
    let plan = emit(&quantized.network, Family::Dsp).unwrap().bytes;
    let runner = HostRunner::new(&plan).unwrap();
    let outputs = runner.run(&test, |_| ()).unwrap().0.dequantized();
    let graph = source.graph();
    let float = FloatRunner::new(graph, &graph.outputs);
    let (mut signal, mut error) = (0.0, 0.0);
    for i in 0..SAMPLES {
        let Sample::Float(input) = test.inputs[0].1.sample(i) else { panic!("{name}") };
        let shape = graph.values[graph.inputs[0]].shape.clone();
        let input = ndarray::ArrayD::from_shape_vec(shape, input.to_vec()).unwrap();
        let Sample::Float(found) = outputs[0].1.sample(i) else { panic!("{name}") };
        for (real, found) in float.run(&[input])[0].iter().zip(found) {
            signal += f64::from(*real).powi(2);
            error += f64::from(real - found).powi(2);
        }
    }
    let db = 10.0 * (signal / error).log10();
    println!("{name}: {db:.1} dB");
    assert!(db >= LEAST, "{name}: {db:.1} dB");
    quantized.network
}

fn count(network: &Network, code: OpCode) -> usize {
    network.ops.iter().filter(|op| op.kind.code() == code).count()
}

#[test]
fn every_block_keeps_its_signal() {
    for (name, block) in BLOCKS.iter().filter(|(name, _)| *name != "labels") {
        quantized(name, &block());
    }
}

#[test]
fn gates_move_nothing() {
    let network = quantized("gates", &blocks::squeeze_and_excite());
    assert_eq!([count(&network, OpCode::Mul), count(&network, OpCode::Transpose)], [1, 0]);
}

#[test]
fn attention_is_two_products_of_activations() {
    let network = quantized("attention", &blocks::transformer());
    assert_eq!([count(&network, OpCode::MatMul), count(&network, OpCode::LayerNorm)], [2, 2]);
}

#[test]
fn labels_are_indices() {
    let model = blocks::labels();
    check("labels", &model);
    let source = Source::open(&model.write("labels_int8"), &[]).unwrap();
    let data = Dataset::random(5, &source.inputs(&Default::default()), SAMPLES);
    let quantized = source.quantize(&data, &Settings::default(), &Silent).unwrap();
    let runner = HostRunner::new(&emit(&quantized.network, Family::Portable).unwrap().bytes).unwrap();
    let outputs = runner.run(&data, |_| ()).unwrap().0.dequantized();
    let graph = source.graph();
    let float = FloatRunner::new(graph, &graph.outputs);
    let (mut same, mut all) = (0, 0);
    for i in 0..SAMPLES {
        let Sample::Float(input) = data.inputs[0].1.sample(i) else { panic!("floats") };
        let input = ndarray::ArrayD::from_shape_vec(vec![1, 3, 8, 8], input.to_vec()).unwrap();
        let Sample::Float(found) = outputs[0].1.sample(i) else { panic!("floats") };
        same += float.run(&[input])[0].iter().zip(found).filter(|(a, b)| a == b).count();
        all += found.len();
    }
    assert!(same * 100 >= all * 95, "{same} of {all} labels are the same");
}
