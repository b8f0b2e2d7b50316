//! Quantizes a small ONNX model, runs it on the host and compares it with tract, element by element in the source
//! graph's layout.

use std::collections::HashMap;

use ndarray::ArrayD;
use still8::format::Family;
use still8_validation::data::{Dataset, Sample};
use still8_validation::host::HostRunner;
use still8_validation::metrics::sqnr_db;
use still8_validation::onnx::testing::ModelBuilder;
use still8_validation::oracle::Oracle;
use still8_validation::random::SplitMix64;
use still8_validation::transfer::Transfer;
use xtask::calibrate::Method;
use xtask::emit::{decode, emit, repack};
use xtask::network::Network;
use xtask::quantize::{Settings, Silent, Source};

/// Samples of calibration and of comparison: the same ones under min-max calibration, so that nothing saturates.
const SAMPLES: usize = 32;

/// A model and how close its int8 form must come.
///
/// The default bound of 28 dB leaves room for one operator between two roundings: values that are normally distributed
/// over ±4σ lose 41 dB in 255 steps, an input and weights uniform over theirs 48 dB each, which makes 39 dB; outputs
/// whose range one outlier sets, or that are mostly clamped, lose some more.
pub struct Case {
    name: String,
    model: ModelBuilder,
    /// Range of each input, cycled.
    ranges: Vec<[f32; 2]>,
    /// Least ratio of signal to error of each output, in dB.
    sqnr_db: f64,
    /// Largest error of an element, in steps of its output.
    steps: f32,
}

impl Case {
    /// With inputs in [−1, 1] and the default bounds. `name` must be unique among the tests.
    pub fn new(name: impl Into<String>, model: ModelBuilder) -> Self {
        Self { name: name.into(), model, ranges: vec![[-1.0, 1.0]], sqnr_db: 28.0, steps: 2.5 }
    }

    /// With inputs in these ranges.
    pub fn ranges(self, ranges: &[[f32; 2]]) -> Self {
        Self { ranges: ranges.to_vec(), ..self }
    }

    /// With a bound that only arithmetic which the caller explains may lower.
    pub fn bounds(self, sqnr_db: f64, steps: f32) -> Self {
        Self { sqnr_db, steps, ..self }
    }

    /// Compares with tract, and checks what every plan must satisfy. Returns the network for further looks.
    pub fn check(&self) -> Network {
        let name = &self.name;
        let path = self.model.write(name);
        let source = Source::open(&path, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut specs = source.inputs(&HashMap::new());
        for (spec, range) in specs.iter_mut().zip(self.ranges.iter().cycle()) {
            spec.range = Some(*range);
        }
        let data = Dataset::random(7, &specs, SAMPLES);
        let settings = Settings { method: Some(Method::MinMax), recover: vec![], ..Settings::default() };
        let quantized = source.quantize(&data, &settings, &Silent);
        let network = quantized.unwrap_or_else(|error| panic!("{name}: {error}")).network;
        let bytes = emit(&network, Family::Portable).unwrap().bytes;
        let runner = HostRunner::new(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.compare(&runner, &data, &Oracle::load(&path, &[]).unwrap());
        families_agree(name, &runner, &data);
        network
    }

    fn compare(&self, runner: &HostRunner, data: &Dataset, oracle: &Oracle) {
        let name = &self.name;
        let (outputs, report) = runner.run(data, |_| ()).unwrap();
        assert_eq!(report.nan, 0, "{name}");
        let expected: Vec<Vec<ArrayD<f32>>> =
            (0..SAMPLES).map(|i| oracle.run(&sample(data, i, oracle)).unwrap()).collect();
        let plan = runner.plan();
        assert_eq!(plan.output_count(), oracle.outputs().len(), "{name}");
        for (o, (name_out, tensor)) in outputs.dequantized().iter().enumerate() {
            let io = plan.output(o).unwrap();
            assert_eq!(*name_out, oracle.outputs()[o], "{name}");
            let shape: Vec<usize> = io.shape.iter().map(|&dim| dim as usize).collect();
            assert_eq!(shape, expected[0][o].shape(), "{name}: output {o} is not in the source's layout");
            let real: Vec<f32> = expected.iter().flat_map(|sample| sample[o].iter().copied()).collect();
            let quantized: Vec<f32> = (0..SAMPLES).flat_map(|i| floats(tensor.sample(i))).collect();
            let db = sqnr_db(&real, &quantized);
            let errors = real.iter().zip(&quantized).map(|(a, b)| (a - b).abs());
            let steps = errors.fold(0.0, f32::max) / io.quantization.scale;
            println!("{name}, output {o}: {db:.1} dB, at most {steps:.2} steps off");
            assert!(db >= self.sqnr_db, "{name}, output {o}: {db:.1} dB against tract");
            assert!(steps <= self.steps, "{name}, output {o}: an element is {steps:.2} steps off");
        }
    }
}

/// The plan survives decoding, and repacking to another family and back, byte for byte; and the portable kernels
/// compute the same from either order of weights.
fn families_agree(name: &str, runner: &HostRunner, data: &Dataset) {
    let plan = runner.plan();
    let again = emit(&decode(&plan), Family::Portable).unwrap().bytes;
    assert!(again == runner.bytes(), "{name}: the plan does not survive decoding");
    let dsp = HostRunner::new(&repack(&plan, Family::Dsp).unwrap()).unwrap();
    let dsp_plan = dsp.plan();
    assert_eq!(dsp_plan.family(), Family::Dsp);
    let back = repack(&dsp_plan, Family::Portable).unwrap();
    assert!(back == runner.bytes(), "{name}: the plan does not survive repacking to dsp and back");
    let inputs = Transfer::new(&plan).to_device(data).unwrap();
    let outputs = [runner, &dsp].map(|runner| runner.run_device(&inputs, |_| ()));
    assert!(outputs[0] == outputs[1], "{name}: portable kernels on dsp order compute something else");
}

/// Inputs of sample `i` in the shapes that the float model takes.
fn sample(data: &Dataset, i: usize, oracle: &Oracle) -> Vec<ArrayD<f32>> {
    data.inputs
        .iter()
        .zip(oracle.input_shapes())
        .map(|((_, tensor), shape)| ArrayD::from_shape_vec(shape, floats(tensor.sample(i))).unwrap())
        .collect()
}

fn floats(sample: Sample<'_>) -> Vec<f32> {
    match sample {
        Sample::Float(values) => values.to_vec(),
        Sample::Int8(_) => panic!("int8 where floats were made"),
    }
}

/// Adds constants to a model.
pub trait Constants {
    /// Weights uniform in [−1, 1]; the name is their seed.
    fn weights(self, name: &str, shape: &[i64]) -> Self;
    /// Uniform in a range; the name is their seed.
    fn constants(self, name: &str, shape: &[i64], range: [f32; 2]) -> Self;
}

impl Constants for ModelBuilder {
    fn weights(self, name: &str, shape: &[i64]) -> Self {
        self.constants(name, shape, [-1.0, 1.0])
    }

    fn constants(self, name: &str, shape: &[i64], range: [f32; 2]) -> Self {
        let seed = name.bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte));
        let mut random = SplitMix64::new(seed);
        let elements = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..elements).map(|_| random.uniform(range)).collect();
        self.floats(name, shape, &values)
    }
}
