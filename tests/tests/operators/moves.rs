//! Reshape, Transpose, Pad and Concat, between other operators and alone.

use still8::format::OpCode;
use still8_validation::onnx::testing::{ModelBuilder, With, int, ints, node};

use super::accuracy::{Case, Constants};
use super::{check, codes, model};

#[test]
fn reshape_between_convolution_and_gemm_keeps_the_order_of_weights() {
    let convolved = || {
        let model = model(&[1, 3, 6, 5]).weights("w", &[4, 3, 3, 3]);
        model.node(node("Conv", &["x", "w"], "z"))
    };
    let dense = |model: ModelBuilder, k| {
        let model = model.weights("v", &[k, 7]);
        model.node(node("Gemm", &["f", "v"], "y")).output("y")
    };
    let reshaped = |target: &[i64]| convolved().integers("s", target).node(node("Reshape", &["z", "s"], "f"));
    let rows =
        reshaped(&[1, 4, 12]).weights("v", &[12, 6]).node(node("MatMul", &["f", "v"], "y")).output("y");
    let squeezed = model(&[1, 6, 5, 5])
        .node(node("GlobalAveragePool", &["x"], "z"))
        .integers("a", &[2, 3])
        .node(node("Squeeze", &["z", "a"], "f"));
    let [flatten, ..] = check([
        Case::new("flatten-gemm", dense(convolved().node(node("Flatten", &["z"], "f")), 48)),
        Case::new("reshape-gemm", dense(reshaped(&[1, -1]), 48)),
        Case::new("reshape-matmul-rows", rows),
        Case::new("reshape-output", reshaped(&[1, 2, 24]).output("f")),
        Case::new("squeeze-gemm", dense(squeezed, 6)),
        Case::new("flatten-output", convolved().node(node("Flatten", &["z"], "f")).output("f")),
    ]);
    assert_eq!(codes(&flatten), [OpCode::Conv2d, OpCode::FullyConnected], "no element moves");
}

#[test]
fn transpose() {
    let to_channels_first = |model: ModelBuilder| {
        let node = node("Transpose", &["x"], "t").with(ints("perm", &[0, 3, 1, 2]));
        model.node(node).weights("w", &[4, 3, 3, 3])
    };
    let converted = to_channels_first(model(&[1, 6, 7, 3]))
        .node(node("Conv", &["t", "w"], "z"))
        .node(node("Transpose", &["z"], "y").with(ints("perm", &[0, 2, 3, 1])))
        .output("y");
    let softmax = model(&[1, 3, 4, 5])
        .node(node("Transpose", &["x"], "t").with(ints("perm", &[3, 1, 0, 2])))
        .node(node("Softmax", &["t"], "y").with(int("axis", 1)))
        .output("y");
    let dense = model(&[1, 6, 5])
        .node(node("Transpose", &["x"], "t").with(ints("perm", &[0, 2, 1])))
        .weights("v", &[6, 4])
        .node(node("MatMul", &["t", "v"], "y"))
        .output("y");
    let networks = check([
        Case::new("transpose-converter", converted),
        Case::new("transpose-softmax", softmax).ranges(&[[-3.0, 3.0]]),
        Case::new("transpose-matmul", dense),
    ]);
    assert_eq!(codes(&networks[0]), [OpCode::Conv2d], "the converter's transposes vanish");
}

#[test]
fn transpose_by_every_permutation() {
    const SIZES: [i64; 4] = [2, 3, 4, 5];
    for rank in 2..=4 {
        let sizes = &SIZES[..rank];
        for perm in permutations(rank) {
            let to: Vec<i64> = perm.iter().map(|&axis| sizes[axis as usize]).collect();
            // A Transpose of its own only renames axes; the sum with another order of the elements moves them.
            let model = model(&[1, sizes.iter().product()])
                .integers("from", sizes)
                .integers("to", &to)
                .node(node("Reshape", &["x", "from"], "a"))
                .node(node("Transpose", &["a"], "t").with(ints("perm", &perm)))
                .node(node("Reshape", &["x", "to"], "b"))
                .node(node("Add", &["b", "t"], "y"));
            let [network] = check([Case::new(format!("transpose-{perm:?}"), model.output("y").output("t"))]);
            assert_eq!(codes(&network).contains(&OpCode::Transpose), !perm.is_sorted(), "{perm:?}");
        }
    }
}

/// All orders of `0..rank`.
fn permutations(rank: usize) -> Vec<Vec<i64>> {
    let mut orders = vec![vec![]];
    for axis in 0..rank as i64 {
        let longer = |order: &Vec<i64>| {
            let at = |place| [&order[..place], &[axis], &order[place..]].concat();
            (0..=order.len()).map(at).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}

#[test]
fn pad() {
    let padded = |name, pads: &[i64], value: f32| {
        let model = model(&[1, 3, 4, 5]).integers("p", pads).floats("v", &[], &[value]);
        Case::new(name, model.node(node("Pad", &["x", "p", "v"], "y")).output("y"))
    };
    let before_conv = |name, value: f32| {
        let model = model(&[1, 3, 6, 6]).integers("p", &[0, 0, 1, 2, 0, 0, 2, 0]).floats("v", &[], &[value]);
        let model = model.weights("w", &[4, 3, 3, 3]).node(node("Pad", &["x", "p", "v"], "z"));
        Case::new(name, model.node(node("Conv", &["z", "w"], "y")).output("y"))
    };
    let [.., merged, kept] = check([
        padded("pad-spatial", &[0, 0, 1, 2, 0, 0, 2, 1], 0.0),
        padded("pad-spatial-value", &[0, 0, 1, 2, 0, 0, 2, 1], 0.7),
        padded("pad-channel", &[0, 1, 0, 0, 0, 2, 0, 0], -1.5),
        padded("pad-everything", &[1, 1, 1, 1, 1, 1, 1, 1], 0.25),
        before_conv("pad-merged", 0.0),
        before_conv("pad-kept", 0.5),
    ]);
    assert_eq!(codes(&merged), [OpCode::Conv2d]);
    assert_eq!(codes(&kept), [OpCode::Pad, OpCode::Conv2d]);
}

#[test]
fn concat() {
    let joined = |name, shapes: [&[i64]; 2], axis| {
        let model = model(shapes[0]).input("x2", shapes[1]);
        Case::new(name, model.node(node("Concat", &["x", "x2"], "y").with(int("axis", axis))).output("y"))
            .ranges(&[[-1.0, 1.0], [-0.25, 2.0]])
    };
    let branches = model(&[1, 3, 6, 6])
        .weights("w", &[4, 3, 1, 1])
        .weights("w3", &[5, 3, 3, 3])
        .node(node("Conv", &["x", "w"], "a"))
        .node(node("Conv", &["x", "w3"], "b").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("Concat", &["a", "b", "x"], "y").with(int("axis", 1)));
    check([
        joined("concat-channels", [&[1, 3, 4, 5], &[1, 2, 4, 5]], 1),
        joined("concat-height", [&[1, 3, 4, 5], &[1, 3, 2, 5]], 2),
        joined("concat-width", [&[1, 3, 4, 5], &[1, 3, 4, 1]], 3),
        joined("concat-batch", [&[1, 3, 4, 5], &[1, 3, 4, 5]], 0),
        joined("concat-rank-2", [&[1, 7], &[1, 5]], 1),
        joined("concat-rank-3", [&[1, 7, 3], &[1, 7, 2]], -1),
        // `x` shares the wide range of the convolutions that read it: its coarse steps are 27 weights' errors.
        Case::new("concat-branches", branches.output("y")).bounds(28.0, 4.0),
    ]);
}
