//! The steps of an import, in order.

use std::path::Path;

use sha2::{Digest, Sha256};
use still8_validation::onnx::{self, locate, pb, pin_inputs};
use still8_validation::{Failure, Result, files};

use super::build::build;
use super::check::{Complaints, check};
use crate::graph::Graph;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The graph.
    pub graph: Graph,
    /// What the user should know: axes that were pinned, for one.
    pub warnings: Vec<String>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

/// Imports the ONNX file at `path`. `dims` gives sizes to the symbols in the inputs' shapes.
///
/// # Errors
/// [`Failure::Data`] for what is no valid model, [`Failure::Usage`] for a symbol without a size, and one
/// [`Failure::Unsupported`] that lists every node that cannot be quantized. Never panics.
pub fn import(path: &Path, dims: &[(String, usize)]) -> Result<Imported> {
    import_bytes(&files::read(path)?, path, dims)
}

/// [`import`] of a file's contents; `path` is for messages, and external data lies beside it.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8], path: &Path, dims: &[(String, usize)]) -> Result<Imported> {
    let (model, mut graph) =
        onnx::decode(bytes).ok_or_else(|| Failure::data(path, "not an ONNX file or cut short"))?;
    let opset = opset(&model).map_err(|failure| locate(path, failure))?;
    let mut complaints = Complaints::default();
    check(&graph, &mut complaints);
    let built = pin_inputs(&mut graph, dims).and_then(|warnings| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let (graph, more) = build(&graph, opset, folder, &mut complaints)?;
        Ok((graph, [warnings, more].concat()))
    });
    // Of a model that is unsupported and faulty, the user hears the former first, all of it.
    complaints.into_result(&graph).map_err(|failure| locate(path, failure))?;
    let (mut built, warnings) = built.map_err(|failure| locate(path, failure))?;
    built.name = name(&graph.name, path);
    Ok(Imported { graph: built, warnings, sha256: Sha256::digest(bytes).into() })
}

fn opset(model: &pb::ModelProto) -> Result<i64> {
    let default = model.opset_import.iter().find(|set| is_default_domain(&set.domain));
    match default.map(|set| set.version) {
        Some(version @ 9..=26) => Ok(version),
        Some(version) => Err(Failure::Unsupported(format!(
            "operator set {version} is not supported: export with one from 9 to 26, 17 for instance"
        ))),
        None => Err(Failure::Unsupported("it uses no operator of the default domain `ai.onnx`".into())),
    }
}

/// Whether `domain` holds the standard operators.
pub(super) fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The graph's own name, unless it is what an exporter calls every graph.
fn name(graph: &str, path: &Path) -> String {
    let generic = ["", "tf2onnx", "main_graph", "main", "graph", "torch_jit", "torch-jit-export"];
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) if generic.contains(&graph) => stem.to_owned(),
        _ => graph.to_owned(),
    }
}
