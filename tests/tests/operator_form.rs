//! Quantized ONNX in operator form: what the plan makes of each operator, against ONNX Runtime on the file itself.
//!
//! ONNX Runtime comes from its Python package; where that is absent the test says so and skips.

use std::time::Duration;

use still8::format::Family;
use still8_validation::data::{Dataset, Sample};
use still8_validation::host::HostRunner;
use still8_validation::npy::{Arrays, Values, write_npy};
use still8_validation::onnx::build::{ModelBuilder, With, float, int, ints, node, tensor};
use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::{NodeProto, TensorProto};
use still8_validation::{Failure, files};
use xtask::emit::emit;
use xtask::python::{ONNX_RUNTIME, Python};
use xtask::quantize::{Settings, Silent, Source};

const SAMPLES: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);
/// Least share of equal bytes: the others lie next to a half.
const EQUAL: f64 = 0.99;

/// Scale and zero point of the integers `yq`, and of those of what lies between 0 and 1.
const Y: (f32, i32) = (0.11, 120);
const SHARE: (f32, i32) = (1.0 / 256.0, 0);

fn scalar(model: ModelBuilder, name: &str, scale: f32, kind: DataType, zero_point: i32) -> ModelBuilder {
    let zero = TensorProto { int32_data: vec![zero_point], ..tensor(&format!("{name}_zero"), kind, &[]) };
    model.floats(&format!("{name}_scale"), &[], &[scale]).initializer(zero)
}

fn integers(model: ModelBuilder, name: &str, kind: DataType, shape: &[i64], step: i32) -> ModelBuilder {
    let count = shape.iter().product::<i64>() as i32;
    let low = if kind == DataType::Uint8 { 0 } else { -127 };
    let data = (0..count).map(|i| i * step % 255 + low).collect();
    model.initializer(TensorProto { int32_data: data, ..tensor(name, kind, shape) })
}

/// x and its integers xq, a constant c, weights v and w with scales, biases, and the output's scale.
fn start(shape: &[i64]) -> ModelBuilder {
    let model = ModelBuilder::new(17).input("x", shape);
    let model = scalar(model, "x", 0.05, DataType::Uint8, 117);
    let model = scalar(model, "y", Y.0, DataType::Uint8, Y.1);
    let model = scalar(model, "share", SHARE.0, DataType::Uint8, SHARE.1);
    let model = scalar(model, "c", 0.03, DataType::Uint8, 90);
    let model = scalar(model, "v", 0.004, DataType::Int8, 0);
    let model = scalar(model, "w", 0.003, DataType::Int8, 0);
    let model = integers(model, "c", DataType::Uint8, &[1, 4, 1, 1], 37);
    let model = integers(model, "v", DataType::Int8, &[6, 5], 89);
    let model = integers(model, "w", DataType::Int8, &[3, 4, 3, 3], 71);
    let bias = TensorProto { int32_data: vec![900, -77, 3, 5, -2100], ..tensor("vb", DataType::Int32, &[5]) };
    model.initializer(bias).node(node("QuantizeLinear", &["x", "x_scale", "x_zero"], "xq"))
}

fn finish(model: ModelBuilder) -> ModelBuilder {
    model.node(node("DequantizeLinear", &["yq", "y_scale", "y_zero"], "y")).output("y")
}

fn microsoft(operator: &str, inputs: &[&str]) -> NodeProto {
    NodeProto { domain: "com.microsoft".into(), ..node(operator, inputs, "yq") }
}

const IMAGE: &[i64] = &[1, 4, 6, 6];
const ROW: &[i64] = &[1, 6];
const ROWS: &[i64] = &[1, 3, 6];

/// One model for each operator.
fn models() -> Vec<(&'static str, ModelBuilder)> {
    let x = ["xq", "x_scale", "x_zero"];
    let y = ["y_scale", "y_zero"];
    let share = |shape, node| {
        let dequantized = ["yq", "share_scale", "share_zero"];
        start(shape).node(node).node(self::node("DequantizeLinear", &dequantized, "y")).output("y")
    };
    let to_share = [&x[..], &["share_scale", "share_zero"]].concat();
    let image = |node| finish(start(IMAGE).node(node));
    let row = |node| finish(start(ROW).node(node));
    let with = |more: &[&'static str]| [&x[..], more, &y[..]].concat();
    let c = ["c", "c_scale", "c_zero"];
    let window = || ints("kernel_shape", &[3, 2]);
    let quantized =
        |model: ModelBuilder| finish(model.node(node("QuantizeLinear", &["f", "y_scale", "y_zero"], "yq")));
    // Sums of products with what ONNX Runtime's quantizer writes behind them.
    let convolved = |weights: &str| {
        start(IMAGE)
            .floats("factor", &[1, 3, 1, 1], &[0.00015, 0.0003, 0.0002])
            .floats("offset", &[1, 3, 1, 1], &[0.5, -1.0, 0.0])
            .node(node("ConvInteger", &["xq", weights, "x_zero"], "sums").with(ints("pads", &[1, 0, 2, 1])))
            .node(node("Cast", &["sums"], "cast").with(int("to", DataType::Float as i64)))
            .node(node("Mul", &["cast", "factor"], "scaled"))
            .node(node("Add", &["scaled", "offset"], "f"))
    };
    let multiplied = start(ROWS)
        .floats("factors", &[5], &[0.004, 0.003, 0.005, 0.004, 0.001])
        .floats("offset", &[5], &[0.5, -1.0, 0.0, 2.0, 0.25])
        .node(node("MatMulInteger", &["xq", "v", "x_zero"], "sums"))
        .node(node("Add", &["sums", "vb"], "biased"))
        .node(node("Cast", &["biased"], "cast").with(int("to", DataType::Float as i64)))
        .node(node("Mul", &["cast", "x_scale"], "half"))
        .node(node("Mul", &["factors", "half"], "scaled"))
        .node(node("Add", &["scaled", "offset"], "f"));
    let mut to_float =
        microsoft("MatMulIntegerToFloat", &["xq", "v", "x_scale", "v_scale", "x_zero", "v_zero", "offset"]);
    (to_float.name, to_float.output) = ("f/node".into(), vec!["f".into()]);
    let to_float = start(ROWS).floats("offset", &[5], &[0.5, -1.0, 0.0, 2.0, 0.25]).node(to_float);
    vec![
        ("QLinearAdd", image(microsoft("QLinearAdd", &with(&x)))),
        ("QLinearAdd of a constant", image(microsoft("QLinearAdd", &with(&c)))),
        ("QLinearMul", image(microsoft("QLinearMul", &with(&x)))),
        ("QLinearMul by a constant", image(microsoft("QLinearMul", &[&c[..], &x, &y].concat()))),
        ("QLinearSigmoid", share(IMAGE, microsoft("QLinearSigmoid", &to_share))),
        ("QLinearLeakyRelu", image(microsoft("QLinearLeakyRelu", &with(&[])).with(float("alpha", 0.2)))),
        (
            "QLinearSoftmax",
            share(ROW, microsoft("QLinearSoftmax", &to_share).with(int("axis", -1)).with(int("opset", 13))),
        ),
        (
            "QLinearConcat",
            image(
                microsoft("QLinearConcat", &[&y[..], &x, &["xq", "x_scale", "x_zero"]].concat())
                    .with(int("axis", 2)),
            ),
        ),
        (
            "QLinearAveragePool",
            image(microsoft("QLinearAveragePool", &with(&[])).with(window()).with(ints("strides", &[2, 1]))),
        ),
        (
            "QLinearAveragePool with padding that counts",
            image(
                microsoft("QLinearAveragePool", &with(&[]))
                    .with(window())
                    .with(ints("pads", &[1, 1, 0, 0]))
                    .with(int("count_include_pad", 1)),
            ),
        ),
        ("QLinearGlobalAveragePool", image(microsoft("QLinearGlobalAveragePool", &with(&[])))),
        (
            "QGemm",
            row(microsoft("QGemm", &with(&["v", "v_scale", "v_zero", "vb"])).with(float("alpha", 1.5))),
        ),
        ("QLinearConv", image(node("QLinearConv", &with(&["w", "w_scale", "w_zero"]), "yq"))),
        ("QLinearMatMul", row(node("QLinearMatMul", &with(&["v", "v_scale", "v_zero"]), "yq"))),
        ("ConvInteger", quantized(convolved("w"))),
        ("MatMulInteger", quantized(multiplied)),
        ("MatMulIntegerToFloat", quantized(to_float)),
    ]
}

#[test]
fn every_operator_equals_onnx_runtime() {
    let python = match Python::with(ONNX_RUNTIME) {
        Ok(python) => python,
        Err(Failure::Missing(why)) => return println!("SKIPPED: {why}"),
        Err(other) => panic!("{other}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let [path, input, output] =
        ["model.onnx", "input.npy", "output.npy"].map(|file| folder.path().join(file));
    for (name, model) in models() {
        std::fs::write(&path, model.bytes()).unwrap();
        let source = Source::open(&path, &[]).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let mut specs = source.inputs(&Default::default());
        assert!(source.is_quantized(), "{name} needs no calibration");
        // A little more than what the integers can hold.
        specs[0].range = Some([-6.0, 7.0]);
        let data = Dataset::random(1, &specs, SAMPLES);
        let quantized = source.quantize(&data, &Settings::default(), &Silent).unwrap();
        let plan = emit(&quantized.network, Family::Portable).unwrap().bytes;
        let (ours, _) = HostRunner::new(&plan).unwrap().run(&data, |_| ()).unwrap();

        let tensor = &data.inputs[0].1;
        let floats = (0..SAMPLES).flat_map(|i| match tensor.sample(i) {
            Sample::Float(sample) => sample.to_vec(),
            Sample::Int8(_) => panic!("float data"),
        });
        let floats = Values::Float(floats.collect());
        files::write_atomically(&input, |file| write_npy(file, tensor.shape(), &floats)).unwrap();
        python.run("run.py", &[&path, &input, &output], LIMIT).unwrap();
        let Ok(Arrays::One(theirs)) = Arrays::parse(&files::read(&output).unwrap()) else { panic!("{name}") };
        let Some(Values::Float(theirs)) = theirs.values() else { panic!("{name}") };

        let all: Vec<i8> = (0..SAMPLES)
            .flat_map(|i| match ours.quantized[0].1.sample(i) {
                Sample::Int8(sample) => sample.to_vec(),
                Sample::Float(_) => panic!("int8 data"),
            })
            .collect();
        assert_eq!(all.len(), theirs.len(), "{name}");
        let (scale, zero_point) =
            if ["QLinearSigmoid", "QLinearSoftmax"].contains(&name) { SHARE } else { Y };
        let mut equal = 0;
        for (&q, &real) in all.iter().zip(&theirs) {
            let wanted = (real / scale).round() as i32 + zero_point - 128;
            assert!((i32::from(q) - wanted).abs() <= 1, "{name}: {q} and {wanted}");
            equal += usize::from(i32::from(q) == wanted);
        }
        let distinct: std::collections::HashSet<i8> = all.iter().copied().collect();
        let share = equal as f64 / all.len() as f64;
        println!("{name}: {:.3} % of {} bytes equal, {} values", 100.0 * share, all.len(), distinct.len());
        assert!(share >= EQUAL, "{name}: {share}");
    }
}
