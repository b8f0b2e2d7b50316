//! Blocks as networks use them, with random weights: what operators are tried on together.

use super::build::{ModelBuilder, With, float, int, ints, node, text};
use crate::random::SplitMix64;

/// A block by its name.
pub type Block = (&'static str, fn() -> ModelBuilder);

/// All of them.
pub const BLOCKS: [Block; 5] = [
    ("squeeze_and_excite", squeeze_and_excite),
    ("u_net", u_net),
    ("transformer", transformer),
    ("shuffled_channels", shuffled_channels),
    ("labels", labels),
];

/// Numbers of about one over the root of what is summed, as trained weights are.
fn data(shape: &[i64], seed: u64) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    let fan_in = shape[1..].iter().product::<i64>() as f32;
    (0..shape.iter().product()).map(|_| random.uniform([-1.7, 1.7]) / fan_in.sqrt()).collect()
}

/// A model with weights `w1`, `w2`, … of these shapes.
fn with_weights(mut model: ModelBuilder, shapes: &[&[i64]]) -> ModelBuilder {
    for (i, shape) in shapes.iter().enumerate() {
        model = model.floats(&format!("w{}", i + 1), shape, &data(shape, i as u64 + 10));
    }
    model
}

/// Channels weighted by their means.
pub fn squeeze_and_excite() -> ModelBuilder {
    let model = ModelBuilder::new(17)
        .input("x", &[1, 4, 10, 10])
        .node(node("Conv", &["x", "w1"], "a").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("HardSwish", &["a"], "b"))
        .node(node("GlobalAveragePool", &["b"], "c"))
        .node(node("Conv", &["c", "w2"], "d"))
        .node(node("Relu", &["d"], "e"))
        .node(node("Conv", &["e", "w3"], "f"))
        .node(node("HardSigmoid", &["f"], "g"))
        .node(node("Mul", &["g", "b"], "h"))
        .node(node("Conv", &["h", "w4"], "y"))
        .output("y");
    with_weights(model, &[&[8, 4, 3, 3], &[4, 8, 1, 1], &[8, 4, 1, 1], &[6, 8, 1, 1]])
}

/// Down, up again in two ways, and joined.
pub fn u_net() -> ModelBuilder {
    let model = ModelBuilder::new(13)
        .input("x", &[1, 3, 12, 12])
        .node(node("Conv", &["x", "w1"], "a").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("Relu", &["a"], "b"))
        .node(node("MaxPool", &["b"], "c").with(ints("kernel_shape", &[2, 2])).with(ints("strides", &[2, 2])))
        .node(node("Conv", &["c", "w2"], "d").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("LeakyRelu", &["d"], "e"))
        .node(node("ConvTranspose", &["e", "w3"], "up").with(ints("strides", &[2, 2])))
        .node(
            node("Resize", &["e", "", "s"], "wide")
                .with(text("mode", "linear"))
                .with(text("coordinate_transformation_mode", "half_pixel")),
        )
        .node(node("Concat", &["b", "up", "wide"], "j").with(int("axis", 1)))
        .node(node("Pad", &["j", "p"], "q").with(text("mode", "reflect")))
        .node(node("Conv", &["q", "w4"], "y"))
        .floats("s", &[4], &[1.0, 1.0, 2.0, 2.0])
        .integers("p", &[0, 0, 1, 1, 0, 0, 1, 1])
        .output("y");
    with_weights(model, &[&[8, 3, 3, 3], &[8, 8, 3, 3], &[8, 4, 2, 2], &[2, 20, 3, 3]])
}

/// Attention of four heads over ten places, and a feed-forward layer.
pub fn transformer() -> ModelBuilder {
    let heads = |input: &str, output: &str| {
        [
            node("Reshape", &[input, "heads"], &format!("{output}_split")),
            node("Transpose", &[&format!("{output}_split")], output).with(ints("perm", &[0, 2, 1, 3])),
        ]
    };
    let mut model = ModelBuilder::new(20)
        .input("x", &[1, 10, 16])
        .node(node("Add", &["x", "position"], "a"))
        .node(node("LayerNormalization", &["a", "gamma", "beta"], "n").with(float("epsilon", 1e-5)))
        .node(node("MatMul", &["n", "w1"], "qkv"));
    let mut split = node("Split", &["qkv"], "q0").with(int("axis", 2)).with(int("num_outputs", 3));
    split.output = ["q0", "k0", "v0"].map(String::from).to_vec();
    model = model.node(split);
    for [reshape, transpose] in [heads("q0", "q"), heads("k0", "k"), heads("v0", "v")] {
        model = model.node(reshape).node(transpose);
    }
    let model = model
        .node(node("Transpose", &["k"], "kt").with(ints("perm", &[0, 1, 3, 2])))
        .node(node("MatMul", &["q", "kt"], "scores"))
        .node(node("Div", &["scores", "root"], "scaled"))
        .node(node("Softmax", &["scaled"], "weights").with(int("axis", -1)))
        .node(node("MatMul", &["weights", "v"], "context"))
        .node(node("Transpose", &["context"], "joined").with(ints("perm", &[0, 2, 1, 3])))
        .node(node("Reshape", &["joined", "rows"], "flat"))
        .node(node("MatMul", &["flat", "w2"], "projected"))
        .node(node("Add", &["a", "projected"], "r"))
        .node(node("LayerNormalization", &["r", "gamma", "beta"], "m"))
        .node(node("MatMul", &["m", "w3"], "up"))
        .node(node("Gelu", &["up"], "act"))
        .node(node("MatMul", &["act", "w4"], "down"))
        .node(node("Add", &["r", "down"], "y"))
        .floats("position", &[1, 10, 16], &data(&[1, 10, 16], 3))
        .floats("gamma", &[16], &data(&[16, 16], 4)[..16].iter().map(|x| 1.0 + x).collect::<Vec<_>>())
        .floats("beta", &[16], &data(&[16, 16], 5)[..16])
        .floats("root", &[], &[2.0])
        .integers("heads", &[1, 10, 4, 4])
        .integers("rows", &[1, 10, 16])
        .output("y");
    with_weights(model, &[&[16, 48], &[16, 16], &[16, 32], &[32, 16]])
}

/// Half of the channels convolved, and all shuffled.
pub fn shuffled_channels() -> ModelBuilder {
    let mut split = node("Split", &["x", "halves"], "left").with(int("axis", 1));
    split.output = ["left", "right"].map(String::from).to_vec();
    let model = ModelBuilder::new(13)
        .input("x", &[1, 8, 6, 6])
        .node(split)
        .node(node("Conv", &["left", "w1"], "a").with(ints("pads", &[1, 1, 1, 1])).with(int("group", 4)))
        .node(node("PRelu", &["a", "slope"], "b"))
        .node(node("Concat", &["b", "right"], "c").with(int("axis", 1)))
        .node(node("Reshape", &["c", "grouped"], "d"))
        .node(node("Transpose", &["d"], "e").with(ints("perm", &[0, 2, 1, 3, 4])))
        .node(node("Reshape", &["e", "whole"], "f"))
        .node(node("Conv", &["f", "w2"], "y"))
        .integers("halves", &[4, 4])
        .integers("grouped", &[1, 2, 4, 6, 6])
        .integers("whole", &[1, 8, 6, 6])
        .floats("slope", &[4, 1, 1], &[0.25, -0.5, 0.1, 1.5])
        .output("y");
    with_weights(model, &[&[4, 1, 3, 3], &[8, 8, 1, 1]])
}

/// The likeliest of twelve classes at each place.
pub fn labels() -> ModelBuilder {
    let model = ModelBuilder::new(13)
        .input("x", &[1, 3, 8, 8])
        .node(node("Conv", &["x", "w1"], "a").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("ArgMax", &["a"], "y").with(int("axis", 1)).with(int("keepdims", 0)))
        .output("y");
    with_weights(model, &[&[12, 3, 3, 3]])
}
