//! What simplify does and what it leaves alone.

mod support;

use still8_validation::onnx::pb::NodeProto;
use still8_validation::onnx::testing::{ModelBuilder, With, float, ints, node};
use support::{assert_same_as_tract, noise};
use xtask::graph::{Graph, Op};
use xtask::import::import;
use xtask::simplify::simplify;

fn simplified(name: &str, model: &ModelBuilder) -> (Graph, Vec<String>) {
    let path = model.write(&format!("simplify_{name}"));
    let mut graph = import(&path, &[]).unwrap_or_else(|failure| panic!("{failure}")).graph;
    let done = simplify(&mut graph);
    assert_same_as_tract(&path, &graph, &[]);
    let mut names: Vec<_> = graph.values.iter().map(|value| &value.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), graph.values.len(), "names are unique");
    (graph, done)
}

fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

fn image() -> ModelBuilder {
    let weights = noise(&[4, 4, 3, 3], 1).into_raw_vec_and_offset().0;
    let model = ModelBuilder::new(17).input("x", &[1, 4, 6, 6]).floats("w", &[4, 4, 3, 3], &weights);
    let model = model.floats("one", &[4], &[1.5, 0.5, -2.0, 1.0]).floats("two", &[4], &[0.5, 1.0, 0.25, 2.0]);
    model.floats("half", &[], &[0.5])
}

fn conv(from: &str, to: &str) -> NodeProto {
    node("Conv", &[from, "w"], to).with(ints("pads", &[1, 1, 1, 1]))
}

fn normalize(from: &str, to: &str) -> NodeProto {
    node("BatchNormalization", &[from, "one", "two", "one", "two"], to).with(float("epsilon", 0.01))
}

#[test]
fn what_is_folded_is_reported_by_name() {
    let (graph, done) =
        simplified("report", &image().node(conv("x", "c")).node(normalize("c", "y")).output("y"));
    assert_eq!(done, ["folded ScaleOffset `y/node` into Conv `c/node`"]);
    assert_eq!((graph.nodes[0].name.as_str(), graph.values[graph.outputs[0]].name.as_str()), ("c/node", "y"));
}

#[test]
fn shared_weights_are_not_changed_for_the_other_reader() {
    let model = image().node(conv("x", "c")).node(normalize("c", "n")).node(conv("n", "y")).output("y");
    let (graph, _) = simplified("shared", &model);
    assert_eq!(operators(&graph), ["Conv", "Conv"]);
    let weights = |i: usize| &graph.values[graph.nodes[i].inputs[1]].name;
    assert_eq!((weights(0).as_str(), weights(1).as_str()), ("w#2", "w"));
}

#[test]
fn a_value_with_another_reader_is_not_folded_away() {
    let both = image()
        .node(conv("x", "c"))
        .node(normalize("c", "n"))
        .node(node("Add", &["c", "n"], "y"))
        .output("y");
    assert_eq!(operators(&simplified("reader", &both).0), ["Conv", "ScaleOffset", "Add"]);
    let twice = image().node(conv("x", "c")).node(normalize("c", "y")).output("y").output("c");
    assert_eq!(operators(&simplified("output", &twice).0), ["Conv", "ScaleOffset"]);
}

#[test]
fn an_identity_between_ends_of_the_graph_stays() {
    let ends = ModelBuilder::new(17).input("x", &[1, 4]).node(node("Identity", &["x"], "y")).output("y");
    let (graph, done) = simplified("ends", &ends);
    assert_eq!((operators(&graph), done.len()), (vec!["Reshape"], 0));
    let inner = image().node(node("Identity", &["x"], "i")).node(node("Relu", &["i"], "r"));
    let inner = inner.node(node("Identity", &["r"], "y")).output("y");
    let (graph, _) = simplified("inner", &inner);
    assert_eq!(operators(&graph), ["Clip"]);
    assert_eq!(graph.values[graph.nodes[0].inputs[0]].name, "x");
}

#[test]
fn dead_nodes_and_values_are_dropped() {
    let model =
        image().node(conv("x", "c")).node(normalize("c", "n")).node(node("Relu", &["x"], "y")).output("y");
    let (graph, done) = simplified("dead", &model);
    assert_eq!((operators(&graph), graph.values.len(), done.len()), (vec!["Clip"], 2, 2));
}

#[test]
fn clips_in_a_row_keep_their_meaning_even_where_they_do_not_overlap() {
    let clip = |from: &str, low: &str, high: &str, to: &str| node("Clip", &[from, low, high], to);
    let limits = |model: ModelBuilder| {
        model.floats("a", &[], &[-0.5]).floats("b", &[], &[0.25]).floats("c", &[], &[2.0])
    };
    for (i, (first, second)) in
        [(("a", "b"), ("b", "c")), (("b", "c"), ("a", "b")), (("a", "c"), ("a", "b"))].into_iter().enumerate()
    {
        let model =
            limits(image()).node(clip("x", first.0, first.1, "m")).node(clip("m", second.0, second.1, "y"));
        let (graph, _) = simplified(&format!("clips_{i}"), &model.output("y"));
        assert_eq!(operators(&graph), ["Clip"]);
    }
}

#[test]
fn zeros_around_values_of_either_sign_stay_before_a_max_pool() {
    let pool = node("MaxPool", &["p"], "y").with(ints("kernel_shape", &[3, 3]));
    let padded = |value: f32| {
        let model = image().node(node("Pad", &["x", "pads", "value"], "p")).node(pool.clone());
        model.integers("pads", &[0, 0, 1, 1, 0, 0, 1, 1]).floats("value", &[], &[value]).output("y")
    };
    assert_eq!(operators(&simplified("zeros", &padded(0.0)).0), ["Pad", "MaxPool"]);
    let (graph, _) = simplified("lowest", &padded(f32::NEG_INFINITY));
    assert!(
        matches!(graph.nodes[..], [ref only] if matches!(only.op, Op::MaxPool { window } if window.padding == [1; 4]))
    );
}
