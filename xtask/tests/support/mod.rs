//! The graph run by plain loops against the file run by tract, value by value.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use still8_validation::onnx::{self, testing::ModelBuilder};
use still8_validation::oracle::Oracle;
use xtask::evaluate::evaluate;
use xtask::graph::Graph;
use xtask::import::import;
use xtask::simplify::simplify;

/// Numbers in [−1, 1) that are the same in every run.
pub fn noise(shape: &[usize], seed: u64) -> ArrayD<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Imports the model, holds it to tract before and after simplify, and returns it simplified.
#[allow(dead_code, reason = "not every test file imports models that it builds")]
pub fn check(name: &str, model: &ModelBuilder) -> Graph {
    let path = model.write(name);
    let mut graph = import(&path, &[]).unwrap_or_else(|failure| panic!("{failure}")).graph;
    assert_same_as_tract(&path, &graph, &[]);
    simplify(&mut graph);
    assert_same_as_tract(&path, &graph, &[]);
    graph
}

/// Asserts that every value that `graph` computes and the file at `path` knows by the same name is the same, within 10⁻³
/// of the value's largest magnitude. Returns how many were compared.
pub fn assert_same_as_tract(path: &Path, graph: &Graph, dims: &[(String, usize)]) -> usize {
    let inputs: Vec<_> =
        graph.inputs.iter().map(|&id| noise(&graph.values[id].shape, 7 + id as u64)).collect();
    let ours = evaluate(graph, &inputs);
    let (_, _, source) = onnx::read(path).unwrap();
    let known: Vec<_> = source.node.iter().flat_map(|node| &node.output).collect();
    let mut compared: Vec<_> = graph.nodes.iter().map(|node| node.output).collect();
    compared.retain(|&id| known.contains(&&graph.values[id].name));
    for &output in &graph.outputs {
        assert!(
            graph.inputs.contains(&output) || compared.contains(&output),
            "{}",
            graph.values[output].name
        );
    }
    let names: Vec<_> = compared.iter().map(|&id| graph.values[id].name.clone()).collect();
    let theirs = Oracle::load_with_dims(path, &names, dims).unwrap().run(&inputs).unwrap();
    for ((id, name), theirs) in compared.iter().zip(&names).zip(&theirs) {
        let ours = ours[*id].as_ref().unwrap();
        assert_eq!(ours.shape(), theirs.shape(), "{}: shape of {name}", path.display());
        let largest = theirs.fold(1e-6_f32, |largest, x| largest.max(x.abs()));
        let finite = ours.iter().chain(theirs).all(|x| x.is_finite());
        assert!(finite, "{}: {name} is not finite", path.display());
        let error = ours.iter().zip(theirs).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
        assert!(
            error <= 1e-3 * largest,
            "{}: {name} is off by {error}, its largest is {largest}",
            path.display()
        );
    }
    compared.len()
}
