//! From bytes to the protobuf message. Nothing of it is trusted beyond its being one.

use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use crate::{Failure, Result};

/// The bytes of the file at `path`, and the model that they hold.
///
/// # Errors
/// [`Failure::Data`] if the file cannot be read or is not an ONNX model.
pub fn read(path: &Path) -> Result<(Vec<u8>, ModelProto, GraphProto)> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::data(path, format!("cannot be read: {error}")))?;
    let (model, graph) =
        decode(&bytes).ok_or_else(|| Failure::data(path, "not an ONNX file or cut short"))?;
    Ok((bytes, model, graph))
}

/// The model, its graph taken out, or `None` for bytes that are no ONNX model.
pub fn decode(bytes: &[u8]) -> Option<(ModelProto, GraphProto)> {
    let mut model = ModelProto::decode(bytes).ok()?;
    let graph = model.graph.take()?;
    // Protobuf skips what it does not know, so almost any bytes may decode: a model says which operators it means.
    (!model.opset_import.is_empty()).then_some((model, graph))
}

/// Puts the file's path before a failure's text.
pub fn locate(path: &Path, failure: Failure) -> Failure {
    let at = |text: String| format!("{}: {text}", path.display());
    match failure {
        Failure::Missed(text) => Failure::Missed(at(text)),
        Failure::Usage(text) => Failure::Usage(at(text)),
        Failure::Unsupported(text) => Failure::Unsupported(at(text)),
        Failure::Data(text) => Failure::Data(at(text)),
        Failure::Missing(text) => Failure::Missing(at(text)),
    }
}
