//! Any bytes as an ONNX file: import gives a graph or an error, and simplify takes every graph.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use xtask::import::import_bytes;
use xtask::simplify::simplify;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut imported) = import_bytes(bytes, Path::new("fuzzed.onnx"), &[]) {
        simplify(&mut imported.graph);
    }
});
