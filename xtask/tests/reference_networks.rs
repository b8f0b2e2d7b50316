//! The networks that are built in code: the published amount of work, the same bytes every time, and layer for layer the
//! shapes of the benchmark's own files, where those are present.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use still8::format::Family;
use still8_validation::onnx::build::ModelBuilder;
use still8_validation::onnx::{self, Message, pb};
use xtask::console::Console;
use xtask::emit::emit;
use xtask::graph::{Graph, Op};
use xtask::import::import;
use xtask::network::Network;
use xtask::reference::{self, REFERENCES};
use xtask::simplify::simplify;

const QUIET: Console = Console { json: false, quiet: true };

fn network(name: &str) -> Network {
    reference::network(name, &QUIET.progress("")).unwrap()
}

fn check(name: &str, macs: u64, parameters: usize, input: &[usize], output: &[usize]) {
    let network = network(name);
    assert_eq!(network.name, name);
    assert_eq!(network.ops.iter().map(|op| network.macs(op)).sum::<u64>(), macs);
    assert_eq!(network.parameters(), parameters);
    assert_eq!(network.inputs.iter().map(|port| port.shape.as_slice()).collect::<Vec<_>>(), [input]);
    assert_eq!(network.outputs.iter().map(|port| port.shape.as_slice()).collect::<Vec<_>>(), [output]);

    let golden = network.golden.as_ref().unwrap();
    let constant = |bytes: &[i8]| bytes.windows(2).all(|pair| pair[0] == pair[1]);
    assert!(!constant(&golden.input) && !constant(&golden.output), "{golden:?}");
    let bytes = |network: &Network| emit(network, Family::Portable).unwrap().bytes;
    assert_eq!(bytes(&network), bytes(&self::network(name)), "{name}: two plans");
}

#[test]
fn keyword_spotting() {
    check("kws", 2_656_768, 22_604, &[1, 49, 10, 1], &[1, 12]);
}

#[test]
fn image_classification() {
    check("ic", 12_501_632, 77_706, &[1, 32, 32, 3], &[1, 10]);
}

#[test]
fn anomaly_detection() {
    check("ad", 264_192, 264_192 + 8 * 128 + 8 + 640, &[1, 640], &[1, 640]);
}

#[test]
fn visual_wake_words() {
    check("vww", 7_489_664, 210_850, &[1, 96, 96, 3], &[1, 2]);
}

#[test]
fn streaming_wake_word() {
    check("sww", 826_368, 46_883, &[1, 30, 1, 40], &[1, 3]);
}

#[test]
fn a_path_that_exists_wins_and_an_unknown_name_lists_the_known() {
    assert_eq!(reference::find(Path::new("kws")).unwrap().name, "kws");
    assert!(reference::find(Path::new("src")).is_none());
    assert!(reference::find(Path::new("kws.onnx")).is_none());
    let text = reference::onnx("kw").unwrap_err().to_string();
    assert!(text.contains("`kw`") && text.contains("kws, ic, ad, vww, sww"), "{text}");
}

/// Where a node's operand comes from: the graph's input, another node, or a constant of this shape.
#[derive(Debug, PartialEq)]
enum Origin {
    Input,
    Node(usize),
    Constant(Vec<usize>),
}

/// Every node with its operator, windows included, its operands and the shape of its output.
fn layers(graph: &Graph) -> Vec<(Op, Vec<Origin>, Vec<usize>)> {
    let origin = |&value: &usize| match (graph.writer(value), graph.constant(value)) {
        (Some(node), _) => Origin::Node(node),
        (None, Some(constant)) => Origin::Constant(constant.shape().to_vec()),
        (None, None) => Origin::Input,
    };
    let layer = |node: &xtask::graph::Node| {
        let inputs = node.inputs.iter().map(origin).collect();
        (node.op.clone(), inputs, graph.values[node.output].shape.clone())
    };
    graph.nodes.iter().map(layer).collect()
}

fn imported(path: &Path) -> Graph {
    let mut graph = import(path, &[]).unwrap().graph;
    simplify(&mut graph);
    graph
}

/// The quantized model as a float one of the same layers: without its quantize and dequantize nodes, and with zeros for
/// its weights.
fn without_quantization(path: &Path) -> Vec<u8> {
    let (_, mut model, mut graph) = onnx::read(path).unwrap();
    let shapes: HashMap<String, Vec<i64>> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.dims.clone())).collect();
    let mut floats = ModelBuilder::default();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for node in std::mem::take(&mut graph.node) {
        let source = |name: &String| renamed.get(name).unwrap_or(name).clone();
        let inputs: Vec<String> = node.input.iter().map(source).collect();
        if !matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear") {
            graph.node.push(pb::NodeProto { input: inputs, ..node });
        } else if let Some(shape) = shapes.get(&inputs[0]) {
            let zeros = vec![0.0; shape.iter().product::<i64>() as usize];
            floats = floats.floats(&node.output[0], shape, &zeros);
        } else {
            renamed.insert(node.output[0].clone(), inputs[0].clone());
        }
    }
    graph.initializer.extend(floats.graph.initializer);
    for output in &mut graph.output {
        if let Some(name) = renamed.get(&output.name) {
            output.name.clone_from(name);
        }
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(pb::type_proto::Value::TensorType(tensor)) =
            value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.elem_type = pb::tensor_proto::DataType::Float as i32;
        }
    }
    model.graph = Some(graph);
    model.encode_to_vec()
}

#[test]
fn layers_equal_those_of_the_benchmarks_files() {
    let originals = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models/mlperf_tiny"));
    let folder = tempfile::tempdir().unwrap();
    for reference in &REFERENCES {
        let name = reference.name;
        let float = originals.join(format!("{name}_float.onnx"));
        let int8 = originals.join(format!("{name}_int8_qdq.onnx"));
        let original = if float.exists() {
            imported(&float)
        } else if int8.exists() {
            let path = folder.path().join(format!("{name}_original.onnx"));
            std::fs::write(&path, without_quantization(&int8)).unwrap();
            imported(&path)
        } else {
            println!("SKIPPED: {name} is not in {} (the files are optional)", originals.display());
            continue;
        };
        let ours = layers(&imported(&reference.write(folder.path()).unwrap()));
        let theirs = layers(&original);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
        println!("{name}: {} layers equal", ours.len());
    }
}
