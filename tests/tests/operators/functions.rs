//! Functions of one element, differences, sums and largest elements.

use still8::format::OpCode;
use still8_validation::onnx::testing::{With, float, int, ints, node, text};

use super::accuracy::{Case, Constants};
use super::{check, codes, model, unary};

const SHAPE: &[i64] = &[1, 3, 6, 5];

#[test]
fn functions_of_one_element_are_tables() {
    let wide = |case: Case| case.ranges(&[[-6.0, 6.0]]);
    let networks = check([
        wide(unary("map-sigmoid", "Sigmoid", SHAPE, &[])),
        // Where its slope is 1, half a step of an input six times as wide is three of the output's.
        wide(unary("map-tanh", "Tanh", SHAPE, &[])).bounds(28.0, 4.0),
        wide(unary("map-leaky", "LeakyRelu", SHAPE, &[float("alpha", 0.1)])),
        wide(unary("map-elu", "Elu", SHAPE, &[])),
        wide(unary("map-hard-sigmoid", "HardSigmoid", SHAPE, &[])),
        wide(unary("map-hard-swish", "HardSwish", SHAPE, &[])),
        wide(unary("map-softplus", "Softplus", SHAPE, &[])),
        wide(unary("map-abs", "Abs", SHAPE, &[])),
        unary("map-exp", "Exp", SHAPE, &[]),
        unary("map-erf", "Erf", SHAPE, &[]),
    ]);
    assert!(networks.iter().all(|network| codes(network) == [OpCode::Table]));
}

#[test]
fn a_block_with_silu_moves_nothing() {
    let model = model(SHAPE)
        .weights("w", &[8, 3, 3, 3])
        .weights("v", &[4, 8, 1, 1])
        .node(node("Conv", &["x", "w"], "c"))
        .node(node("Sigmoid", &["c"], "s"))
        .node(node("Mul", &["c", "s"], "m"))
        .node(node("Conv", &["m", "v"], "y"))
        .output("y");
    let [network] = check([Case::new("silu-block", model)]);
    assert_eq!(codes(&network), [OpCode::Conv2d, OpCode::Table, OpCode::Conv2d]);
}

#[test]
fn differences_sums_and_largest_elements() {
    let difference = model(SHAPE).input("z", SHAPE).node(node("Sub", &["x", "z"], "y")).output("y");
    let clipped = model(SHAPE)
        .input("z", SHAPE)
        .node(node("Sub", &["x", "z"], "d"))
        .node(node("Relu", &["d"], "y"))
        .output("y");
    let reduced = |name: &'static str, operator: &str, axes: &[i64], keep: i64| {
        let made = node(operator, &["x"], "y").with(ints("axes", axes)).with(int("keepdims", keep));
        let model = still8_validation::onnx::testing::ModelBuilder::new(11).input("x", SHAPE);
        Case::new(name, model.node(made).output("y"))
    };
    check([
        Case::new("sub", difference).ranges(&[[-1.0, 1.0], [-3.0, 0.5]]),
        Case::new("sub-relu", clipped),
        reduced("sum-spatial", "ReduceSum", &[2, 3], 1),
        reduced("sum-channel", "ReduceSum", &[1], 0),
        reduced("max-spatial", "ReduceMax", &[2, 3], 1),
        reduced("max-channel", "ReduceMax", &[1], 0),
        reduced("max-row", "ReduceMax", &[2], 1),
        reduced("max-all", "ReduceMax", &[0, 1, 2, 3], 1),
    ]);
}

#[test]
fn depth_to_space_is_one_transposition() {
    let to_space = node("DepthToSpace", &["c"], "s").with(int("blocksize", 2)).with(text("mode", "DCR"));
    let model = model(SHAPE).weights("w", &[8, 3, 3, 3]).node(node("Conv", &["x", "w"], "c")).node(to_space);
    let model = model.weights("v", &[3, 2, 1, 1]).node(node("Conv", &["s", "v"], "y")).output("y");
    let [network] = check([Case::new("depth-to-space", model)]);
    assert_eq!(codes(&network), [OpCode::Conv2d, OpCode::Transpose, OpCode::Conv2d]);
}

#[test]
fn any_number_of_axes_is_moved() {
    let regrouped = |name: &'static str, operator: &str, mode: Option<&str>| {
        let mut made = node(operator, &["x"], "y").with(int("blocksize", 2));
        made.attribute.extend(mode.map(|mode| text("mode", mode)));
        Case::new(name, model(&[1, 8, 4, 6]).node(made).output("y"))
    };
    check([
        regrouped("to-space-dcr", "DepthToSpace", Some("DCR")),
        regrouped("to-space-crd", "DepthToSpace", Some("CRD")),
        regrouped("to-depth", "SpaceToDepth", None),
    ]);
}
