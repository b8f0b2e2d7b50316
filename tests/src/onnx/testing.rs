//! The model builder with what tests need beside it: files in the temporary folder.

use std::path::PathBuf;

pub use super::build::*;

impl ModelBuilder {
    /// Writes the file into the temporary folder; `name` must be unique among the tests.
    pub fn write(&self, name: &str) -> PathBuf {
        write(name, &self.bytes())
    }
}

/// Writes `bytes` into the temporary folder as an ONNX file of this process.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("still8-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let path = folder.join(format!("{name}.onnx"));
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}
