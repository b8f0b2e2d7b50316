//! Quantized ONNX: what its scales become, and what is refused.

use std::path::PathBuf;

use still8::format::OpCode;
use still8_validation::data::Dataset;
use still8_validation::onnx::build::{ModelBuilder, With, int, node, tensor};
use still8_validation::onnx::pb::TensorProto;
use still8_validation::onnx::pb::tensor_proto::DataType;
use xtask::graph::{Given, Op};
use xtask::import::{Imported, import};
use xtask::quantization::Quantization;
use xtask::quantize::{Settings, Silent, Source};
use xtask::simplify::simplify;

fn write(name: &str, model: &ModelBuilder) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("still8-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.onnx"));
    std::fs::write(&path, model.bytes()).unwrap();
    path
}

fn scalar(model: ModelBuilder, name: &str, scale: f32, kind: DataType, zero_point: i32) -> ModelBuilder {
    let zero = TensorProto { int32_data: vec![zero_point], ..tensor(&format!("{name}_zero"), kind, &[]) };
    model.floats(&format!("{name}_scale"), &[], &[scale]).initializer(zero)
}

/// x → Q → DQ → MatMul with int8 weights → Relu → Q → DQ → y.
fn dense(kind: DataType, zero_points: [i32; 2], weights: [i32; 4]) -> ModelBuilder {
    let model = ModelBuilder::new(13).input("x", &[1, 2]);
    let model = scalar(model, "x", 0.5, kind, zero_points[0]);
    let model = scalar(model, "y", 0.25, kind, zero_points[1]);
    let model = scalar(model, "w", 0.125, DataType::Int8, 0);
    let integers = TensorProto { int32_data: weights.to_vec(), ..tensor("w", DataType::Int8, &[2, 2]) };
    model
        .initializer(integers)
        .node(node("QuantizeLinear", &["x", "x_scale", "x_zero"], "xq"))
        .node(node("DequantizeLinear", &["xq", "x_scale", "x_zero"], "xd"))
        .node(node("DequantizeLinear", &["w", "w_scale", "w_zero"], "wd"))
        .node(node("MatMul", &["xd", "wd"], "p"))
        .node(node("Relu", &["p"], "r"))
        .node(node("QuantizeLinear", &["r", "y_scale", "y_zero"], "yq"))
        .node(node("DequantizeLinear", &["yq", "y_scale", "y_zero"], "y"))
        .output("y")
}

fn imported(name: &str, model: &ModelBuilder) -> Imported {
    let mut imported = import(&write(name, model), &[]).unwrap();
    simplify(&mut imported.graph);
    imported
}

fn refused(name: &str, model: &ModelBuilder, texts: &[&str]) {
    let failure = import(&write(name, model), &[]).unwrap_err();
    for text in texts {
        assert!(failure.to_string().contains(text), "`{text}` is missing in: {failure}");
    }
}

#[test]
fn scales_and_zero_points_are_kept_and_uint8_is_shifted() {
    for (name, kind, shift) in [("int8", DataType::Int8, 0), ("uint8", DataType::Uint8, 128)] {
        let graph = imported(name, &dense(kind, [3 + shift, -128 + shift], [1, -2, 127, -127])).graph;
        assert_eq!(graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>(), ["MatMul", "Clip"]);
        let given = |scale, zero_point| {
            let dtype = still8::format::DataType::Int8;
            Some(Given::Activation(Quantization { scale, zero_point, dtype }))
        };
        assert_eq!(graph.values[graph.inputs[0]].given, given(0.5, 3));
        let output = &graph.values[graph.outputs[0]];
        assert_eq!((output.name.as_str(), &output.given), ("y", &given(0.25, -128)));
        let weights = &graph.values[graph.nodes[0].inputs[1]];
        assert_eq!(weights.given, Some(Given::Weights { bits: 8, scales: vec![0.125; 2] }));
        let floats: Vec<f32> = weights.constant.as_ref().unwrap().iter().copied().collect();
        assert_eq!(floats, [0.125, -0.25, 15.875, -15.875]);
    }
}

/// [`dense`] with weights of other bits.
fn with_weights(kind: DataType, zero_point: i32, integers: TensorProto) -> ModelBuilder {
    let mut model = dense(DataType::Int8, [0, 0], [0; 4]);
    model.opset = 21;
    let tensors = &mut model.graph.initializer;
    let at = |tensors: &[TensorProto], name: &str| tensors.iter().position(|t| t.name == name).unwrap();
    let (w, zero) = (at(tensors, "w"), at(tensors, "w_zero"));
    tensors[w] = TensorProto { name: "w".into(), data_type: kind as i32, dims: vec![2, 2], ..integers };
    tensors[zero] = TensorProto { int32_data: vec![zero_point], ..tensor("w_zero", kind, &[]) };
    model
}

#[test]
fn weights_of_four_bits_are_unpacked_and_stay_four_bits_where_they_are_symmetric() {
    let raw = |bytes: &[u8]| TensorProto { raw_data: bytes.to_vec(), ..TensorProto::default() };
    // 1, −2, 7, −7 as halves of bytes, the lower first; then the same about 8; then with −8.
    let cases = [
        ("int4", with_weights(DataType::Int4, 0, raw(&[0xe1, 0x97])), 4, [1.0, -2.0, 7.0, -7.0]),
        ("uint4", with_weights(DataType::Uint4, 8, raw(&[0x69, 0x1f])), 4, [1.0, -2.0, 7.0, -7.0]),
        ("int4_eight", with_weights(DataType::Int4, 0, raw(&[0xe1, 0x87])), 8, [1.0, -2.0, 7.0, -8.0]),
        (
            "int4_typed",
            with_weights(DataType::Int4, 0, TensorProto { int32_data: vec![0xe1, 0x97], ..raw(&[]) }),
            4,
            [1.0, -2.0, 7.0, -7.0],
        ),
    ];
    for (name, model, bits, integers) in cases {
        let imported = imported(name, &model);
        let weights = &imported.graph.values[imported.graph.nodes[0].inputs[1]];
        assert_eq!(weights.given, Some(Given::Weights { bits, scales: vec![0.125; 2] }), "{name}");
        let floats: Vec<f32> = weights.constant.as_ref().unwrap().iter().copied().collect();
        assert_eq!(floats, integers.map(|q| q * 0.125), "{name}");
        let warned =
            imported.warnings.iter().any(|warning| warning.contains("`w` holds integers of four bits"));
        assert_eq!(warned, bits == 8, "{name}: {:?}", imported.warnings);
    }
    let short = with_weights(DataType::Int4, 0, raw(&[0xe1]));
    refused("int4_short", &short, &["tensor `w`", "2 elements where its shape [2, 2] has 4"]);
}

#[test]
fn int16_is_kept_and_uint16_shifted() {
    for (name, kind, shift) in [("int16", DataType::Int16, 0), ("uint16", DataType::Uint16, 32768)] {
        let imported = imported(name, &dense(kind, [shift, shift], [1, -2, 127, -127]));
        let given = |scale| {
            let dtype = still8::format::DataType::Int16;
            Some(Given::Activation(Quantization { scale, zero_point: 0, dtype }))
        };
        let graph = &imported.graph;
        assert_eq!(graph.values[graph.inputs[0]].given, given(0.5));
        assert_eq!(graph.values[graph.outputs[0]].given, given(0.25));
        assert!(imported.warnings.is_empty(), "{:?}", imported.warnings);
    }
    // About another zero point the range is held, not the steps: 0.25 · 65535 above 0 in 32767 of them.
    let relu = imported("uint16_relu", &dense(DataType::Uint16, [32768, 0], [1, 2, 3, 4]));
    let Some(Given::Activation(held)) = relu.graph.values[relu.graph.outputs[0]].given else { panic!() };
    assert_eq!((held.scale, held.zero_point), (0.25 * 65535.0 / 32767.0, 0));
    assert!(relu.warnings.iter().any(|warning| warning.contains("`yq` has the zero point 0 in UINT16")));
}

#[test]
fn int16_runs_as_int16_where_a_plan_can_and_is_warned_of_where_not() {
    let path = write("int16_run", &dense(DataType::Int16, [0, 0], [1, -2, 127, -127]));
    let source = Source::open(&path, &[]).unwrap();
    assert!(source.is_quantized());
    let data = Dataset::random(1, &source.inputs(&Default::default()), 40);
    let quantized = source.quantize(&data, &Settings::default(), &Silent).unwrap();
    let codes: Vec<OpCode> = quantized.network.ops.iter().map(|op| op.kind.code()).collect();
    // Input and output of a plan are int8.
    assert_eq!(codes, [OpCode::Convert, OpCode::Conv2d16, OpCode::Convert]);
    let output = quantized.network.ops[1].output;
    assert_eq!(quantized.network.tensors[output].quantization.scale, 0.25);
    let warned: Vec<&String> =
        quantized.warnings.iter().filter(|warning| warning.contains("int16 in the file")).collect();
    assert!(warned.len() == 1 && warned[0].ends_with("`x` (input)"), "{:?}", quantized.warnings);

    // In another shape before it is rounded, the product is int16 all the same; a Softmax is none.
    let mut shaped = dense(DataType::Int16, [0, 0], [1, -2, 127, -127]).integers("flat", &[2]);
    shaped.graph.node[4] = node("Reshape", &["p", "flat"], "r");
    let codes = |name: &str, model: &ModelBuilder, warning: &str| {
        let source = Source::open(&write(name, model), &[]).unwrap();
        let quantized = source.quantize(&data, &Settings::default(), &Silent).unwrap();
        assert!(quantized.warnings.iter().any(|text| text.ends_with(warning)), "{:?}", quantized.warnings);
        quantized.network.ops.iter().map(|op| op.kind.code()).collect::<Vec<_>>()
    };
    let wide = [OpCode::Convert, OpCode::Conv2d16, OpCode::Convert];
    assert_eq!(codes("int16_shaped", &shaped, "`x` (input)"), wide);
    shaped.graph.node[3] = node("Softmax", &["xd"], "p");
    assert!(!codes("int16_softmax", &shaped, "`y` (Reshape)").contains(&OpCode::Convert));
}

#[test]
fn weights_of_minus_128_are_rounded_again_with_a_warning() {
    let imported = imported("minus128", &dense(DataType::Int8, [0, 0], [1, 2, 3, -128]));
    assert_eq!(imported.graph.values[imported.graph.nodes[0].inputs[1]].given, None);
    assert!(imported.warnings.iter().any(|warning| warning.contains("`w`") && warning.contains("dB")));
}

#[test]
fn a_value_quantized_twice_is_requantized_between() {
    let mut model = dense(DataType::Int8, [0, 0], [1, 2, 3, 4]);
    model = scalar(model, "z", 0.75, DataType::Int8, 5);
    model = model.node(node("QuantizeLinear", &["y", "z_scale", "z_zero"], "zq")).node(node(
        "DequantizeLinear",
        &["zq", "z_scale", "z_zero"],
        "z",
    ));
    model.graph.output[0].name = "z".into();
    let graph = imported("twice", &model).graph;
    assert!(matches!(graph.nodes.last().unwrap().op, Op::Reshape), "{:?}", graph.nodes.last());
    assert_ne!(
        graph.values[graph.outputs[0]].given,
        graph.values[graph.nodes.last().unwrap().inputs[0]].given
    );
}

#[test]
fn bad_scales_and_types_are_refused_by_name() {
    for (name, scale) in [("zero", 0.0), ("negative", -0.5), ("nan", f32::NAN), ("infinite", f32::INFINITY)] {
        let mut model = dense(DataType::Int8, [0, 0], [1, 2, 3, 4]);
        model.graph.initializer.iter_mut().find(|tensor| tensor.name == "y_scale").unwrap().float_data[0] =
            scale;
        refused(name, &model, &["yq/node", "`y_scale`: a scale must be a positive number"]);
    }
    let zero = dense(DataType::Int8, [200, 0], [1, 2, 3, 4]);
    refused("zero_point", &zero, &["xq/node", "the zero point 200 is no INT8"]);
    let narrow = dense(DataType::Int4, [0, 0], [1, 2, 3, 4]);
    refused("int4", &narrow, &["xq/node", "activations of type INT4 are not supported; export with int8"]);
    let zero = dense(DataType::Uint16, [70_000, 32768], [1, 2, 3, 4]);
    refused("zero_point16", &zero, &["xq/node", "the zero point 70000 is no UINT16"]);
    let mut other = dense(DataType::Int8, [0, 0], [1, 2, 3, 4]);
    other.graph.node[1].input[1] = "y_scale".into();
    refused("other", &other, &["xd/node", "another scale or zero point than they were made with"]);
    let mut blocks = dense(DataType::Int8, [0, 0], [1, 2, 3, 4]);
    blocks.graph.node[2] = blocks.graph.node[2].clone().with(int("block_size", 2));
    refused("blocks", &blocks, &["wd/node", "attribute block_size=2 is not supported"]);
    let arithmetic = dense(DataType::Int8, [0, 0], [1, 2, 3, 4]).node(node("Relu", &["xq"], "rq"));
    let mut arithmetic = arithmetic;
    arithmetic.graph.output[0].name = "rq".into();
    refused("arithmetic", &arithmetic, &["rq/node", "it reads the integers `xq`"]);
}

/// The same convolution and product, once between QuantizeLinear and DequantizeLinear, once in operator form.
fn both_forms() -> [ModelBuilder; 2] {
    let start = || {
        let model = ModelBuilder::new(13).input("x", &[1, 2, 4, 4]);
        let model = scalar(model, "x", 0.5, DataType::Uint8, 130);
        let model = scalar(model, "c", 0.25, DataType::Uint8, 5);
        let model = scalar(model, "y", 0.75, DataType::Uint8, 100);
        let model = scalar(model, "v", 0.0625, DataType::Int8, 0);
        let kernel = (0..3 * 2 * 3 * 3).map(|i| i * 5 % 255 - 127).collect();
        let kernel = TensorProto { int32_data: kernel, ..tensor("w", DataType::Int8, &[3, 2, 3, 3]) };
        let zeros = TensorProto { int32_data: vec![0; 3], ..tensor("w_zero", DataType::Int8, &[3]) };
        let bias = TensorProto { int32_data: vec![7, -300, 12], ..tensor("b", DataType::Int32, &[3]) };
        let matrix = (0..8).map(|i| i * 30 - 120).collect();
        let matrix = TensorProto { int32_data: matrix, ..tensor("v", DataType::Int8, &[4, 2]) };
        model
            .floats("w_scale", &[3], &[0.125, 0.25, 0.5])
            .floats("b_scale", &[3], &[0.0625, 0.125, 0.25])
            .initializer(kernel)
            .initializer(zeros)
            .initializer(bias)
            .initializer(matrix)
            .node(node("QuantizeLinear", &["x", "x_scale", "x_zero"], "xq"))
    };
    let pads = || still8_validation::onnx::build::ints("pads", &[1, 1, 1, 1]);
    let axis = || int("axis", 0);
    let qdq = start()
        .node(node("DequantizeLinear", &["xq", "x_scale", "x_zero"], "xd"))
        .node(node("DequantizeLinear", &["w", "w_scale", "w_zero"], "wd").with(axis()))
        .node(node("DequantizeLinear", &["b", "b_scale"], "bd").with(axis()))
        .node(node("DequantizeLinear", &["v", "v_scale", "v_zero"], "vd"))
        .node(node("Conv", &["xd", "wd", "bd"], "conv").with(pads()))
        .node(node("QuantizeLinear", &["conv", "c_scale", "c_zero"], "cq"))
        .node(node("DequantizeLinear", &["cq", "c_scale", "c_zero"], "cd"))
        .node(node("MatMul", &["cd", "vd"], "p"))
        .node(node("QuantizeLinear", &["p", "y_scale", "y_zero"], "yq"))
        .node(node("DequantizeLinear", &["yq", "y_scale", "y_zero"], "y"))
        .output("y");
    let conv = ["xq", "x_scale", "x_zero", "w", "w_scale", "w_zero", "c_scale", "c_zero", "b"];
    let product = ["cq", "c_scale", "c_zero", "v", "v_scale", "v_zero", "y_scale", "y_zero"];
    let operators = start()
        .node(node("QLinearConv", &conv, "cq").with(pads()))
        .node(node("QLinearMatMul", &product, "yq"))
        .node(node("DequantizeLinear", &["yq", "y_scale", "y_zero"], "y"))
        .output("y");
    [qdq, operators]
}

#[test]
fn operator_form_means_what_qdq_means() {
    let [qdq, operators] = both_forms().map(|model| imported("forms", &model).graph);
    assert_eq!(qdq.nodes.len(), operators.nodes.len());
    for (a, b) in qdq.nodes.iter().zip(&operators.nodes) {
        assert_eq!(a.op, b.op);
        for (&a, &b) in a.inputs.iter().chain([&a.output]).zip(b.inputs.iter().chain([&b.output])) {
            let (a, b) = (&qdq.values[a], &operators.values[b]);
            assert_eq!((&a.shape, &a.constant, &a.given), (&b.shape, &b.constant, &b.given), "{}", a.name);
        }
    }
}

/// x → QuantizeLinear → MatMulInteger → Add → Cast → Mul → Mul → QuantizeLinear → DequantizeLinear → y.
fn sums(zero_point: i32, weights: [i32; 4]) -> ModelBuilder {
    let model = ModelBuilder::new(13).input("x", &[1, 2]);
    let model = scalar(model, "x", 0.5, DataType::Uint8, 130);
    let model = scalar(model, "y", 0.25, DataType::Uint8, 100);
    let of = |name: &str, kind, data: &[i32], shape: &[i64]| TensorProto {
        int32_data: data.to_vec(),
        ..tensor(name, kind, shape)
    };
    model
        .initializer(of("other_zero", DataType::Uint8, &[zero_point], &[]))
        .initializer(of("w", DataType::Uint8, &weights, &[2, 2]))
        .initializer(of("w_zeros", DataType::Uint8, &[128, 100], &[2]))
        .initializer(of("b", DataType::Int32, &[3, -5], &[2]))
        .floats("w_scales", &[2], &[0.125, 0.0625])
        .node(node("QuantizeLinear", &["x", "x_scale", "x_zero"], "xq"))
        .node(node("MatMulInteger", &["xq", "w", "other_zero", "w_zeros"], "s"))
        .node(node("Add", &["b", "s"], "biased"))
        .node(node("Cast", &["biased"], "cast").with(int("to", DataType::Float as i64)))
        .node(node("Mul", &["cast", "x_scale"], "half"))
        .node(node("Mul", &["half", "w_scales"], "r"))
        .node(node("QuantizeLinear", &["r", "y_scale", "y_zero"], "yq"))
        .node(node("DequantizeLinear", &["yq", "y_scale", "y_zero"], "y"))
        .output("y")
}

#[test]
fn sums_of_integer_products_are_a_product_with_the_scales_behind_them() {
    let graph = imported("sums", &sums(130, [1, 2, 255, 200])).graph;
    assert_eq!(graph.nodes.iter().map(|node| node.op.name()).collect::<Vec<_>>(), ["MatMul"]);
    let constant = |i: usize| {
        let value = &graph.values[graph.nodes[0].inputs[i]];
        (value.constant.as_ref().unwrap().iter().copied().collect::<Vec<f32>>(), value.given.clone())
    };
    // (w − its column's zero point) · its column's scale, and the bias in units of 0.5 · that.
    let weights = [-127.0 * 0.125, -98.0 * 0.0625, 127.0 * 0.125, 100.0 * 0.0625];
    assert_eq!(
        constant(1),
        (weights.to_vec(), Some(Given::Weights { bits: 8, scales: vec![0.125, 0.0625] }))
    );
    assert_eq!(constant(2).0, [3.0 * 0.0625, -5.0 * 0.03125]);
}

#[test]
fn sums_that_cannot_be_exact_are_refused_or_warned_of() {
    refused("sums_zero", &sums(131, [1; 4]), &["s/node", "another zero point than they were made with"]);
    let wide = imported("sums_wide", &sums(130, [1, 255, 0, 2]));
    assert!(wide.warnings.iter().any(|warning| warning.contains("`w`") && warning.contains("dB")));
    let mut read = sums(130, [1; 4]);
    read.graph.node[2] = node("Relu", &["s"], "biased");
    refused("sums_read", &read, &["biased/node", "it reads the int32 sums `s`; put a Cast to float"]);
    let mut output = sums(130, [1; 4]);
    output.graph.output[0].name = "biased".into();
    refused("sums_output", &output, &["output `biased` is int32 sums of products"]);
    let mut dynamic = sums(130, [1; 4]);
    dynamic.graph.node[0] = node("DynamicQuantizeLinear", &["x"], "xq");
    dynamic.graph.node[0].output.extend(["scale".into(), "zero".into()]);
    dynamic.graph.node[1] = node("MatMulInteger", &["xq", "w", "zero", "w_zeros"], "s");
    let texts = ["xq/node` (DynamicQuantizeLinear)", "quantize the float model here, or statically"];
    refused("sums_dynamic", &dynamic, &texts);
    let mut computed = sums(130, [1; 4]);
    computed.graph.node[1] = node("MatMulInteger", &["xq", "xq", "other_zero", "w_zeros"], "s");
    refused("sums_computed", &computed, &["s/node", "input 1 must be constant"]);
}
