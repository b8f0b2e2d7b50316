//! Whole networks: import and simplify keep what tract computes from the file, at every value that remains.

mod support;

use std::path::{Path, PathBuf};

use support::assert_same_as_tract;
use xtask::graph::Op;
use xtask::import::import;
use xtask::quantize::Source;
use xtask::simplify::simplify;

fn onnx_files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

fn check(path: &Path) {
    let imported = import(path, &[]).unwrap();
    let mut graph = imported.graph;
    let before = graph.nodes.len();
    assert!(assert_same_as_tract(path, &graph, &[]) > 0);
    let done = simplify(&mut graph);
    let compared = assert_same_as_tract(path, &graph, &[]);
    assert!(compared == graph.nodes.len(), "every value of a simplified graph has its name in the file");
    let left = |op: &Op| matches!(op, Op::ScaleOffset | Op::Pad { .. });
    assert!(!graph.nodes.iter().any(|node| left(&node.op)), "{}: {done:?}", path.display());
    println!(
        "{}: {before} nodes, {} simplified, {compared} values compared",
        path.display(),
        graph.nodes.len()
    );
}

#[test]
fn float_models_of_mlperf_tiny_equal_tract() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models/mlperf_tiny"));
    let files = onnx_files(folder, "_float.onnx");
    if files.is_empty() {
        println!("SKIPPED: no *_float.onnx in {}", folder.display());
    }
    files.iter().for_each(|path| check(path));
}

#[test]
fn shipped_models_equal_tract() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
    let folders =
        std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut files: Vec<_> =
        folders.unwrap_or_else(|_| Vec::new()).iter().flat_map(|model| onnx_files(model, ".onnx")).collect();
    files.sort();
    if files.is_empty() {
        println!("SKIPPED: no models/*/*.onnx in {}", folder.display());
    }
    // What rounds to int8 on the way is held to ONNX Runtime, which rounds as the file says.
    let rounds = |path: &&PathBuf| path.to_string_lossy().ends_with(".qdq.onnx");
    files.iter().filter(|path| !rounds(path)).for_each(|path| check(path));
    for path in files.iter().filter(rounds) {
        assert!(Source::open(path, &[]).unwrap().is_quantized(), "{}", path.display());
    }
}

#[test]
fn quantized_models_of_mlperf_tiny_bring_every_quantization() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models/mlperf_tiny"));
    let files = onnx_files(folder, "_qdq.onnx");
    if files.is_empty() {
        println!("SKIPPED: no *_qdq.onnx in {}", folder.display());
    }
    for path in files {
        let source = Source::open(&path, &[]).unwrap();
        assert!(source.is_quantized(), "{}", path.display());
    }
}
