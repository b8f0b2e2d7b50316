//! Every operator, in the forms that exporters write, against tract.

mod support;

use ndarray::ArrayD;
use still8_validation::onnx::pb::tensor_proto::{DataLocation, DataType};
use still8_validation::onnx::pb::{NodeProto, StringStringEntryProto, TensorProto};
use still8_validation::onnx::testing::{
    ModelBuilder, With, float, int, ints, node, tensor, tensor_attribute, text,
};
use support::{assert_same_as_tract, check, noise};
use xtask::graph::Op;
use xtask::import::import;

fn data(shape: &[usize]) -> Vec<f32> {
    noise(shape, 3).into_raw_vec_and_offset().0
}

/// One node from `x` (and what `extend` adds) to `y`.
fn single(opset: i64, shape: &[i64], node: NodeProto) -> ModelBuilder {
    ModelBuilder::new(opset).input("x", shape).node(node).output("y")
}

#[test]
fn convolutions_of_every_padding_group_dilation_and_rank() {
    let conv = || node("Conv", &["x", "w", "b"], "y");
    let with_weights = |model: ModelBuilder, shape: &[i64]| {
        let sizes: Vec<_> = shape.iter().map(|&size| size as usize).collect();
        model.floats("w", shape, &data(&sizes)).floats("b", &shape[..1], &data(&sizes[..1]))
    };
    let cases = [
        ("asymmetric", conv().with(ints("pads", &[0, 1, 2, 1])), [4, 3, 3, 3]),
        ("strided", conv().with(ints("strides", &[2, 3])), [4, 3, 3, 2]),
        ("dilated", conv().with(ints("dilations", &[2, 1])).with(ints("pads", &[2, 0, 1, 0])), [4, 3, 3, 3]),
        ("depthwise", conv().with(int("group", 3)), [6, 1, 3, 3]),
        (
            "same_upper",
            conv().with(text("auto_pad", "SAME_UPPER")).with(ints("strides", &[2, 2])),
            [4, 3, 3, 2],
        ),
        (
            "same_lower",
            conv().with(text("auto_pad", "SAME_LOWER")).with(ints("strides", &[2, 2])),
            [4, 3, 3, 2],
        ),
        ("valid", conv().with(text("auto_pad", "VALID")).with(ints("kernel_shape", &[3, 3])), [4, 3, 3, 3]),
    ];
    for (name, node, weights) in cases {
        check(&format!("conv_{name}"), &with_weights(single(17, &[1, 3, 9, 8], node), &weights));
    }
    let node = conv().with(ints("pads", &[2, 1])).with(ints("strides", &[2]));
    let graph = check("conv_1d", &with_weights(single(17, &[1, 3, 16], node), &[4, 3, 5]));
    let Op::Conv { window, .. } = &graph.nodes[0].op else { panic!("{:?}", graph.nodes[0].op) };
    assert_eq!((window.kernel, window.stride, window.padding), ([1, 5], [1, 2], [0, 2, 0, 1]));
}

#[test]
fn dilated_max_pools_gather_their_windows() {
    let pool = |kernel: &[i64], dilations: &[i64]| {
        node("MaxPool", &["x"], "y").with(ints("kernel_shape", kernel)).with(ints("dilations", dilations))
    };
    let cases = [
        ("both", pool(&[2, 3], &[3, 2])),
        ("rows", pool(&[3, 2], &[2, 1]).with(ints("strides", &[2, 2])).with(ints("pads", &[1, 0, 2, 1]))),
        ("padded", pool(&[2, 2], &[2, 3]).with(ints("pads", &[1, 2, 1, 2])).with(ints("strides", &[3, 1]))),
        ("ceil", pool(&[2, 2], &[2, 2]).with(ints("strides", &[2, 2])).with(int("ceil_mode", 1))),
        ("single", pool(&[1, 2], &[5, 1])),
    ];
    for (name, node) in cases {
        check(&format!("max_pool_{name}"), &single(17, &[1, 3, 9, 8], node));
    }
    check("max_pool_line", &single(17, &[1, 3, 16], pool(&[3], &[4]).with(ints("pads", &[2, 2]))));
}

#[test]
fn dense_layers_of_every_form_become_mat_mul() {
    let forms: [(&str, NodeProto, &[i64]); 3] = [
        ("plain", node("Gemm", &["x", "w", "b"], "y"), &[1, 5]),
        (
            "scaled",
            node("Gemm", &["x", "w", "b"], "y").with(float("alpha", 0.5)).with(float("beta", 2.0)),
            &[5],
        ),
        ("one_bias", node("Gemm", &["x", "w", "b"], "y"), &[1]),
    ];
    for (name, node, bias) in forms {
        let count = bias.iter().product::<i64>() as usize;
        let model =
            single(13, &[1, 6], node).floats("w", &[6, 5], &data(&[6, 5])).floats("b", bias, &data(&[count]));
        check(&format!("gemm_{name}"), &model);
    }
    let transposed = node("Gemm", &["x", "w"], "y").with(int("transB", 1));
    let graph =
        check("gemm_transposed", &single(13, &[1, 6], transposed).floats("w", &[5, 6], &data(&[5, 6])));
    assert_eq!(graph.values[graph.nodes[0].inputs[1]].shape, [6, 5]);

    let product = node("MatMul", &["x", "w"], "p");
    let sum = |shape: &[i64]| single(13, shape, product.clone()).floats("w", &[6, 5], &data(&[6, 5]));
    let sum = |shape: &[i64]| sum(shape).node(node("Add", &["b", "p"], "y")).floats("b", &[5], &data(&[5]));
    for (name, shape) in
        [("matmul_bias", &[1_i64, 6][..]), ("matmul_bias_rows", &[1, 4, 6]), ("matmul_vector", &[6])]
    {
        let graph = check(name, &sum(shape));
        assert_eq!((graph.nodes.len(), graph.nodes[0].inputs.len()), (1, 3), "{name}");
    }
    let first = node("MatMul", &["w", "x"], "y");
    check("matmul_weights_first", &single(13, &[1, 6, 3], first).floats("w", &[5, 6], &data(&[5, 6])));
}

#[test]
fn normalization_and_constants_fold_into_their_neighbours() {
    let four = |model: ModelBuilder| {
        let variance: Vec<_> = data(&[4]).iter().map(|x| x.abs() + 0.1).collect();
        let model = model.floats("gamma", &[4], &data(&[4])).floats("beta", &[4], &[0.5, -0.5, 0.25, 1.0]);
        model.floats("mean", &[4], &[0.1, -0.2, 0.3, 0.0]).floats("variance", &[4], &variance)
    };
    let normalize =
        |from: &str, to: &str| node("BatchNormalization", &[from, "gamma", "beta", "mean", "variance"], to);
    let conv = |from: &str, to: &str, pads: &[i64]| node("Conv", &[from, "w"], to).with(ints("pads", pads));
    let behind = single(17, &[1, 4, 6, 6], conv("x", "c", &[1, 1, 1, 1])).node(normalize("c", "y"));
    let graph = check("bn_behind_conv", &four(behind).floats("w", &[4, 4, 3, 3], &data(&[4, 4, 3, 3])));
    assert_eq!((graph.nodes.len(), graph.values[graph.nodes[0].output].name.as_str()), (1, "y"));

    let before = |pads| single(17, &[1, 4, 6, 6], normalize("x", "n")).node(conv("n", "y", pads));
    let with_weights = |model| four(model).floats("w", &[2, 4, 3, 3], &data(&[2, 4, 3, 3]));
    assert_eq!(check("bn_before_conv", &with_weights(before(&[0; 4]))).nodes.len(), 1);
    assert_eq!(check("bn_before_padded_conv", &with_weights(before(&[1; 4]))).nodes.len(), 2);

    let dense = single(17, &[1, 4], normalize("x", "n")).node(node("Gemm", &["n", "w"], "y"));
    assert_eq!(check("bn_before_gemm", &four(dense).floats("w", &[4, 3], &data(&[4, 3]))).nodes.len(), 1);

    let chain = single(17, &[1, 4, 6, 6], node("Mul", &["x", "s"], "a"))
        .floats("s", &[1, 4, 1, 1], &[0.5, 2.0, -1.0, 3.0])
        .floats("t", &[], &[0.25])
        .node(node("Sub", &["a", "t"], "b"))
        .node(node("Sub", &["t", "b"], "c"))
        .node(node("Div", &["c", "u"], "y"))
        .floats("u", &[4, 1, 1], &[2.0, 4.0, 0.5, -1.0]);
    let graph = check("affine_chain", &chain);
    assert!(matches!(graph.nodes[..], [ref only] if only.op == Op::ScaleOffset));
}

#[test]
fn pools_and_means() {
    let window = |operator: &str| node(operator, &["x"], "y").with(ints("kernel_shape", &[3, 2]));
    let cases = [
        ("max", window("MaxPool").with(ints("pads", &[1, 0, 1, 1])).with(ints("strides", &[2, 1]))),
        ("average", window("AveragePool").with(ints("pads", &[1, 0, 1, 1]))),
        (
            "average_counting",
            window("AveragePool").with(ints("pads", &[1, 1, 1, 0])).with(int("count_include_pad", 1)),
        ),
        ("same", window("AveragePool").with(text("auto_pad", "SAME_UPPER")).with(ints("strides", &[2, 2]))),
        ("ceil_that_changes_nothing", window("MaxPool").with(int("ceil_mode", 1))),
        ("global_average", node("GlobalAveragePool", &["x"], "y")),
        ("global_max", node("GlobalMaxPool", &["x"], "y")),
        ("mean", node("ReduceMean", &["x"], "y").with(ints("axes", &[-1, 2])).with(int("keepdims", 0))),
        ("mean_all", node("ReduceMean", &["x"], "y")),
    ];
    for (name, node) in cases {
        check(&format!("pool_{name}"), &single(13, &[1, 3, 9, 8], node));
    }
    check("pool_1d", &single(13, &[1, 3, 9], node("MaxPool", &["x"], "y").with(ints("kernel_shape", &[3]))));
    check("pool_1d_global", &single(13, &[1, 3, 9], node("GlobalMaxPool", &["x"], "y")));
    let mean = node("ReduceMean", &["x", "axes"], "y").with(int("keepdims", 1));
    check("mean_18", &single(18, &[1, 3, 4, 5], mean).integers("axes", &[1]));
}

#[test]
fn shapes_are_followed_and_nothing_is_left_of_round_trips() {
    let reshape = single(17, &[1, 4, 3, 2], node("Reshape", &["x", "to"], "y"));
    check("reshape", &reshape.clone().integers("to", &[0, -1, 3]));
    let moved = single(17, &[1, 4, 3, 2], node("Transpose", &["x"], "t").with(ints("perm", &[0, 2, 3, 1])))
        .node(node("Relu", &["t"], "r"))
        .node(node("Flatten", &["r"], "y").with(int("axis", 2)));
    check("transpose_flatten", &moved);
    let there_and_back =
        single(17, &[1, 4, 3, 2], node("Transpose", &["x"], "t").with(ints("perm", &[0, 2, 3, 1])))
            .node(node("Transpose", &["t"], "u").with(ints("perm", &[0, 3, 1, 2])))
            .node(node("Relu", &["u"], "v"))
            .node(node("Unsqueeze", &["v", "at"], "w"))
            .node(node("Squeeze", &["w", "at"], "s"))
            .node(node("Identity", &["s"], "i"))
            .node(node("Dropout", &["i"], "y"))
            .integers("at", &[1]);
    let graph = check("round_trip", &there_and_back);
    assert_eq!((graph.nodes.len(), graph.values[graph.nodes[0].output].name.as_str()), (1, "y"));
    let attributes = single(11, &[1, 4, 1, 2], node("Squeeze", &["x"], "s").with(ints("axes", &[2])))
        .node(node("Unsqueeze", &["s"], "y").with(ints("axes", &[-1])));
    check("squeeze_attributes", &attributes);
}

#[test]
fn shape_arithmetic_folds() {
    let two =
        tensor_attribute("value", TensorProto { int64_data: vec![0], ..tensor("", DataType::Int64, &[]) });
    let model = ModelBuilder::new(13)
        .symbolic_input("x", &["N", "4", "3", "2"])
        .node(node("Shape", &["x"], "shape"))
        .node(node("Constant", &[], "zero").with(two))
        .node(node("Gather", &["shape", "zero"], "batch").with(int("axis", 0)))
        .node(node("Unsqueeze", &["batch", "first"], "batch1"))
        .node(node("Concat", &["batch1", "rest"], "to").with(int("axis", 0)))
        .node(node("Reshape", &["x", "to"], "y"))
        .integers("first", &[0])
        .integers("rest", &[-1])
        .output("y");
    let path = model.write("shape_arithmetic");
    let imported = import(&path, &[]).unwrap();
    assert_eq!(imported.warnings, ["input `x`: batch `N` pinned to 1"]);
    assert_eq!(imported.graph.values[imported.graph.outputs[0]].shape, [1, 24]);
    assert_same_as_tract(&path, &imported.graph, &[]);
}

#[test]
fn clips_pads_softmax_and_concat() {
    let clip = single(17, &[1, 3, 4, 4], node("Clip", &["x", "", "high"], "c"))
        .node(node("Relu", &["c"], "y"))
        .floats("high", &[], &[0.5]);
    let graph = check("clip_relu", &clip);
    assert!(matches!(graph.nodes[0].op, Op::Clip { low: 0.0, high: 0.5 }) && graph.nodes.len() == 1);
    check("clip_9", &single(9, &[1, 3], node("Clip", &["x"], "y").with(float("min", -0.25))));
    check("softmax_9", &single(9, &[1, 1, 7], node("Softmax", &["x"], "y")));
    check("softmax_13", &single(13, &[1, 3, 7], node("Softmax", &["x"], "y").with(int("axis", 1))));
    let joined = single(13, &[1, 3, 4], node("Relu", &["x"], "r"))
        .node(node("Concat", &["x", "r", "x"], "y").with(int("axis", -2)));
    check("concat", &joined);

    let padded = |pads: &[i64], layer: NodeProto| {
        single(17, &[1, 3, 5, 5], node("Relu", &["x"], "r"))
            .node(node("Pad", &["r", "pads"], "p"))
            .node(layer)
            .integers("pads", pads)
            .floats("w", &[2, 3, 3, 3], &data(&[2, 3, 3, 3]))
    };
    let around = &[0, 0, 1, 0, 0, 0, 1, 2];
    let pool = |operator: &str| node(operator, &["p"], "y").with(ints("kernel_shape", &[3, 3]));
    for (name, layer, nodes) in [
        ("conv", node("Conv", &["p", "w"], "y"), 2),
        ("max", pool("MaxPool"), 2),
        ("average", pool("AveragePool"), 2),
        ("average_padded", pool("AveragePool").with(ints("pads", &[0, 1, 0, 0])), 3),
    ] {
        assert_eq!(check(&format!("pad_{name}"), &padded(around, layer)).nodes.len(), nodes, "{name}");
    }
    assert_eq!(check("pad_channels", &padded(&[0, 1, 0, 0, 0, 0, 0, 0], pool("MaxPool"))).nodes.len(), 3);
    check(
        "pad_9",
        &single(
            9,
            &[1, 3],
            node("Pad", &["x"], "y").with(ints("pads", &[0, 1, 0, 2])).with(float("value", 2.0)),
        ),
    );
    let axes = single(18, &[1, 3, 4], node("Pad", &["x", "pads", "", "axes"], "y"));
    let graph =
        import(&axes.integers("pads", &[1, 2]).integers("axes", &[-1]).write("pad_axes"), &[]).unwrap().graph;
    assert_eq!(graph.values[graph.outputs[0]].shape, [1, 3, 7]);
}

#[test]
fn weights_are_read_from_every_type_and_place() {
    let values: Vec<f32> = vec![0.5, -1.25, 2.0, 0.0, 1.5, -0.75];
    let bytes = |width: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&x| width(x)).collect::<Vec<_>>();
    let half = |x: f32| half::f16::from_f32(x).to_bits();
    let base = |kind| tensor("w", kind, &[2, 3]);
    let external = bytes(&|x| x.to_le_bytes().to_vec());
    let single_path = single(17, &[1, 2], node("MatMul", &["x", "w"], "y")).write("external");
    std::fs::write(single_path.with_file_name("external.bin"), [vec![9; 4], external].concat()).unwrap();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let forms = [
        TensorProto { raw_data: bytes(&|x| x.to_le_bytes().to_vec()), ..base(DataType::Float) },
        TensorProto { double_data: values.iter().map(|&x| x.into()).collect(), ..base(DataType::Double) },
        TensorProto { raw_data: bytes(&|x| f64::from(x).to_le_bytes().to_vec()), ..base(DataType::Double) },
        TensorProto {
            int32_data: values.iter().map(|&x| half(x).into()).collect(),
            ..base(DataType::Float16)
        },
        TensorProto { raw_data: bytes(&|x| half(x).to_le_bytes().to_vec()), ..base(DataType::Float16) },
        TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: vec![
                entry("location", "external.bin"),
                entry("offset", "4"),
                entry("length", "24"),
            ],
            ..base(DataType::Float)
        },
    ];
    let expected = ArrayD::from_shape_vec(vec![2, 3], values.clone()).unwrap();
    for (i, form) in forms.into_iter().enumerate() {
        let model = single(17, &[1, 2], node("MatMul", &["x", "w"], "y")).initializer(form);
        let graph = import(&model.write(&format!("weights_{i}")), &[]).unwrap().graph;
        assert_eq!(graph.constant(graph.nodes[0].inputs[1]), Some(&expected), "form {i}");
    }
}

#[test]
fn initializers_that_are_also_inputs_are_constants_and_nodes_may_come_in_any_order() {
    let model = ModelBuilder::new(17)
        .input("x", &[1, 2])
        .input("w", &[2, 3])
        .floats("w", &[2, 3], &data(&[2, 3]))
        .node(node("Relu", &["p"], "y"))
        .node(node("MatMul", &["x", "w"], "p"))
        .output("y");
    let graph = import(&model.write("any_order"), &[]).unwrap().graph;
    assert_eq!((graph.inputs.len(), graph.nodes[0].op.name()), (1, "MatMul"));
}
