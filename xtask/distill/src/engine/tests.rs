//! Gradients against finite differences, convolutions against the compiler's float reference.

use proptest::prelude::*;
use still8_validation::random::SplitMix64;
use xtask::graph::Window;

use super::batch::Batch;
use super::conv::Conv;
use super::net::{Kind, Layer, Net, Node, Param};

fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    (0..count).map(|_| random.uniform([-1.0, 1.0])).collect()
}

/// A convolution of at most so many channels, and the shape of its input.
fn conv(channels: usize) -> impl Strategy<Value = (Conv, [usize; 3])> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    (
        pair(1..4),
        pair(1..3),
        pair(1..3),
        [0usize..3, 0..3, 0..3, 0..3],
        [4usize..7, 4..13],
        1..=channels,
        1..=channels,
        any::<bool>(),
    )
        .prop_map(|(kernel, stride, dilation, padding, [h, w], c_in, c_out, depthwise)| {
            let c_out = if depthwise { c_in } else { c_out };
            (
                Conv { window: Window { kernel, stride, dilation, padding }, c_in, c_out, depthwise },
                [h, w, c_in],
            )
        })
        .prop_filter("the window fits", |(conv, shape)| {
            let span =
                |axis: usize| conv.window.dilation[axis] * (conv.window.kernel[axis] - 1) < shape[axis];
            span(0) && span(1)
        })
}

/// Σ output · weights, a loss whose gradient is the weights.
fn loss(net: &Net, x: &Batch, direction: &[f32], training: bool) -> f64 {
    let run = net.forward(x.clone(), training);
    run.output().data.iter().zip(direction).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
}

/// Compares every gradient with the difference quotient.
fn gradients_hold(net: &Net, x: &Batch, seed: u64) {
    let run = net.forward(x.clone(), true);
    let direction = random(seed, run.output().data.len());
    let given = Batch { data: direction.clone(), ..run.output().clone() };
    let mut gradients = net.zeros();
    net.backward(&run, vec![(net.nodes.len(), given)], &mut gradients);
    let step = 1e-2f32;
    for (id, param) in net.params.iter().enumerate().filter(|(_, p)| p.kind != Kind::Statistics) {
        for (i, &found) in gradients[id].iter().enumerate() {
            let at = |offset: f32| {
                let mut moved = net.clone();
                moved.params[id].data[i] += offset;
                loss(&moved, x, &direction, true)
            };
            let expected = (at(step) - at(-step)) / (2.0 * f64::from(step));
            let found = f64::from(found);
            let tolerance = 0.02 * (1.0 + expected.abs());
            assert!((found - expected).abs() < tolerance, "{}[{i}]: {found} is not {expected}", param.name);
        }
    }
}

fn param(name: &str, kind: Kind, data: Vec<f32>) -> Param {
    Param { name: name.into(), kind, data }
}

fn node(name: &str, layer: Layer, inputs: Vec<usize>, shape: [usize; 3]) -> Node {
    Node { name: name.into(), layer, inputs, shape }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Two convolutions, so that the gradient of an inner value is tested as well.
    #[test]
    fn gradients_of_convolutions((conv, shape) in conv(3), seed in any::<u64>()) {
        let dense = Conv::dense(shape[2], shape[2]);
        let params = vec![
            param("first", Kind::Weights, random(seed, dense.weights())),
            param("weights", Kind::Weights, random(seed ^ 1, conv.weights())),
            param("bias", Kind::Offset, random(seed ^ 2, conv.c_out)),
        ];
        let to = conv.output(shape);
        let nodes = vec![
            node("first", Layer::Conv { conv: dense, weights: 0, bias: None, bits: None }, vec![0], shape),
            node("second", Layer::Conv { conv, weights: 1, bias: Some(2), bits: None }, vec![1], to),
        ];
        let x = Batch { n: 2, shape, data: random(seed ^ 3, 2 * shape.iter().product::<usize>()) };
        gradients_hold(&Net { input: shape, nodes, params }, &x, seed ^ 4);
    }

    /// What is linear in x and in the weights has Σ y · dy = Σ x · dx = Σ w · dw. Of several blocks of lanes, and part of one.
    #[test]
    fn gradients_of_wide_convolutions_are_adjoint((conv, shape) in conv(40), n in 1usize..4, seed in any::<u64>()) {
        let x = Batch { n, shape, data: random(seed, n * shape.iter().product::<usize>()) };
        let weights = random(seed ^ 1, conv.weights());
        let y = conv.forward(&x, &weights, &[]);
        let dy = Batch { data: random(seed ^ 2, y.data.len()), ..y.clone() };
        let mut dw = vec![0.0; weights.len()];
        let dx = conv.backward(&x, &weights, &dy, (&mut dw, &mut []), true).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let expected = dot(&y.data, &dy.data);
        for found in [dot(&x.data, &dx.data), dot(&weights, &dw)] {
            prop_assert!((found - expected).abs() < 1e-2 + 1e-4 * expected.abs(), "{} is not {}", found, expected);
        }
    }

    #[test]
    fn convolutions_equal_the_float_reference((conv, shape) in conv(40), seed in any::<u64>()) {
        use ndarray::{ArrayD, IxDyn};
        let [h, w, c] = shape;
        let x = Batch { n: 1, shape, data: random(seed, h * w * c) };
        let weights = random(seed ^ 1, conv.weights());
        let [out_h, out_w, c_out] = conv.output(shape);
        let [kh, kw] = conv.window.kernel;
        let per_group = if conv.depthwise { 1 } else { c };
        let nchw = ArrayD::from_shape_fn(IxDyn(&[1, c, h, w]), |i| x.data[(i[2] * w + i[3]) * c + i[1]]);
        let kernel = ArrayD::from_shape_fn(IxDyn(&[c_out, per_group, kh, kw]), |i| {
            weights[((i[2] * kw + i[3]) * per_group + i[1]) * c_out + i[0]]
        });
        let op = xtask::graph::Op::Conv { window: conv.window, groups: if conv.depthwise { c } else { 1 } };
        let reference = xtask::graph::Node { name: "n".into(), op, inputs: vec![], output: 0 };
        let expected = xtask::evaluate::evaluate_node(&reference, &[&nchw, &kernel], &[1, c_out, out_h, out_w]);
        let y = conv.forward(&x, &weights, &[]);
        for (i, found) in y.data.iter().enumerate() {
            let (pixel, channel) = (i / c_out, i % c_out);
            let expected = expected[[0, channel, pixel / out_w, pixel % out_w]];
            prop_assert!((found - expected).abs() < 1e-4, "{} is not {}", found, expected);
        }
    }

    #[test]
    fn gradients_of_normalization_sum_and_pools(seed in any::<u64>()) {
        let shape = [4, 4, 3];
        let dense = Conv::dense(3, 3);
        let params = vec![
            param("weights", Kind::Weights, random(seed, 9)),
            param("scale", Kind::Offset, vec![0.7, 1.2, -0.5]),
            param("offset", Kind::Offset, random(seed ^ 1, 3)),
            param("mean", Kind::Statistics, vec![0.0; 3]),
            param("variance", Kind::Statistics, vec![1.0; 3]),
            param("head", Kind::Weights, random(seed ^ 2, 6)),
        ];
        let conv = |conv, weights| Layer::Conv { conv, weights, bias: None, bits: None };
        let nodes = vec![
            node("conv", conv(dense, 0), vec![0], shape),
            node("norm", Layer::Norm([1, 2, 3, 4]), vec![1], shape),
            node("add", Layer::Add, vec![2, 1], shape),
            node("mean", Layer::Mean, vec![3], [1, 1, 3]),
            node("head", conv(Conv::dense(3, 2), 5), vec![4], [1, 1, 2]),
        ];
        let x = Batch { n: 3, shape, data: random(seed ^ 3, 144) };
        gradients_hold(&Net { input: shape, nodes, params }, &x, seed ^ 4);
    }
}

#[test]
fn the_largest_of_a_window_takes_the_gradient() {
    let x = Batch { n: 1, shape: [2, 4, 1], data: vec![1.0, 5.0, 2.0, 2.0, 3.0, 4.0, 1.0, 0.0] };
    assert_eq!(super::pool::max(&x, [2, 2]).data, [5.0, 2.0]);
    let dy = Batch { n: 1, shape: [1, 2, 1], data: vec![10.0, 20.0] };
    assert_eq!(super::pool::max_backward(&x, &dy, [2, 2]).data, [0.0, 10.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}
