//! Constants: initializers and attributes as arrays of f32 or i64, whatever the file stores them as.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use still8_validation::onnx::pb::TensorProto;
use still8_validation::onnx::pb::tensor_proto::{DataLocation, DataType};
use still8_validation::{Failure, Result};

use super::external;
use super::shapes::element_count;

/// The contents of a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// From float32, float64, float16 and bfloat16.
    Float(ArrayD<f32>),
    /// From integers of every width and from truth values.
    Int(ArrayD<i64>),
}

impl Constant {
    /// The shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Float(array) => array.shape(),
            Self::Int(array) => array.shape(),
        }
    }
}

enum Elements {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// Reads a tensor; external data lies in `folder`.
///
/// # Errors
/// [`Failure::Data`] if its contents do not fit its shape, [`Failure::Unsupported`] for other element types.
pub fn read_tensor(proto: &TensorProto, folder: &Path) -> Result<Constant> {
    let shape = proto.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>();
    let shape = shape.ok_or_else(|| bad(proto, format!("negative size in the shape {:?}", proto.dims)))?;
    let count =
        element_count(&shape).ok_or_else(|| bad(proto, format!("the shape {shape:?} is too large")))?;
    let external = match proto.data_location == Some(DataLocation::External as i32) {
        true => Some(external::read(proto, folder)?),
        false => None,
    };
    let raw = external.as_deref().unwrap_or(&proto.raw_data);
    let elements = elements(proto, raw, count)?;
    let mismatch =
        |held: usize| bad(proto, format!("holds {held} elements where its shape {shape:?} has {count}"));
    match elements {
        Elements::Float(data) => {
            let held = data.len();
            let array = ArrayD::from_shape_vec(IxDyn(&shape), data);
            array.map(Constant::Float).map_err(|_| mismatch(held))
        }
        Elements::Int(data) => {
            let held = data.len();
            let array = ArrayD::from_shape_vec(IxDyn(&shape), data);
            array.map(Constant::Int).map_err(|_| mismatch(held))
        }
    }
}

fn bad(proto: &TensorProto, what: String) -> Failure {
    Failure::Data(format!("tensor `{}`: {what}", proto.name))
}

fn elements(proto: &TensorProto, bytes: &[u8], count: usize) -> Result<Elements> {
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    // Where there are no raw bytes, narrow types are stored in wide fields.
    let small = || proto.int32_data.iter().map(|&i| i64::from(i)).collect();
    let bits = || proto.int32_data.iter().map(|&i| i as u16);
    let large = || proto.uint64_data.iter().map(|&i| i as i64).collect();
    let typed = bytes.is_empty();
    Ok(match kind {
        DataType::Float if typed => Elements::Float(proto.float_data.clone()),
        DataType::Float => Elements::Float(raw(proto, bytes, f32::from_le_bytes)?),
        DataType::Double if typed => Elements::Float(proto.double_data.iter().map(|&x| x as f32).collect()),
        DataType::Double => Elements::Float(raw(proto, bytes, |b| f64::from_le_bytes(b) as f32)?),
        DataType::Float16 if typed => {
            Elements::Float(bits().map(|b| half::f16::from_bits(b).to_f32()).collect())
        }
        DataType::Float16 => Elements::Float(raw(proto, bytes, |b| half::f16::from_le_bytes(b).to_f32())?),
        DataType::Bfloat16 if typed => {
            Elements::Float(bits().map(|b| half::bf16::from_bits(b).to_f32()).collect())
        }
        DataType::Bfloat16 => Elements::Float(raw(proto, bytes, |b| half::bf16::from_le_bytes(b).to_f32())?),
        DataType::Int64 if typed => Elements::Int(proto.int64_data.clone()),
        DataType::Int64 => Elements::Int(raw(proto, bytes, i64::from_le_bytes)?),
        DataType::Uint32 | DataType::Uint64 if typed => Elements::Int(large()),
        DataType::Uint64 => Elements::Int(raw(proto, bytes, i64::from_le_bytes)?),
        DataType::Uint32 => Elements::Int(raw(proto, bytes, |b| u32::from_le_bytes(b).into())?),
        DataType::Int32
        | DataType::Int16
        | DataType::Uint16
        | DataType::Int8
        | DataType::Uint8
        | DataType::Bool
            if typed =>
        {
            Elements::Int(small())
        }
        DataType::Int32 => Elements::Int(raw(proto, bytes, |b| i32::from_le_bytes(b).into())?),
        DataType::Int16 => Elements::Int(raw(proto, bytes, |b| i16::from_le_bytes(b).into())?),
        DataType::Uint16 => Elements::Int(raw(proto, bytes, |b| u16::from_le_bytes(b).into())?),
        DataType::Int8 => Elements::Int(raw(proto, bytes, |b| i8::from_le_bytes(b).into())?),
        DataType::Uint8 | DataType::Bool => {
            Elements::Int(raw(proto, bytes, |b| u8::from_le_bytes(b).into())?)
        }
        DataType::Int4 | DataType::Uint4 => {
            let wide: Vec<u8> = proto.int32_data.iter().map(|&i| i as u8).collect();
            Elements::Int(nibbles(if typed { &wide } else { bytes }, kind, count))
        }
        other => {
            let text = format!(
                "tensor `{}`: elements of type {} are not supported",
                proto.name,
                other.as_str_name()
            );
            return Err(Failure::Unsupported(text));
        }
    })
}

/// Integers of four bits, two in a byte, the lower half first. The last half of an odd number is nothing.
fn nibbles(bytes: &[u8], kind: DataType, count: usize) -> Vec<i64> {
    let value = |nibble: u8| match kind {
        DataType::Int4 => i64::from((nibble << 4) as i8 >> 4),
        _ => i64::from(nibble),
    };
    let mut found: Vec<i64> = bytes.iter().flat_map(|&byte| [value(byte & 15), value(byte >> 4)]).collect();
    if found.len() == count + 1 && !count.is_multiple_of(2) {
        found.pop();
    }
    found
}

fn raw<const N: usize, T>(proto: &TensorProto, bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(bad(proto, format!("{} bytes are no whole number of elements of {N}", bytes.len())));
    }
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}
