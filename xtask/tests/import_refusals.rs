//! What import refuses: which exit code, and a text that names the culprit.

use std::path::Path;

use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::{AttributeProto, NodeProto};
use still8_validation::onnx::testing::{
    ModelBuilder, With, int, ints, node, tensor, text, value_info, write,
};
use xtask::import::import;
use xtask::simplify::simplify;

const USAGE: u8 = 2;
const UNSUPPORTED: u8 = 3;
const DATA: u8 = 4;

fn assert_refused(path: &Path, code: u8, parts: &[&str]) {
    let failure = import(path, &[]).expect_err(&path.display().to_string());
    let text = failure.to_string();
    assert_eq!(failure.exit_code(), code, "{text}");
    let file = path.file_name().unwrap().to_str().unwrap();
    for part in [&[file], parts].concat() {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

fn refused(name: &str, model: &ModelBuilder, code: u8, parts: &[&str]) {
    assert_refused(&model.write(&format!("refused_{name}")), code, parts);
}

fn relu(shape: &[i64]) -> ModelBuilder {
    single(shape, node("Relu", &["x"], "y"))
}

fn single(shape: &[i64], node: NodeProto) -> ModelBuilder {
    ModelBuilder::new(17).input("x", shape).node(node).output("y")
}

#[test]
fn files_that_are_no_models() {
    let whole = relu(&[1, 4]).bytes();
    let not_onnx = &["not an ONNX file or cut short"];
    assert_refused(&write("empty", &[]), DATA, not_onnx);
    assert_refused(&write("text", b"once upon a time there was a model"), DATA, not_onnx);
    for length in 0..whole.len() {
        assert_refused(&write("cut", &whole[..length]), DATA, not_onnx);
    }
    assert_refused(Path::new("/nowhere/absent.onnx"), DATA, &["cannot be read"]);
}

#[test]
fn any_byte_may_be_wrong_without_a_panic() {
    let conv = node("Conv", &["x", "w"], "c").with(ints("pads", &[1, 1, 1, 1])).with(int("group", 1));
    let model = single(&[1, 2, 4, 4], conv)
        .floats("w", &[3, 2, 3, 3], &[0.5; 54])
        .node(node("Shape", &["c"], "s"))
        .node(node("Reshape", &["c", "s"], "r"))
        .node(node("Pad", &["r", "pads"], "p"))
        .integers("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node(
            node("MaxPool", &["p"], "y").with(ints("kernel_shape", &[2, 2])).with(ints("strides", &[2, 2])),
        );
    let whole = model.bytes();
    import(&write("whole", &whole), &[]).unwrap();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Ok(mut imported) = import(&write("flipped", &bytes), &[]) {
                simplify(&mut imported.graph);
            }
        }
    }
}

#[test]
fn every_unsupported_node_is_listed_at_once() {
    let mut nameless = node("Frobnicate", &["f"], "g");
    nameless.name.clear();
    let mut foreign = node("FusedConv", &["g"], "h");
    foreign.domain = "com.microsoft".into();
    let model = single(&[1, 4], node("Mish", &["x"], "a"))
        .node(node("Gemm", &["a", "w"], "b").with(int("transA", 1)))
        .node(node("MatMul", &["a", "x"], "c"))
        .node(node("MaxPool", &["c"], "d").with(int("storage_order", 1)).with(ints("kernel_shape", &[2])))
        .node(node("Conv", &["d", "a"], "e").with(int("novel", 1)))
        .node(node("Reshape", &["e", "a"], "f"))
        .node(nameless)
        .node(foreign)
        .node(node("QLinearSigmoid", &["h"], "y"))
        .floats("w", &[4, 4], &[0.0; 16]);
    let lines = [
        "7 nodes are not supported",
        "`a/node` (Mish): operator not supported; train the student with LeakyRelu",
        "`d/node` (MaxPool): attribute storage_order=1",
        "`e/node` (Conv): attribute novel is not known",
        "`f/node` (Reshape): input 1 (`a`) must be constant",
        "#6 (Frobnicate): operator not supported",
        "`h/node` (FusedConv): operator of domain `com.microsoft` is not supported",
        "`y/node` (QLinearSigmoid): operator not supported; write the model in QDQ form (QuantFormat.QDQ of onnxruntime.quantization), or give the float model",
    ];
    refused("list", &model, UNSUPPORTED, &lines);
    let broken_too = single(&[1, 4], node("Celu", &["missing"], "y"));
    refused("unsupported_before_broken", &broken_too, UNSUPPORTED, &["(Celu)"]);
}

#[test]
fn forms_of_supported_operators_that_are_not_supported() {
    let pool =
        node("MaxPool", &["x"], "y").with(ints("kernel_shape", &[2, 2])).with(ints("strides", &[2, 2]));
    let image: &[i64] = &[1, 3, 5, 5];
    let two_outputs = NodeProto { output: vec!["m".into(), "y".into()], ..pool.clone() };
    let average = NodeProto { op_type: "AveragePool".into(), ..pool.clone() };
    let resize = |attribute: AttributeProto| {
        let resize = node("Resize", &["x", "", "s"], "y").with(attribute);
        single(image, resize).floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])
    };
    let slice = node("Slice", &["x", "a", "b"], "y");
    let linear = single(&[1, 3, 5], node("Resize", &["x", "", "s"], "y").with(text("mode", "linear")));
    let cases = [
        (
            "ceil_mode",
            single(image, average.with(int("ceil_mode", 1)).with(int("count_include_pad", 1))),
            "ceil_mode=1 with count_include_pad=1",
        ),
        (
            "pool_padding",
            single(image, pool.clone().with(ints("pads", &[2, 0, 0, 0]))),
            "as large as the kernel",
        ),
        ("indices", single(image, two_outputs), "its further output `y` is used"),
        ("cubic", resize(text("mode", "cubic")), "mode=cubic is not supported; nearest and linear are"),
        ("crop", resize(text("coordinate_transformation_mode", "tf_crop_and_resize")), "half_pixel is"),
        ("antialias", resize(int("antialias", 1)), "antialias=1"),
        ("channels", linear.floats("s", &[3], &[1.0, 2.0, 2.0]), "two spatial axes are supported"),
        ("largest", single(image, node("Max", &["x", "x"], "y")), "one activation and one constant number"),
        (
            "power",
            single(image, node("Pow", &["x", "p"], "y")).floats("p", &[5], &[2.0; 5]),
            "one for all elements",
        ),
        (
            "nothing",
            single(image, slice).integers("a", &[1]).integers("b", &[1]),
            "nothing is left of axis 0",
        ),
        ("cast", single(image, node("Cast", &["x"], "y").with(int("to", 7))), "to INT64 is not supported"),
        ("constant_output", single(image, node("Shape", &["x"], "y")), "output `y` is constant"),
    ];
    for (name, model, part) in &cases {
        refused(name, model, UNSUPPORTED, &[part]);
    }
    let volume =
        single(&[1, 1, 3, 3, 3], node("Conv", &["x", "w"], "y")).floats("w", &[1, 1, 1, 1, 1], &[1.0]);
    refused("volume", &volume, UNSUPPORTED, &["3 spatial axes"]);
    let mut sparse = relu(&[1, 4]);
    sparse.graph.sparse_initializer.push(Default::default());
    refused("sparse", &sparse, UNSUPPORTED, &["sparse"]);
    let mut integers = relu(&[1, 4]);
    integers.graph.input[0].r#type = value_info("x", DataType::Int64, Some(Vec::new())).r#type;
    refused("integer_input", &integers, UNSUPPORTED, &["input `x`", "INT64", "float32"]);
}

#[test]
fn operator_sets_and_domains() {
    for opset in [8, 27, -1] {
        let model = ModelBuilder { opset, ..relu(&[1, 4]) };
        refused("opset", &model, UNSUPPORTED, &[&format!("operator set {opset} is not supported")]);
    }
    for opset in [9, 17, 24, 26] {
        import(&ModelBuilder { opset, ..relu(&[1, 4]) }.write("opset"), &[]).unwrap();
    }
}

#[test]
fn open_shapes_name_the_axis_and_the_fix() {
    let open = |shape: &[&str]| {
        ModelBuilder::new(17).symbolic_input("x", shape).node(node("Relu", &["x"], "y")).output("y")
    };
    refused("symbol", &open(&["N", "T", "4"]), USAGE, &["input `x`", "`T`", "--dim T=N"]);
    refused("nameless", &open(&["N", "-1", "4"]), UNSUPPORTED, &["input `x`", "axis 1"]);
    refused("batch", &open(&["8", "4"]), UNSUPPORTED, &["input `x`", "batch of 8"]);
    let mut shapeless = relu(&[1, 4]);
    shapeless.graph.input[0] = value_info("x", DataType::Float, None);
    refused("shapeless", &shapeless, UNSUPPORTED, &["input `x`", "shape"]);

    let path = open(&["N", "T", "4"]).write("given");
    let imported = import(&path, &[("T".into(), 49)]).unwrap();
    assert_eq!(imported.graph.values[imported.graph.inputs[0]].shape, [1, 49, 4]);
    let failure = import(&path, &[("T".into(), 49), ("Q".into(), 1)]).unwrap_err();
    assert_eq!(failure.exit_code(), USAGE);
    assert!(failure.to_string().contains("--dim Q"), "{failure}");
    assert_eq!(import(&path, &[("T".into(), 0)]).unwrap_err().exit_code(), USAGE);
    assert_eq!(import(&path, &[("T".into(), 2), ("N".into(), 2)]).unwrap_err().exit_code(), UNSUPPORTED);
    for batch in ["-1", "0", "batch"] {
        let imported = import(&open(&[batch, "4"]).write("pinned"), &[]).unwrap();
        assert!(imported.warnings[0].contains("pinned to 1"), "{:?}", imported.warnings);
    }
}

#[test]
fn graphs_that_do_not_hang_together() {
    refused(
        "absent",
        &single(&[1, 4], node("Relu", &["z"], "y")),
        DATA,
        &["`z`", "`y/node`", "provided by nothing"],
    );
    refused("no_output", &relu(&[1, 4]).output("z"), DATA, &["`z`", "output of the graph"]);
    refused("twice", &relu(&[1, 4]).node(node("Relu", &["x"], "y")), DATA, &["`y` is provided twice"]);
    refused(
        "initializer_twice",
        &relu(&[1, 4]).integers("i", &[1]).integers("i", &[2]),
        DATA,
        &["`i` is provided twice"],
    );
    let cycle = single(&[1, 4], node("Add", &["x", "b"], "y")).node(node("Relu", &["y"], "b"));
    refused("cycle", &cycle, DATA, &["`y/node`", "cycle"]);
    let mut silent = relu(&[1, 4]);
    silent.graph.output.clear();
    refused("silent", &silent, DATA, &["no output"]);
}

#[test]
fn numbers_that_cannot_be() {
    let dense =
        |weights: &[f32]| single(&[1, 2], node("Gemm", &["x", "w"], "y")).floats("w", &[2, 1], weights);
    refused("nan", &dense(&[0.0, f32::NAN]), DATA, &["`w` contains NaN"]);
    refused("infinite", &dense(&[f32::INFINITY, 0.0]), DATA, &["`w` contains inf"]);
    refused("too_few", &dense(&[0.0]), DATA, &["`w`", "holds 1 elements", "has 2"]);
    let negative =
        single(&[1, 2], node("Gemm", &["x", "w"], "y")).initializer(tensor("w", DataType::Float, &[-2, 1]));
    refused("negative", &negative, DATA, &["`w`", "negative"]);
    let huge = single(&[1, 2], node("Gemm", &["x", "w"], "y"));
    refused(
        "huge",
        &huge.initializer(tensor("w", DataType::Float, &[1 << 40, 1 << 40])),
        DATA,
        &["`w`", "too large"],
    );
    let wide = relu(&[1, 1 << 20, 1 << 20]);
    refused("huge_input", &wide, DATA, &["`x`", "more than 2³¹ elements"]);
    refused(
        "hollow",
        &single(&[1, 2], node("Reshape", &["x", "t"], "y")).integers("t", &[0, 0, 0]),
        DATA,
        &["`y/node`"],
    );
    let empty = single(&[1, 2], node("Gemm", &["x", "w"], "y")).floats("w", &[2, 0], &[]);
    refused("zero", &empty, DATA, &["`w`", "no elements"]);
    let division = single(&[1, 2], node("Div", &["x", "z"], "y")).floats("z", &[1], &[0.0]);
    refused("division", &division, DATA, &["`z`", "infinite"]);
    let vast = single(&[1, 2, 4, 4], node("Pad", &["x", "p"], "y"))
        .integers("p", &[0, 0, 0, 0, 0, 0, 1 << 31, 1 << 31]);
    refused("vast_padding", &vast, DATA, &["`y/node`", "more than 16777216 elements"]);
}

#[test]
fn shapes_that_do_not_fit() {
    let conv = |weights: &[i64]| {
        let count = weights.iter().product::<i64>() as usize;
        single(&[1, 3, 4, 4], node("Conv", &["x", "w"], "y")).floats("w", weights, &vec![0.0; count])
    };
    refused("conv_rank", &conv(&[2, 3, 3]), DATA, &["`y/node`", "[2, 3, 3]"]);
    refused("conv_channels", &conv(&[2, 4, 3, 3]), DATA, &["`y/node`", "3 input channels"]);
    refused("conv_kernel", &conv(&[2, 3, 5, 5]), DATA, &["`y/node`", "larger than the padded input"]);
    refused(
        "dense",
        &single(&[1, 3], node("MatMul", &["x", "w"], "y")).floats("w", &[2, 1], &[0.0; 2]),
        DATA,
        &["`y/node`"],
    );
    refused(
        "reshape",
        &single(&[1, 6], node("Reshape", &["x", "t"], "y")).integers("t", &[4, -1]),
        DATA,
        &["`y/node`"],
    );
    refused(
        "axis",
        &single(&[1, 6], node("Softmax", &["x"], "y").with(int("axis", 2))),
        DATA,
        &["`y/node`", "axis 2"],
    );
    let stride =
        node("MaxPool", &["x"], "y").with(ints("kernel_shape", &[2, 2])).with(ints("strides", &[0, 1]));
    refused("stride", &single(&[1, 3, 4, 4], stride), DATA, &["`y/node`", "strides"]);
    refused(
        "kernel",
        &single(&[1, 3, 4, 4], node("MaxPool", &["x"], "y")),
        DATA,
        &["kernel_shape is missing"],
    );
    refused(
        "flat_pool",
        &single(&[1, 3], node("GlobalMaxPool", &["x"], "y")),
        DATA,
        &["`y/node`", "no spatial axis"],
    );
    let permuted = node("Transpose", &["x"], "y").with(ints("perm", &[0, 0]));
    refused("permutation", &single(&[1, 3], permuted), DATA, &["`y/node`", "twice"]);
    let typed = node("Softmax", &["x"], "y").with(text("axis", "1"));
    refused("attribute_type", &single(&[1, 3], typed), DATA, &["attribute axis is not of type"]);
}
