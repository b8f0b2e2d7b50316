//! Quantized ONNX files: what the plan makes of each operator, in operator form and between DequantizeLinear and
//! QuantizeLinear, against ONNX Runtime on the file itself.
//!
//! ONNX Runtime comes from its Python package; where that is absent the test says so and skips.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use still8::format::Family;
use still8_validation::data::{Dataset, Sample};
use still8_validation::host::HostRunner;
use still8_validation::model::{DataKind, Model};
use still8_validation::npy::{Arrays, Values, write_npy};
use still8_validation::onnx::build::{ModelBuilder, With, float, int, ints, node, tensor, text};
use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::{NodeProto, TensorProto};
use still8_validation::recipe::Precision;
use still8_validation::{Failure, files};
use xtask::emit::emit;
use xtask::python::{ONNX_RUNTIME, Python};
use xtask::quantize::{Quantized, Settings, Silent, Source};

const SAMPLES: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);
/// Least share of equal bytes: the others lie next to a half.
const EQUAL: f64 = 0.99;
/// That of a Resize, which counts fractions in 2048ths: up to an eighth of a step beside its rounding.
const EQUAL_LINEAR: f64 = 0.97;

/// Scale and zero point of the integers `xq`.
const X: (f32, i32) = (0.05, 117);
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
    let model = scalar(model, "x", X.0, DataType::Uint8, X.1);
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

/// One model for each operator in operator form.
fn operator_form() -> Vec<(&'static str, ModelBuilder)> {
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

/// One model for each operator that is more than arithmetic, on floats between integers.
fn qdq_form() -> Vec<(&'static str, ModelBuilder)> {
    let floats =
        |shape: &[i64]| start(shape).node(node("DequantizeLinear", &["xq", "x_scale", "x_zero"], "xd"));
    let quantized =
        |model: ModelBuilder| finish(model.node(node("QuantizeLinear", &["f", "y_scale", "y_zero"], "yq")));
    let resize =
        |mode: &str, x: &str, y: &str| node("Resize", &[x, "", "scales"], y).with(text("mode", mode));
    // Between whole factors exact halves, which engines round differently, would be frequent.
    let scales = |model: ModelBuilder| model.floats("scales", &[4], &[1.0, 1.0, 2.3, 1.7]);
    // The integers of x are those of y.
    let kept = |model: ModelBuilder| {
        model.node(node("DequantizeLinear", &["yq", "x_scale", "x_zero"], "y")).output("y")
    };
    let index = |x: &str| {
        floats(IMAGE)
            .node(node("ArgMax", &[x], "index").with(int("axis", 1)))
            .node(node("Cast", &["index"], "y").with(int("to", DataType::Float as i64)))
            .output("y")
    };
    let transposed = |groups: i64| {
        let weights = integers(floats(IMAGE), "t", DataType::Int8, &[4, 3, 3, 2], 53);
        let weights = weights.floats("t_scales", &[3], &[0.003, 0.004, 0.002]);
        let zeros = TensorProto { int32_data: vec![0; 3], ..tensor("t_zeros", DataType::Int8, &[3]) };
        let dequantized = node("DequantizeLinear", &["t", "t_scales", "t_zeros"], "td").with(int("axis", 1));
        let transposed = node("ConvTranspose", &["xd", "td"], "f")
            .with(ints("strides", &[2, 2]))
            .with(ints("pads", &[1, 0, 1, 1]))
            .with(int("group", groups));
        quantized(weights.initializer(zeros).node(dequantized).node(transposed))
    };
    let normal = floats(ROWS)
        .floats("gamma", &[6], &[1.0, 0.5, 2.0, -1.0, 1.5, 0.7])
        .floats("beta", &[6], &[0.0, 0.5, -0.5, 1.0, 0.0, 2.0])
        .node(node("LayerNormalization", &["xd", "gamma", "beta"], "f"));
    vec![
        ("Resize, nearest", quantized(scales(floats(IMAGE)).node(resize("nearest", "xd", "f")))),
        ("Resize, nearest, of integers", kept(scales(floats(IMAGE)).node(resize("nearest", "xq", "yq")))),
        (
            "Resize, linear",
            kept(scales(floats(IMAGE)).node(resize("linear", "xd", "f")).node(node(
                "QuantizeLinear",
                &["f", "x_scale", "x_zero"],
                "yq",
            ))),
        ),
        ("ConvTranspose", transposed(1)),
        ("ConvTranspose in groups", transposed(2)),
        ("ArgMax", index("xd")),
        ("ArgMax of integers", index("xq")),
        ("LayerNormalization", quantized(normal)),
        (
            "MaxPool with dilations, of integers",
            kept(
                start(IMAGE).node(
                    node("MaxPool", &["xq"], "yq")
                        .with(ints("kernel_shape", &[3, 2]))
                        .with(ints("dilations", &[2, 3]))
                        .with(ints("strides", &[1, 2]))
                        .with(ints("pads", &[2, 1, 1, 0])),
                ),
            ),
        ),
    ]
}

/// Scale and zero point of what a model puts out.
fn output_of(name: &str) -> (f32, i32) {
    match name {
        "QLinearSigmoid" | "QLinearSoftmax" => SHARE,
        "Resize, nearest, of integers" | "Resize, linear" | "MaxPool with dilations, of integers" => X,
        "ArgMax" | "ArgMax of integers" => (1.0, 0),
        _ => Y,
    }
}

#[test]
fn operators_in_operator_form_equal_onnx_runtime() {
    equal_onnx_runtime(operator_form());
}

#[test]
fn operators_in_qdq_form_equal_onnx_runtime() {
    equal_onnx_runtime(qdq_form());
}

/// Networks with weights of four bits and activations of sixteen, written as QDQ.
#[test]
fn other_precisions_equal_onnx_runtime() {
    let Some(python) = python() else { return };
    for name in ["fashion", "motion"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
        let model = Model::open(&folder).unwrap();
        let source = Source::open(&model.student().unwrap(), &[]).unwrap();
        let data = model.dataset(DataKind::Calibration).unwrap().pick(&(0..40).collect::<Vec<_>>());
        let quantize = |pins| {
            let settings = Settings { pins, recover: vec![], ..Settings::default() };
            source.quantize(&data, &settings, &Silent).unwrap()
        };
        let plain = quantize(vec![]);
        let weighted = plain.network.ops.iter().filter(|op| !op.kind.weights().is_empty());
        let of = [Precision::Int4, Precision::Int16, Precision::Int8];
        let pins = weighted.enumerate().map(|(i, op)| (op.name.clone(), of[i % 3])).collect();
        let quantized = quantize(pins);
        let test = model.dataset(DataKind::Test).unwrap();
        let test = test.pick(&(0..test.samples().min(1000)).collect::<Vec<_>>());
        let (ours, theirs) = both(&python, &quantized.to_qdq().unwrap(), &quantized, &test);
        let output = quantized.scheme.values[&quantized.graph.outputs[0]];
        let theirs: Vec<i32> = theirs.iter().map(|&real| output.quantize(real)).collect();
        let equal = ours.iter().zip(&theirs).filter(|&(&a, &b)| i32::from(a) == b).count();
        let classes = ours.len() / test.samples();
        let same = |(a, b): (&[i8], &[i32])| {
            let (top_a, top_b) = (a.iter().max().unwrap(), b.iter().max().unwrap());
            a.iter().zip(b).any(|(a, b)| a == top_a && b == top_b)
        };
        let same = ours.chunks(classes).zip(theirs.chunks(classes)).filter(|&pair| same(pair)).count();
        let share = equal as f64 / ours.len() as f64;
        println!("{name}: {:.2} % of bytes, top-1 of {same} of {} equal", 100.0 * share, test.samples());
        assert!(same as f64 >= 0.999 * test.samples() as f64, "{name}: {same}");
        assert!(share >= 0.95, "{name}: {share}");
    }
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

/// The bytes of the plan's output, and ONNX Runtime's output of a file, on all samples.
fn both(python: &Python, file: &[u8], quantized: &Quantized, data: &Dataset) -> (Vec<i8>, Vec<f32>) {
    let plan = emit(&quantized.network, Family::Portable).unwrap().bytes;
    let (outputs, _) = HostRunner::new(&plan).unwrap().run(data, |_| ()).unwrap();
    let ours = (0..data.samples()).flat_map(|i| match outputs.quantized[0].1.sample(i) {
        Sample::Int8(sample) => sample.to_vec(),
        Sample::Float(_) => panic!("int8 data"),
    });
    let tensor = &data.inputs[0].1;
    let floats = (0..data.samples()).flat_map(|i| match tensor.sample(i) {
        Sample::Float(sample) => sample.to_vec(),
        Sample::Int8(_) => panic!("float data"),
    });
    let floats = Values::Float(floats.collect());
    let folder = tempfile::tempdir().unwrap();
    let [path, input, output] =
        ["model.onnx", "input.npy", "output.npy"].map(|file| folder.path().join(file));
    std::fs::write(&path, file).unwrap();
    files::write_atomically(&input, |file| write_npy(file, tensor.shape(), &floats)).unwrap();
    python.run("run.py", &[&path, &input, &output], LIMIT).unwrap();
    let Ok(Arrays::One(theirs)) = Arrays::parse(&files::read(&output).unwrap()) else { panic!() };
    let Some(Values::Float(theirs)) = theirs.values() else { panic!() };
    (ours.collect(), theirs)
}

fn equal_onnx_runtime(models: Vec<(&'static str, ModelBuilder)>) {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for (name, model) in models {
        std::fs::write(&path, model.bytes()).unwrap();
        let source = Source::open(&path, &[]).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert!(source.is_quantized(), "{name} needs no calibration");
        let mut specs = source.inputs(&Default::default());
        // A little more than what the integers can hold.
        specs[0].range = Some([-6.0, 7.0]);
        let data = Dataset::random(1, &specs, SAMPLES);
        let quantized = source.quantize(&data, &Settings::default(), &Silent).unwrap();
        let (ours, theirs) = both(&python, &model.bytes(), &quantized, &data);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let (scale, zero_point) = output_of(name);
        let mut equal = 0;
        for (&q, &real) in ours.iter().zip(&theirs) {
            let wanted = (real / scale).round() as i32 + zero_point - 128;
            assert!((i32::from(q) - wanted).abs() <= 1, "{name}: {q} and {wanted}");
            equal += usize::from(i32::from(q) == wanted);
        }
        let distinct: HashSet<i8> = ours.iter().copied().collect();
        let share = equal as f64 / ours.len() as f64;
        println!("{name}: {:.3} % of {} bytes equal, {} values", 100.0 * share, ours.len(), distinct.len());
        let least = if name == "Resize, linear" { EQUAL_LINEAR } else { EQUAL };
        assert!(share >= least, "{name}: {share}");
    }
}
