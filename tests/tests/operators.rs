//! Every supported operator, quantized from a small ONNX model and run on the host, against the float run of tract.
//!
//! Each case also passes through decoding and through both weight orders; see `support/accuracy.rs`.

#[path = "support/accuracy.rs"]
mod accuracy;

#[path = "operators/functions.rs"]
mod functions;
#[path = "operators/moves.rs"]
mod moves;

use accuracy::{Case, Constants};
use still8::format::OpCode;
use still8_validation::onnx::pb::AttributeProto;
use still8_validation::onnx::testing::{ModelBuilder, With, float, int, ints, node};
use xtask::network::Network;

const OPSET: i64 = 17;

/// A model with one input `x`.
fn model(shape: &[i64]) -> ModelBuilder {
    ModelBuilder::new(OPSET).input("x", shape)
}

fn check<const N: usize>(cases: [Case; N]) -> [Network; N] {
    cases.map(|case| case.check())
}

/// A model of one operator on `x`.
fn unary(name: &'static str, operator: &str, shape: &[i64], attributes: &[AttributeProto]) -> Case {
    let node =
        attributes.iter().fold(node(operator, &["x"], "y"), |node, attribute| node.with(attribute.clone()));
    Case::new(name, model(shape).node(node).output("y"))
}

/// x → Conv → y, with bias.
fn conv(name: &'static str, input: &[i64], weights: &[i64], attributes: &[AttributeProto]) -> Case {
    let node = attributes
        .iter()
        .fold(node("Conv", &["x", "w", "b"], "y"), |node, attribute| node.with(attribute.clone()));
    let model = model(input).weights("w", weights).weights("b", &weights[..1]);
    Case::new(name, model.node(node).output("y"))
}

fn codes(network: &Network) -> Vec<OpCode> {
    network.ops.iter().map(|op| op.kind.code()).collect()
}

#[test]
fn conv_2d() {
    let networks = check([
        conv("conv-plain", &[1, 3, 9, 8], &[4, 3, 3, 3], &[]),
        conv("conv-asymmetric-pads", &[1, 3, 9, 8], &[5, 3, 3, 2], &[ints("pads", &[2, 0, 1, 1])]),
        conv(
            "conv-strides",
            &[1, 4, 11, 10],
            &[6, 4, 3, 3],
            &[ints("strides", &[2, 3]), ints("pads", &[1, 1, 1, 1])],
        ),
        conv(
            "conv-dilations",
            &[1, 2, 12, 11],
            &[3, 2, 3, 3],
            &[ints("dilations", &[2, 3]), ints("pads", &[2, 3, 2, 3])],
        ),
        conv("conv-groups", &[1, 6, 7, 7], &[9, 2, 3, 3], &[int("group", 3), ints("pads", &[1, 1, 1, 1])]),
        conv("conv-pointwise", &[1, 7, 5, 6], &[5, 7, 1, 1], &[]),
        conv("conv-whole-image", &[1, 3, 6, 5], &[8, 3, 6, 5], &[]),
        conv("conv-one-channel", &[1, 1, 10, 6], &[1, 1, 5, 3], &[ints("pads", &[2, 1, 2, 1])]),
        conv("conv-padding-past-kernel", &[1, 2, 5, 5], &[3, 2, 2, 2], &[ints("pads", &[3, 2, 2, 3])]),
    ]);
    assert!(networks.iter().all(|network| codes(network) == [OpCode::Conv2d]));
}

#[test]
fn conv_1d() {
    check([
        conv("conv1d-plain", &[1, 3, 20], &[5, 3, 5], &[ints("pads", &[2, 2])]),
        conv(
            "conv1d-strided-dilated",
            &[1, 4, 30],
            &[6, 4, 3],
            &[ints("strides", &[2]), ints("dilations", &[3]), ints("pads", &[1, 4])],
        ),
        conv("conv1d-depthwise", &[1, 6, 17], &[6, 1, 5], &[int("group", 6), ints("pads", &[4, 0])]),
    ]);
}

#[test]
fn depthwise() {
    let networks = check([
        conv(
            "depthwise-plain",
            &[1, 7, 8, 9],
            &[7, 1, 3, 3],
            &[int("group", 7), ints("pads", &[1, 1, 1, 1])],
        ),
        conv(
            "depthwise-strides",
            &[1, 8, 9, 9],
            &[8, 1, 3, 5],
            &[int("group", 8), ints("strides", &[2, 1]), ints("pads", &[0, 2, 1, 3])],
        ),
        conv(
            "depthwise-multiplier-2",
            &[1, 5, 7, 7],
            &[10, 1, 3, 3],
            &[int("group", 5), ints("dilations", &[2, 2]), ints("pads", &[2, 2, 2, 2])],
        ),
    ]);
    assert!(networks.iter().all(|network| codes(network) == [OpCode::DepthwiseConv2d]));
}

#[test]
fn gemm() {
    let gemm = |name, attributes: &[AttributeProto], weights: &[i64]| {
        let node = attributes
            .iter()
            .fold(node("Gemm", &["x", "w", "b"], "y"), |node, attribute| node.with(attribute.clone()));
        Case::new(name, model(&[1, 33]).weights("w", weights).weights("b", &[7]).node(node).output("y"))
    };
    check([
        gemm("gemm-plain", &[], &[33, 7]),
        gemm("gemm-transposed", &[int("transB", 1)], &[7, 33]),
        gemm("gemm-scaled", &[float("alpha", 0.3), float("beta", 4.0), int("transB", 1)], &[7, 33]),
    ]);
}

#[test]
fn mat_mul() {
    let product = |inputs: &[&str]| node("MatMul", inputs, "y");
    check([
        Case::new(
            "matmul-row",
            model(&[1, 24]).weights("w", &[24, 5]).node(product(&["x", "w"])).output("y"),
        ),
        Case::new(
            "matmul-rows",
            model(&[1, 6, 13]).weights("w", &[13, 5]).node(product(&["x", "w"])).output("y"),
        ),
        Case::new(
            "matmul-batches",
            model(&[1, 2, 6, 8]).weights("w", &[8, 3]).node(product(&["x", "w"])).output("y"),
        ),
        Case::new(
            "matmul-weights-first",
            model(&[1, 6, 5]).weights("w", &[4, 6]).node(product(&["w", "x"])).output("y"),
        ),
    ]);
}

/// BatchNormalization of 5 channels, from `x`.
fn normalized(model: ModelBuilder, x: &str) -> ModelBuilder {
    let model = model.constants("scale", &[5], [0.5, 1.5]).weights("shift", &[5]);
    model
        .constants("mean", &[5], [-0.2, 0.2])
        .constants("variance", &[5], [0.3, 1.0])
        .node(node("BatchNormalization", &[x, "scale", "shift", "mean", "variance"], "y"))
        .output("y")
}

#[test]
fn batch_normalization() {
    let convolved = model(&[1, 3, 7, 7]).weights("w", &[5, 3, 3, 3]).node(node("Conv", &["x", "w"], "z"));
    let rectified = model(&[1, 5, 7, 7]).node(node("Relu", &["x"], "z"));
    let [folded, alone, one_spatial_axis] = check([
        Case::new("batchnorm-folded", normalized(convolved, "z")),
        Case::new("batchnorm-behind-relu", normalized(rectified, "z")),
        Case::new("batchnorm-1d", normalized(model(&[1, 5, 12]), "x")),
    ]);
    assert_eq!(codes(&folded), [OpCode::Conv2d]);
    assert_eq!(codes(&alone), [OpCode::Table, OpCode::DepthwiseConv2d]);
    assert_eq!(codes(&one_spatial_axis), [OpCode::DepthwiseConv2d]);
}

#[test]
fn arithmetic_with_constants() {
    let with = |name, operator: &str, shape: &[i64]| {
        let model = model(&[1, 4, 5, 6]).constants("c", shape, [0.5, 1.5]);
        Case::new(name, model.node(node(operator, &["x", "c"], "y")).output("y"))
    };
    check([
        with("constant-add", "Add", &[1, 4, 1, 1]),
        with("constant-sub", "Sub", &[4, 1, 1]),
        with("constant-mul", "Mul", &[1, 4, 1, 1]),
        with("constant-div", "Div", &[1]),
    ]);
}

#[test]
fn relu_and_clip() {
    let limits = |model: ModelBuilder| model.floats("low", &[], &[-0.3]).floats("high", &[], &[0.6]);
    let clip = |from: &str| node("Clip", &[from, "low", "high"], "y");
    let convolved = || {
        let model = model(&[1, 3, 7, 7]).constants("w", &[5, 3, 3, 3], [-0.2, 0.2]);
        model.node(node("Conv", &["x", "w"], "z"))
    };
    let [relu, alone, fused, relu_fused, kept] = check([
        unary("relu-alone", "Relu", &[1, 3, 5, 4], &[]),
        Case::new("clip-alone", limits(model(&[1, 3, 5, 4])).node(clip("x")).output("y")),
        Case::new("clip-fused", limits(convolved()).node(clip("z")).output("y")),
        Case::new("relu-fused", convolved().node(node("Relu", &["z"], "y")).output("y")),
        // A step of the convolution, which may be half a step off, is several of the narrower Clip's.
        Case::new("clip-of-an-output", limits(convolved()).node(clip("z")).output("y").output("z"))
            .bounds(28.0, 4.0),
    ]);
    assert_eq!(codes(&relu), [OpCode::Table]);
    assert_eq!(codes(&alone), [OpCode::Table]);
    assert_eq!(codes(&fused), [OpCode::Conv2d]);
    assert_eq!(codes(&relu_fused), [OpCode::Conv2d]);
    assert_eq!(codes(&kept), [OpCode::Conv2d, OpCode::Table]);
}

#[test]
fn add() {
    let two = |shape: &[i64]| model(shape).input("x2", shape);
    let sum = |inputs: &[&str]| node("Add", inputs, "y");
    let residual = model(&[1, 4, 6, 6])
        .weights("w", &[4, 4, 3, 3])
        .node(node("Conv", &["x", "w"], "z").with(ints("pads", &[1, 1, 1, 1])))
        .node(sum(&["z", "x"]));
    let rectified = two(&[1, 3, 5, 5]).node(node("Add", &["x", "x2"], "z")).node(node("Relu", &["z"], "y"));
    check([
        Case::new("add-plain", two(&[1, 3, 5, 5]).node(sum(&["x", "x2"])).output("y")),
        Case::new("add-unlike-scales", two(&[1, 3, 5, 5]).node(sum(&["x", "x2"])).output("y"))
            .ranges(&[[-1.0, 1.0], [-0.01, 30.0]]),
        Case::new("add-rank-2", two(&[1, 19]).node(sum(&["x", "x2"])).output("y")),
        Case::new("add-to-itself", model(&[1, 3, 5, 5]).node(sum(&["x", "x"])).output("y")),
        Case::new("add-residual", residual.output("y")),
        Case::new("add-relu", rectified.output("y")),
        Case::new(
            "add-input-read-again",
            two(&[1, 2, 4]).node(node("Add", &["x", "x2"], "z")).node(sum(&["z", "x"])).output("y"),
        ),
    ]);
}

#[test]
fn an_add_writes_over_an_input_that_nobody_reads_again() {
    let model = model(&[1, 3, 4, 4])
        .node(node("Softmax", &["x"], "z").with(int("axis", 3)))
        .node(node("Add", &["z", "z"], "y"))
        .output("y");
    let [network] = check([Case::new("add-in-place", model)]);
    let memory = xtask::plan::plan_memory(&network, still8::format::Family::Portable);
    let add = &network.ops[1];
    assert_eq!(memory.tensor_offsets[add.inputs[0]], memory.tensor_offsets[add.output]);
    // Input and output of the softmax.
    assert_eq!(memory.arena_bytes, 96);
}

#[test]
fn max_pool() {
    let pool = |name, shape: &[i64], attributes: &[AttributeProto]| unary(name, "MaxPool", shape, attributes);
    check([
        pool("maxpool-plain", &[1, 3, 8, 8], &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        pool(
            "maxpool-pads",
            &[1, 5, 9, 7],
            &[ints("kernel_shape", &[3, 3]), ints("strides", &[2, 1]), ints("pads", &[1, 2, 0, 1])],
        ),
        pool("maxpool-1d", &[1, 4, 15], &[ints("kernel_shape", &[3]), ints("strides", &[2])]),
        unary("maxpool-global", "GlobalMaxPool", &[1, 5, 4, 6], &[]),
    ]);
}

#[test]
fn average_pool() {
    let pool =
        |name, shape: &[i64], attributes: &[AttributeProto]| unary(name, "AveragePool", shape, attributes);
    let padded = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 1]), ints("pads", &[1, 2, 0, 1])];
    let counted = [&padded[..], &[int("count_include_pad", 1)]].concat();
    check([
        pool("averagepool-plain", &[1, 3, 8, 8], &[ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
        pool("averagepool-pads", &[1, 5, 9, 7], &padded),
        pool("averagepool-counted-pads", &[1, 5, 9, 7], &counted),
        pool("averagepool-1d", &[1, 4, 15], &[ints("kernel_shape", &[3]), ints("strides", &[2])]),
        unary("averagepool-global", "GlobalAveragePool", &[1, 5, 4, 6], &[]),
        unary("averagepool-global-1d", "GlobalAveragePool", &[1, 5, 11], &[]),
    ]);
}

#[test]
fn softmax() {
    let over = |name, shape: &[i64], axis| {
        unary(name, "Softmax", shape, &[int("axis", axis)]).ranges(&[[-4.0, 4.0]])
    };
    check([
        over("softmax-classes", &[1, 10], 1),
        over("softmax-rows", &[1, 6, 7], -1),
        over("softmax-last-of-4", &[1, 3, 4, 5], 3),
        over("softmax-channels-of-4", &[1, 5, 4, 3], 1),
        over("softmax-middle-of-3", &[1, 5, 4], 1),
    ]);
}

#[test]
fn reduce_mean() {
    let mean = |name, axes: &[i64], keep: i64| {
        unary(name, "ReduceMean", &[1, 5, 4, 6], &[ints("axes", axes), int("keepdims", keep)])
    };
    let behind_conv = |name, axes: &[i64], keep: i64| {
        let model = model(&[1, 3, 6, 5]).weights("w", &[4, 3, 3, 3]).node(node("Conv", &["x", "w"], "z"));
        let mean = node("ReduceMean", &["z"], "y").with(ints("axes", axes)).with(int("keepdims", keep));
        Case::new(name, model.node(mean).output("y"))
    };
    check([
        mean("mean-spatial", &[2, 3], 1),
        mean("mean-spatial-dropped", &[2, 3], 0),
        mean("mean-channel", &[1], 1),
        mean("mean-channel-dropped", &[1], 0),
        mean("mean-height", &[2], 0),
        mean("mean-width", &[-1], 1),
        mean("mean-everything", &[0, 1, 2, 3], 1),
        behind_conv("mean-conv-spatial", &[2, 3], 0),
        behind_conv("mean-conv-channel", &[1], 0),
        behind_conv("mean-conv-width", &[3], 0),
    ]);
}

#[test]
fn several_inputs_and_outputs() {
    let model = model(&[1, 3, 6, 5])
        .input("image", &[1, 5, 4, 3])
        .input("vector", &[1, 9])
        .weights("w", &[4, 3, 3, 3])
        .weights("u", &[4, 5, 1, 1])
        .weights("v", &[9, 4])
        .node(node("Conv", &["x", "w"], "a"))
        .node(node("Conv", &["image", "u"], "b"))
        .node(node("Add", &["a", "b"], "sum"))
        .node(node("GlobalAveragePool", &["sum"], "pooled"))
        .node(node("Flatten", &["pooled"], "flat"))
        .node(node("MatMul", &["vector", "v"], "dense"))
        .node(node("Add", &["flat", "dense"], "y"))
        .output("sum")
        .output("y")
        .output("b");
    check([Case::new("several", model).ranges(&[[-1.0, 1.0], [0.0, 2.0], [-3.0, 0.5]])]);
}
