//! The numpy file formats: `.npy`, one array behind a line of text, and `.npz`, a zip archive of these.
//!
//! Source: the format's description in numpy, `numpy/lib/format.py`, versions 1 to 3. Either byte order and
//! either axis order is read; structured and pickled arrays are not. Never panics, whatever the bytes are.

use std::io::{Cursor, Read, Seek, Write};

use half::f16;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::layout::Permutation;

const MAGIC: &[u8] = b"\x93NUMPY";
const ZIP_MAGIC: &[u8] = b"PK";

/// What is wrong with an array file.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Neither format.
    #[error("neither .npy nor .npz; write it with numpy.save or numpy.savez")]
    NotNumpy,
    /// An unknown version of the format.
    #[error("version {0} of the .npy format is not known (1 to 3 are)")]
    Version(u8),
    /// The file ends early.
    #[error("truncated: {need} bytes expected, {have} found")]
    Truncated {
        /// Bytes that the header promises.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The header cannot be understood.
    #[error("the .npy header has no readable `{0}`")]
    Header(&'static str),
    /// An element type that is no plain number.
    #[error("dtype {0} is not a plain number")]
    Dtype(String),
    /// A damaged archive.
    #[error("damaged .npz: {0}")]
    Archive(String),
}

/// An array as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Shape.
    pub shape: Vec<usize>,
    /// Numpy's letter for the kind of number: `f`, `i`, `u`, `b`.
    pub kind: char,
    /// Bytes an element.
    pub width: usize,
    /// Whether elements are big-endian.
    pub big_endian: bool,
    /// The elements in C order, as `tobytes()` gives them.
    pub bytes: Vec<u8>,
}

/// Numbers that a model takes or gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// In the model's own units.
    Float(Vec<f32>),
    /// Quantized.
    Int8(Vec<i8>),
}

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int8(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The contents of an array file.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrays {
    /// A `.npy` file.
    One(Array),
    /// A `.npz` file: names and arrays in the order of the file.
    Named(Vec<(String, Array)>),
}

impl Arrays {
    /// Reads either format; the contents tell which it is, not the name.
    ///
    /// # Errors
    /// [`NpyError`], in an archive with the name of the array.
    pub fn parse(file: &[u8]) -> Result<Self, NpyError> {
        if file.starts_with(ZIP_MAGIC) {
            parse_npz(file).map(Self::Named)
        } else {
            parse_npy(file).map(Self::One)
        }
    }
}

impl Array {
    /// The type's name, as numpy spells it.
    pub fn dtype(&self) -> String {
        let kind = match self.kind {
            'f' => "float",
            'i' => "int",
            'u' => "uint",
            _ => return "bool".to_owned(),
        };
        format!("{kind}{}", 8 * self.width)
    }

    /// float16, float32 and float64 as `f32`, int8 as it is; `None` for other types.
    pub fn values(&self) -> Option<Values> {
        match (self.kind, self.width) {
            ('f', 2) => Some(Values::Float(self.elements(|bytes| f16::from_le_bytes(bytes).to_f32()))),
            ('f', 4) => Some(Values::Float(self.elements(f32::from_le_bytes))),
            ('f', 8) => Some(Values::Float(self.elements(|bytes| f64::from_le_bytes(bytes) as f32))),
            ('i', 1) => Some(Values::Int8(self.elements(i8::from_le_bytes))),
            _ => None,
        }
    }

    /// Integers of any width; `None` for other types. Beyond `i64` they saturate.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match (self.kind, self.width) {
            ('i', 1) => Some(self.elements(|bytes| i8::from_le_bytes(bytes).into())),
            ('i', 2) => Some(self.elements(|bytes| i16::from_le_bytes(bytes).into())),
            ('i', 4) => Some(self.elements(|bytes| i32::from_le_bytes(bytes).into())),
            ('i', 8) => Some(self.elements(i64::from_le_bytes)),
            ('u', 1) => Some(self.elements(|bytes| u8::from_le_bytes(bytes).into())),
            ('u', 2) => Some(self.elements(|bytes| u16::from_le_bytes(bytes).into())),
            ('u', 4) => Some(self.elements(|bytes| u32::from_le_bytes(bytes).into())),
            ('u', 8) => {
                Some(self.elements(|bytes| i64::try_from(u64::from_le_bytes(bytes)).unwrap_or(i64::MAX)))
            }
            _ => None,
        }
    }

    fn elements<const WIDTH: usize, T>(&self, decode: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
        let little = |mut bytes: [u8; WIDTH]| {
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        self.bytes.as_chunks().0.iter().map(|&bytes| decode(little(bytes))).collect()
    }
}

/// Writes a `.npy` file.
///
/// # Errors
/// Those of `file`.
pub fn write_npy(mut file: impl Write, shape: &[usize], values: &Values) -> std::io::Result<()> {
    let descr = match values {
        Values::Float(_) => "<f4",
        Values::Int8(_) => "|i1",
    };
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // Numpy aligns the data to 64 bytes and ends the header with a line feed.
    let front = MAGIC.len() + 4;
    let padded = (front + header.len() + 1).next_multiple_of(64) - front;
    header = format!("{header:<width$}\n", width = padded - 1);
    file.write_all(MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    match values {
        Values::Float(values) => values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())),
        Values::Int8(values) => file.write_all(bytemuck::cast_slice(values)),
    }
}

/// Writes a compressed `.npz` file. The same arrays give the same bytes at any time.
///
/// # Errors
/// Those of `file`.
pub fn write_npz<'a>(
    file: impl Write + Seek,
    arrays: impl IntoIterator<Item = (&'a str, &'a [usize], &'a Values)>,
) -> std::io::Result<()> {
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, shape, values) in arrays {
        archive.start_file(format!("{name}.npy"), options)?;
        write_npy(&mut archive, shape, values)?;
    }
    archive.finish()?;
    Ok(())
}

fn parse_npz(file: &[u8]) -> Result<Vec<(String, Array)>, NpyError> {
    let damaged = |error: &dyn std::fmt::Display| NpyError::Archive(error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|error| damaged(&error))?;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| damaged(&format!("`{name}`: {error}")))?;
        let array = parse_npy(&bytes).map_err(|error| damaged(&format!("`{name}`: {error}")))?;
        arrays.push((name.to_owned(), array));
    }
    Ok(arrays)
}

fn parse_npy(file: &[u8]) -> Result<Array, NpyError> {
    let front = Front::parse(file)?;
    let bytes = front.data_bytes().ok_or(NpyError::Header("shape"))?;
    let data = file.get(front.offset..).and_then(|data| data.get(..bytes));
    let truncated = NpyError::Truncated { need: front.offset.saturating_add(bytes), have: file.len() };
    Ok(front.header.array(data.ok_or(truncated)?))
}

/// What stands before the elements of a `.npy` file.
#[derive(Debug)]
pub struct Front {
    header: Header,
    offset: usize,
}

impl Front {
    /// Of a file that begins with these bytes.
    ///
    /// # Errors
    /// [`NpyError`].
    pub fn parse(file: &[u8]) -> Result<Self, NpyError> {
        let truncated = |need| NpyError::Truncated { need, have: file.len() };
        let rest = file.strip_prefix(MAGIC).ok_or(NpyError::NotNumpy)?;
        let (version, rest) = rest.split_at_checked(2).ok_or(truncated(MAGIC.len() + 2))?;
        let length_bytes = match version[0] {
            1 => 2,
            2 | 3 => 4,
            other => return Err(NpyError::Version(other)),
        };
        let front = MAGIC.len() + 2 + length_bytes;
        let (length, rest) = rest.split_at_checked(length_bytes).ok_or(truncated(front))?;
        let length = length.iter().rev().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        let offset = front.saturating_add(length);
        let header = rest.get(..length).ok_or(truncated(offset))?;
        Ok(Self { header: Header::parse(&String::from_utf8_lossy(header))?, offset })
    }

    /// Where the elements begin.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The array's shape.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Whether the first axis runs fastest.
    pub fn is_fortran(&self) -> bool {
        self.header.fortran_order
    }

    /// Bytes of all elements, `None` where that exceeds `usize`.
    pub fn data_bytes(&self) -> Option<usize> {
        let width = self.header.width;
        self.header.shape.iter().try_fold(width, |product, &dim| product.checked_mul(dim))
    }

    /// An array of the same type with another shape and these elements in C order.
    pub fn array(&self, shape: Vec<usize>, bytes: Vec<u8>) -> Array {
        let Header { kind, width, big_endian, .. } = self.header;
        Array { shape, kind, width, big_endian, bytes }
    }
}

/// The text in front of an array: a Python dictionary of three keys.
#[derive(Debug)]
struct Header {
    shape: Vec<usize>,
    kind: char,
    width: usize,
    big_endian: bool,
    fortran_order: bool,
}

impl Header {
    fn parse(text: &str) -> Result<Self, NpyError> {
        let descr = value_of(text, "descr").ok_or(NpyError::Header("descr"))?;
        let (kind, width, big_endian) =
            parse_dtype(descr).ok_or_else(|| NpyError::Dtype(descr.chars().take(40).collect()))?;
        let fortran_order = match value_of(text, "fortran_order") {
            Some(value) if value.starts_with("True") => true,
            Some(value) if value.starts_with("False") => false,
            _ => return Err(NpyError::Header("fortran_order")),
        };
        let shape = value_of(text, "shape").and_then(parse_shape).ok_or(NpyError::Header("shape"))?;
        Ok(Self { shape, kind, width, big_endian, fortran_order })
    }

    /// The array with `data`, which has the header's size, in C order.
    fn array(self, data: &[u8]) -> Array {
        let Self { shape, kind, width, big_endian, fortran_order } = self;
        let mut bytes = data.to_vec();
        // An array in Fortran order is its transpose in C order.
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        if fortran_order && let Some(transpose) = Permutation::new(&reversed, &axes) {
            let elements = transpose.source_index().iter().flat_map(|&index| &data[width * index..][..width]);
            bytes = elements.copied().collect();
        }
        Array { shape, kind, width, big_endian, bytes }
    }
}

/// What follows `'key':` in a dictionary's text.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = ['\'', '"'].iter().find_map(|quote| {
        let quoted = format!("{quote}{key}{quote}");
        Some(text.find(&quoted)? + quoted.len())
    })?;
    Some(text[start..].trim_start().strip_prefix(':')?.trim_start())
}

/// `'<f4'` to kind, width, and whether it is big-endian.
fn parse_dtype(value: &str) -> Option<(char, usize, bool)> {
    let quote = value.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let descr = value[1..].split(quote).next()?;
    let mut letters = descr.chars();
    let order = letters.next().filter(|order| matches!(order, '<' | '>' | '|' | '='))?;
    let kind = letters.next().filter(|kind| matches!(kind, 'f' | 'i' | 'u' | 'b'))?;
    let width = letters.as_str().parse().ok().filter(|width| matches!(width, 1 | 2 | 4 | 8))?;
    Some((kind, width, order == '>'))
}

/// `(2, 3)` to numbers.
fn parse_shape(value: &str) -> Option<Vec<usize>> {
    let inner = value.strip_prefix('(')?.split(')').next()?;
    inner.split(',').map(str::trim).filter(|dim| !dim.is_empty()).map(|dim| dim.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;

    use super::*;

    fn npyz_file<T: npyz::Serialize>(
        dtype: &str,
        order: npyz::Order,
        shape: &[u64],
        values: &[T],
    ) -> Vec<u8> {
        let mut file = Vec::new();
        let dtype = npyz::DType::Plain(dtype.parse().unwrap());
        let options = npyz::WriteOptions::new().dtype(dtype).shape(shape).order(order);
        let mut writer = options.writer(&mut file).begin_nd().unwrap();
        values.iter().for_each(|value| writer.push(value).unwrap());
        writer.finish().unwrap();
        file
    }

    fn one(file: &[u8]) -> Array {
        match Arrays::parse(file).unwrap() {
            Arrays::One(array) => array,
            Arrays::Named(_) => panic!("an archive"),
        }
    }

    #[test]
    fn reads_what_another_writer_writes() {
        let floats = [1.0f32, -2.5, 3.25, 0.0, 65504.0, -0.125];
        let expected = Some(Values::Float(floats.to_vec()));
        for dtype in ["<f4", ">f4"] {
            let array = one(&npyz_file(dtype, npyz::Order::C, &[2, 3], &floats));
            assert_eq!((array.shape.as_slice(), array.values()), (&[2, 3][..], expected.clone()), "{dtype}");
        }
        let halves = floats.map(f16::from_f32);
        assert_eq!(one(&npyz_file("<f2", npyz::Order::C, &[6], &halves)).values(), expected);
        let doubles = floats.map(f64::from);
        assert_eq!(one(&npyz_file(">f8", npyz::Order::C, &[6], &doubles)).values(), expected);
        let bytes = one(&npyz_file("|i1", npyz::Order::C, &[1, 2], &[-128i8, 127]));
        assert_eq!(bytes.values(), Some(Values::Int8(vec![-128, 127])));
        assert_eq!(one(&npyz_file("|u1", npyz::Order::C, &[1], &[200u8])).integers(), Some(vec![200]));
        assert_eq!(one(&npyz_file(">i4", npyz::Order::C, &[1], &[-7i32])).integers(), Some(vec![-7]));
        assert_eq!(
            one(&npyz_file("<u8", npyz::Order::C, &[1], &[u64::MAX])).integers(),
            Some(vec![i64::MAX])
        );
    }

    #[test]
    fn fortran_order_becomes_c_order() {
        // [[1, 2, 3], [4, 5, 6]], column by column.
        let array = one(&npyz_file("<i8", npyz::Order::Fortran, &[2, 3], &[1i64, 4, 2, 5, 3, 6]));
        assert_eq!(array.integers(), Some(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn another_reader_reads_what_we_write() {
        let mut file = Vec::new();
        write_npy(&mut file, &[2, 2], &Values::Float(vec![1.0, 2.0, 3.0, f32::NAN])).unwrap();
        let read = npyz::NpyFile::new(&file[..]).unwrap();
        assert_eq!((read.shape(), read.order()), (&[2, 2][..], npyz::Order::C));
        assert_eq!(read.into_vec::<f32>().unwrap()[..3], [1.0, 2.0, 3.0]);
        let mut file = Vec::new();
        write_npy(&mut file, &[3], &Values::Int8(vec![-128, 0, 127])).unwrap();
        assert_eq!((file.len() - 3) % 64, 0);
        assert_eq!(npyz::NpyFile::new(&file[..]).unwrap().into_vec::<i8>().unwrap(), [-128, 0, 127]);
    }

    #[test]
    fn archive_round_trip() {
        let (a, b) = (Values::Float(vec![0.5; 1000]), Values::Int8(vec![1, 2]));
        let mut file = Cursor::new(Vec::new());
        write_npz(&mut file, [("a", &[10, 100][..], &a), ("scores/b", &[2][..], &b)]).unwrap();
        let file = file.into_inner();
        assert!(file.len() < 1000, "not compressed");
        let Arrays::Named(arrays) = Arrays::parse(&file).unwrap() else { panic!("no archive") };
        assert_eq!(arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "scores/b"]);
        assert_eq!((arrays[0].1.values(), arrays[1].1.values()), (Some(a), Some(b)));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let mut npy = Vec::new();
        write_npy(&mut npy, &[2], &Values::Float(vec![1.0, 2.0])).unwrap();
        let mut npz = Cursor::new(Vec::new());
        write_npz(&mut npz, [("x", &[2][..], &Values::Float(vec![1.0, 2.0]))]).unwrap();
        for file in [npy, npz.into_inner()] {
            for length in 0..file.len() {
                assert!(Arrays::parse(&file[..length]).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let headers = [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 4), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999,), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': 'é', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
            "{'descr': '<f4', 'fortran_order': False}",
            "",
        ];
        for header in headers {
            let mut file = [MAGIC, &[2, 0], &(header.len() as u32).to_le_bytes()].concat();
            file.extend_from_slice(header.as_bytes());
            assert!(Arrays::parse(&file).is_err(), "{header}");
        }
        assert!(matches!(Arrays::parse(b"hello"), Err(NpyError::NotNumpy)));
    }
}
