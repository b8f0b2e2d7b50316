//! Functions of one element and the subgraphs that exporters make of them, reductions and regrouped axes, against tract.

mod support;

use still8_validation::onnx::pb::NodeProto;
use still8_validation::onnx::testing::{ModelBuilder, With, float, int, ints, node, text};
use support::check;
use xtask::expression::Expression;
use xtask::function::Function;
use xtask::graph::{Graph, Op};
use xtask::import::import;

fn single(opset: i64, node: NodeProto) -> ModelBuilder {
    ModelBuilder::new(opset).input("x", &[1, 3, 4, 6]).node(node).output("y")
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

#[test]
fn functions_of_one_element() {
    let of = |operator: &str| node(operator, &["x"], "y");
    for operator in ["Abs", "Erf", "Exp", "HardSwish", "Neg", "Sigmoid", "Softplus", "Tanh"] {
        check(operator, &single(14, of(operator)));
    }
    check("leaky", &single(13, of("LeakyRelu").with(float("alpha", 0.3))));
    check("leaky_default", &single(13, of("LeakyRelu")));
    check("elu", &single(13, of("Elu").with(float("alpha", 0.7))));
    check("hard_sigmoid", &single(13, of("HardSigmoid").with(float("alpha", 0.3)).with(float("beta", 0.4))));
    let positive = node("Exp", &["x"], "e");
    for operator in ["Sqrt", "Reciprocal"] {
        check(operator, &single(13, node(operator, &["e"], "y")).node(positive.clone()));
    }
    check("pow", &single(13, node("Pow", &["x", "two"], "y")).floats("two", &[], &[2.0]));
}

#[test]
fn gelu_of_operator_set_20_in_both_forms() {
    for (form, function) in [("none", Function::Gelu), ("tanh", Function::GeluTanh)] {
        let model = single(20, node("Gelu", &["x"], "y").with(text("approximate", form)));
        let graph = import(&model.write("gelu"), &[]).unwrap().graph;
        assert_eq!(graph.nodes[0].op, Op::Map(Expression::of(function)));
    }
}

/// The numbers that exporters write into such subgraphs.
fn constants(model: ModelBuilder) -> ModelBuilder {
    [("half", 0.5), ("one", 1.0), ("three", 3.0), ("six", 6.0), ("sixth", 1.0 / 6.0), ("zero", 0.0)]
        .into_iter()
        .chain([("root", std::f32::consts::SQRT_2), ("cubic", 0.044_715), ("root_2_pi", 0.797_884_6)])
        .fold(model, |model, (name, value)| model.floats(name, &[], &[value]))
}

#[test]
fn subgraphs_of_exporters_become_one_function() {
    let chain = |nodes: &[(&str, &[&str], &str)]| {
        let model = constants(ModelBuilder::new(13).input("x", &[1, 3, 4, 6]));
        nodes
            .iter()
            .fold(model, |model, (operator, inputs, output)| model.node(node(operator, inputs, output)))
            .output("y")
    };
    let cases = [
        ("silu", chain(&[("Sigmoid", &["x"], "s"), ("Mul", &["x", "s"], "y")])),
        (
            "hard_swish_clip",
            chain(&[
                ("Add", &["x", "three"], "a"),
                ("Clip", &["a", "zero", "six"], "c"),
                ("Mul", &["x", "c"], "m"),
                ("Div", &["m", "six"], "y"),
            ]),
        ),
        (
            "hard_swish_scaled_first",
            chain(&[
                ("Add", &["x", "three"], "a"),
                ("Clip", &["a", "zero", "six"], "c"),
                ("Mul", &["c", "sixth"], "m"),
                ("Mul", &["m", "x"], "y"),
            ]),
        ),
        (
            "gelu_erf",
            chain(&[
                ("Div", &["x", "root"], "d"),
                ("Erf", &["d"], "e"),
                ("Add", &["e", "one"], "a"),
                ("Mul", &["x", "a"], "m"),
                ("Mul", &["m", "half"], "y"),
            ]),
        ),
        (
            "gelu_tanh",
            chain(&[
                ("Mul", &["x", "x"], "x2"),
                ("Mul", &["x2", "x"], "x3"),
                ("Mul", &["x3", "cubic"], "c"),
                ("Add", &["x", "c"], "a"),
                ("Mul", &["a", "root_2_pi"], "i"),
                ("Tanh", &["i"], "t"),
                ("Add", &["t", "one"], "t1"),
                ("Mul", &["x", "half"], "h"),
                ("Mul", &["h", "t1"], "y"),
            ]),
        ),
        ("mish", chain(&[("Softplus", &["x"], "s"), ("Tanh", &["s"], "t"), ("Mul", &["x", "t"], "y")])),
    ];
    for (name, model) in cases {
        assert_eq!(names(&check(name, &model)), ["Map"], "{name}");
    }
}

#[test]
fn a_function_of_something_else_is_not_joined() {
    let model = ModelBuilder::new(13).input("x", &[1, 3, 4, 6]).input("z", &[1, 3, 4, 6]);
    let model = model.node(node("Sigmoid", &["z"], "s")).node(node("Mul", &["x", "s"], "y")).output("y");
    assert_eq!(names(&check("gate", &model)), ["Sigmoid", "Mul"]);
}

#[test]
fn differences_reductions_and_regrouped_axes() {
    let two = |opset: i64, made: NodeProto| single(opset, made).input("z", &[1, 3, 4, 6]);
    check("difference", &two(13, node("Sub", &["x", "z"], "y")));
    for operator in ["ReduceMax", "ReduceSum", "ReduceMean"] {
        for (name, axes) in [("spatial", vec![2, 3]), ("channel", vec![1]), ("last", vec![-1])] {
            let reduced = node(operator, &["x"], "y").with(ints("axes", &axes)).with(int("keepdims", 0));
            check(&format!("{operator}_{name}"), &single(11, reduced));
        }
    }
    let sum = single(13, node("ReduceSum", &["x", "axes"], "y")).integers("axes", &[2]);
    check("sum_input_axes", &sum);
    let deep = |made: NodeProto| ModelBuilder::new(13).input("x", &[1, 8, 3, 5]).node(made).output("y");
    for mode in ["DCR", "CRD"] {
        let made = node("DepthToSpace", &["x"], "y").with(int("blocksize", 2)).with(text("mode", mode));
        check(&format!("to_space_{mode}"), &deep(made));
    }
    check("to_depth", &single(13, node("SpaceToDepth", &["x"], "y").with(int("blocksize", 2))));
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |name: &str, model: &ModelBuilder, text: &str| {
        let failure = import(&model.write(name), &[]).unwrap_err().to_string();
        assert!(failure.contains("y/node") && failure.contains(text), "{failure}");
    };
    let space = |blocksize| single(13, node("DepthToSpace", &["x"], "y").with(int("blocksize", blocksize)));
    refused("space_2", &space(2), "3 channels are no multiple of the block's 2 x 2");
    refused("space_0", &space(0), "attribute blocksize=0");
    refused("elu_nan", &single(13, node("Elu", &["x"], "y").with(float("alpha", f32::NAN))), "alpha=NaN");
    let odd = single(20, node("Gelu", &["x"], "y").with(text("approximate", "cubic")));
    refused("gelu_odd", &odd, "attribute approximate=cubic is not known");
    let shapes = single(13, node("Sub", &["x", "z"], "y")).input("z", &[1, 2, 1, 1]);
    refused("sub_shapes", &shapes, "do not fit each other");
}

/// The nodes of a normalization as exporters write them; `square` and `divide` are ways of doing so.
fn normalization(shape: &[i64], square: NodeProto, divided: &[NodeProto]) -> ModelBuilder {
    let mean = |x: &str, y: &str| node("ReduceMean", &[x], y).with(ints("axes", &[-1]));
    let c = shape[shape.len() - 1];
    let mut model = ModelBuilder::new(17)
        .input("x", shape)
        .node(mean("x", "m"))
        .node(node("Sub", &["x", "m"], "d"))
        .node(square)
        .node(mean("s", "v"))
        .node(node("Add", &["v", "epsilon"], "e"))
        .node(node("Sqrt", &["e"], "r"));
    for node in divided {
        model = model.node(node.clone());
    }
    model
        .node(node("Mul", &["n", "gamma"], "g"))
        .node(node("Add", &["g", "beta"], "y"))
        .floats("epsilon", &[], &[1e-5])
        .floats("two", &[], &[2.0])
        .floats("gamma", &[c], &(0..c).map(|i| 0.5 + i as f32 / 7.0).collect::<Vec<_>>())
        .floats("beta", &[c], &(0..c).map(|i| i as f32 / 5.0 - 0.6).collect::<Vec<_>>())
        .output("y")
}

#[test]
fn normalizations_of_exporters_become_one_node() {
    let pow = node("Pow", &["d", "two"], "s");
    let mul = node("Mul", &["d", "d"], "s");
    let div = [node("Div", &["d", "r"], "n")];
    let reciprocal = [node("Reciprocal", &["r"], "i"), node("Mul", &["i", "d"], "n")];
    let cases = [
        ("pow_div", normalization(&[1, 5, 8], pow.clone(), &div)),
        ("mul_div", normalization(&[1, 4, 3, 6], mul.clone(), &div)),
        ("mul_reciprocal", normalization(&[1, 5, 8], mul, &reciprocal)),
        ("rows", normalization(&[1, 8], pow, &reciprocal)),
    ];
    for (name, model) in cases {
        let graph = check(&format!("normalization_{name}"), &model);
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(ops, ["LayerNorm"], "{name}");
    }
}

#[test]
fn what_only_looks_like_a_normalization_stays() {
    let cube = node("Mul", &["d", "x"], "s");
    let graph =
        check("normalization_other", &normalization(&[1, 5, 8], cube, &[node("Div", &["d", "r"], "n")]));
    assert!(graph.nodes.iter().all(|node| node.op.name() != "LayerNorm"));
}
