//! Weights in a file beside the model.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use still8_validation::onnx::pb::TensorProto;
use still8_validation::{Failure, Result};

/// The bytes that the tensor's entries `location`, `offset` and `length` name.
///
/// # Errors
/// [`Failure::Data`] if the entries make no sense, lead out of `folder`, or name what cannot be read.
pub fn read(proto: &TensorProto, folder: &Path) -> Result<Vec<u8>> {
    let bad = |what: String| Failure::Data(format!("tensor `{}`: external data: {what}", proto.name));
    let entry = |key: &str| {
        proto.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(bad(format!("{key} is not a number"))),
    };
    let location = Path::new(entry("location").ok_or_else(|| bad("location is missing".into()))?);
    if !location.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(bad(format!("`{}` does not lie beside the model", location.display())));
    }
    let path = folder.join(location);
    let length = number("length")?.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|mut file| {
        file.seek(SeekFrom::Start(number("offset").ok().flatten().unwrap_or(0)))?;
        file.take(length).read_to_end(&mut bytes)
    });
    number("offset")?;
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(bad(format!("{} cannot be read: {error}", path.display()))),
    }
}
