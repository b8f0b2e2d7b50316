//! Samples and labels: read from `.npy` and `.npz` files, checked against the inputs of a graph, or made at
//! random.
//!
//! A [`Tensor`] holds all samples of one input or output, the samples outermost. Floats are in the model's
//! own units; int8 is already quantized and stays as it is.

use std::io;
use std::path::Path;

pub use crate::npy::Values;
use crate::npy::{self, Array, Arrays};
use crate::random::SplitMix64;
use crate::{Failure, Result, files};

/// A result whose error text still lacks the file's name.
type Checked<T> = std::result::Result<T, String>;

/// Range of random samples of an input that states none.
pub const RANDOM_RANGE: [f32; 2] = [-1.0, 1.0];

/// The key of the labels in a `.npz` file.
const LABELS: &str = "y";
/// The key that stands for a graph's only input.
pub(crate) const ONLY_INPUT: &str = "x";

/// An input of a graph, as its data files must have it.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Name in the source graph.
    pub name: String,
    /// Shape in the source graph; a leading 1 is the batch axis.
    pub shape: Vec<usize>,
    /// Smallest and largest value, where known.
    pub range: Option<[f32; 2]>,
}

/// All samples of one input or output. Row-major, shape `[samples, ..]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

/// One sample of a [`Tensor`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    /// In the model's own units.
    Float(&'a [f32]),
    /// Quantized.
    Int8(&'a [i8]),
}

/// Samples for the inputs of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// One tensor an input, in the graph's order, all with the same number of samples.
    pub inputs: Vec<(String, Tensor)>,
    /// The class of each sample, where `y` holds integers.
    pub labels: Option<Vec<usize>>,
    /// What a regression should give for each sample, `[samples, quantities]`, where `y` holds floats.
    pub targets: Option<Tensor>,
    /// Where it came from, for messages: a path or `random:SEED`.
    pub origin: String,
}

/// Values of an input that are no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The input.
    pub input: String,
    /// Number of NaNs.
    pub nan: usize,
    /// Number of infinities.
    pub infinite: usize,
    /// The first sample that has one.
    pub sample: usize,
}

impl InputSpec {
    /// Shape of one sample: without the batch axis.
    pub fn sample_shape(&self) -> &[usize] {
        sample_shape(&self.shape)
    }
}

/// `shape` without its batch axis, which is a leading 1.
pub fn sample_shape(shape: &[usize]) -> &[usize] {
    shape.strip_prefix(&[1]).unwrap_or(shape)
}

impl Tensor {
    /// All samples in one: `shape` is `[samples, ..]`.
    ///
    /// # Panics
    /// Where `values` does not have the shape's size, or the shape no axis.
    pub fn new(shape: Vec<usize>, values: Values) -> Self {
        assert!(!shape.is_empty() && shape.iter().product::<usize>() == values.len(), "{shape:?}");
        Self { shape, values }
    }

    /// `[samples, ..]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.shape[0]
    }

    /// Elements of one sample.
    pub fn sample_elements(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// All elements.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Sample `i`.
    ///
    /// # Panics
    /// Past the last sample.
    pub fn sample(&self, i: usize) -> Sample<'_> {
        let elements = self.sample_elements();
        match &self.values {
            Values::Float(values) => Sample::Float(&values[i * elements..][..elements]),
            Values::Int8(values) => Sample::Int8(&values[i * elements..][..elements]),
        }
    }

    /// The samples at these indices, all of which must exist.
    fn pick(&self, indices: &[usize]) -> Self {
        fn gather<T: Copy>(values: &[T], elements: usize, indices: &[usize]) -> Vec<T> {
            indices.iter().flat_map(|&i| &values[i * elements..][..elements]).copied().collect()
        }
        let elements = self.sample_elements();
        let values = match &self.values {
            Values::Float(values) => Values::Float(gather(values, elements, indices)),
            Values::Int8(values) => Values::Int8(gather(values, elements, indices)),
        };
        Self::new([&[indices.len()], &self.shape[1..]].concat(), values)
    }
}

impl Dataset {
    /// Reads a `.npy` file (the only input) or a `.npz` file (keys are input names, or `x` for the only
    /// input; `y` the labels). Other keys are ignored.
    ///
    /// An array has shape `[samples, ..]`, where `..` is the input's shape without its batch axis, or exactly
    /// the input's shape: one sample. float16 and float64 become float32; int8 stays.
    ///
    /// # Errors
    /// [`Failure::Data`] that names the file, the key, what was expected and what was found. NaN is no error
    /// here: see [`Self::require_finite`].
    pub fn load(path: &Path, inputs: &[InputSpec]) -> Result<Self> {
        Self::parse(path, &files::read(path)?, inputs)
    }

    /// Like [`Self::load`] on a file's contents; `path` is for messages.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn parse(path: &Path, file: &[u8], inputs: &[InputSpec]) -> Result<Self> {
        let arrays = Arrays::parse(file).map_err(|error| Failure::data(path, error))?;
        Self::from_arrays(&path.display().to_string(), arrays, inputs)
            .map_err(|what| Failure::data(path, what))
    }

    pub(crate) fn from_arrays(origin: &str, arrays: Arrays, specs: &[InputSpec]) -> Checked<Self> {
        let (arrays, labels) = match arrays {
            Arrays::One(array) => (vec![(ONLY_INPUT.to_owned(), array)], None),
            Arrays::Named(mut arrays) => {
                let labels = arrays.iter().position(|(name, _)| name == LABELS);
                let labels = labels.filter(|_| specs.iter().all(|spec| spec.name != LABELS));
                let labels = labels.map(|index| arrays.remove(index).1);
                (arrays, labels)
            }
        };
        let tensors: Checked<Vec<_>> = specs
            .iter()
            .map(|spec| {
                let array = find(&arrays, spec, specs.len())?;
                Ok((spec.name.clone(), tensor(array, spec)?))
            })
            .collect();
        let inputs = tensors?;
        let samples = inputs.first().map_or(0, |(_, tensor)| tensor.samples());
        for (name, tensor) in &inputs {
            if tensor.samples() != samples {
                let found = tensor.samples();
                return Err(format!("`{name}` has {found} samples, `{}` has {samples}", inputs[0].0));
            }
        }
        let (labels, targets) = match labels {
            None => (None, None),
            Some(array) => match array.values().filter(|_| array.integers().is_none()) {
                Some(floats) => (None, Some(quantities(&array.shape, floats, samples)?)),
                None => (Some(class_indices(&array, samples)?), None),
            },
        };
        Ok(Self { inputs, labels, targets, origin: origin.to_owned() })
    }

    /// Samples uniform in each input's range, or in [`RANDOM_RANGE`]; the seed fixes every bit of them.
    pub fn random(seed: u64, inputs: &[InputSpec], samples: usize) -> Self {
        let mut random = SplitMix64::new(seed);
        let tensor = |spec: &InputSpec| {
            let shape = [&[samples], spec.sample_shape()].concat();
            let range = spec.range.unwrap_or(RANDOM_RANGE);
            let values = (0..shape.iter().product()).map(|_| random.uniform(range)).collect();
            (spec.name.clone(), Tensor::new(shape, Values::Float(values)))
        };
        let inputs = inputs.iter().map(tensor).collect();
        Self { inputs, labels: None, targets: None, origin: format!("random:{seed}") }
    }

    /// The samples `indices`, in that order.
    ///
    /// # Panics
    /// Where there is no such sample.
    pub fn pick(&self, indices: &[usize]) -> Self {
        Self {
            inputs: self.inputs.iter().map(|(name, tensor)| (name.clone(), tensor.pick(indices))).collect(),
            labels: self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect()),
            targets: self.targets.as_ref().map(|targets| targets.pick(indices)),
            origin: self.origin.clone(),
        }
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.inputs.first().map_or(0, |(_, tensor)| tensor.samples())
    }

    /// Keeps `samples` samples, spread evenly over all of them, so that files in the order of their classes serve too.
    pub fn thin(&mut self, samples: usize) {
        let all = self.samples();
        if samples >= all {
            return;
        }
        let indices: Vec<usize> = (0..samples).map(|i| i * all / samples).collect();
        *self = self.pick(&indices);
    }

    /// The labels, all below `classes`.
    ///
    /// # Errors
    /// [`Failure::Data`] where there are none or one is too large.
    pub fn require_labels(&self, classes: usize) -> Result<&[usize]> {
        let fail = |what: String| Failure::Data(format!("{}: {what}", self.origin));
        let labels = self.labels.as_deref();
        let labels = labels.ok_or_else(|| {
            fail(match self.targets {
                Some(_) => "`y` holds floats; class labels are integers (uint8, int32, int64, ..)".to_owned(),
                None => "no labels: add them to the .npz file as `y`".to_owned(),
            })
        })?;
        match labels.iter().position(|&label| label >= classes) {
            Some(sample) => Err(fail(format!(
                "label {} of sample {sample} is out of range: the model has {classes} classes, 0 to {}",
                labels[sample],
                classes - 1
            ))),
            None => Ok(labels),
        }
    }

    /// What a regression should give: `quantities` finite numbers a sample.
    ///
    /// # Errors
    /// [`Failure::Data`] where there are none, or others.
    pub fn require_targets(&self, quantities: usize) -> Result<&Tensor> {
        let fail = |what: String| Failure::Data(format!("{}: {what}", self.origin));
        let Some(targets) = &self.targets else {
            return Err(fail(match self.labels {
                Some(_) => {
                    format!("`y` holds integers; a regression's is float32 of shape [samples, {quantities}]")
                }
                None => format!(
                    "no labels: add them to the .npz file as `y`, float32 of shape [samples, {quantities}]"
                ),
            }));
        };
        if targets.sample_elements() != quantities {
            return Err(fail(format!(
                "`y` holds {} numbers a sample; the model has {quantities} quantities",
                targets.sample_elements()
            )));
        }
        let Values::Float(values) = targets.values() else { unreachable!("targets are floats") };
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(fail(format!("`y` of sample {} is {}", at / quantities.max(1), values[at]))),
            None => Ok(targets),
        }
    }

    /// The inputs that hold NaN or infinity.
    pub fn non_finite(&self) -> Vec<NonFinite> {
        let count = |(name, tensor): &(String, Tensor)| {
            let Values::Float(values) = tensor.values() else {
                return None;
            };
            let first = values.iter().position(|value| !value.is_finite())?;
            Some(NonFinite {
                input: name.clone(),
                nan: values.iter().filter(|value| value.is_nan()).count(),
                infinite: values.iter().filter(|value| value.is_infinite()).count(),
                sample: first / tensor.sample_elements().max(1),
            })
        };
        self.inputs.iter().filter_map(count).collect()
    }

    /// Refuses samples that are quantized already, which say nothing about real ranges.
    ///
    /// # Errors
    /// [`Failure::Data`] that names the input.
    pub fn require_float(&self) -> Result<()> {
        let quantized = |(_, tensor): &&(String, Tensor)| matches!(tensor.values(), Values::Int8(_));
        match self.inputs.iter().find(quantized) {
            Some((input, _)) => Err(Failure::Data(format!(
                "{}: `{input}` is int8, which is quantized already; give float32 in the model's own units",
                self.origin
            ))),
            None => Ok(()),
        }
    }

    /// Refuses NaN and infinity, which no range can be drawn from.
    ///
    /// # Errors
    /// [`Failure::Data`] with the counts and the first sample.
    pub fn require_finite(&self) -> Result<()> {
        match self.non_finite().first() {
            Some(NonFinite { input, nan, infinite, sample }) => Err(Failure::Data(format!(
                "{}: `{input}` holds {nan} NaN and {infinite} infinite values, the first in sample {sample}; \
                 remove them",
                self.origin
            ))),
            None => Ok(()),
        }
    }
}

/// Writes tensors: one to `.npy`, or to `.npz` if the path says so; several to `.npz`.
///
/// # Errors
/// [`Failure::Usage`] for several tensors and a path that ends in `.npy`; [`Failure::Data`] where it cannot
/// be written.
pub fn save(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let ends_in =
        |extension: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    match tensors {
        [(_, tensor)] if !ends_in("npz") => {
            files::write_atomically(path, |file| npy::write_npy(file, &tensor.shape, &tensor.values))
        }
        _ if ends_in("npy") => {
            let path = path.display();
            Err(Failure::Usage(format!("{path}: {} arrays need a file that ends in .npz", tensors.len())))
        }
        _ => files::write_atomically(path, |file| {
            let arrays = tensors.iter().map(|(name, t)| (name.as_str(), t.shape.as_slice(), &t.values));
            // An archive's writer seeks, which a pipe cannot.
            let mut archive = io::Cursor::new(Vec::new());
            npy::write_npz(&mut archive, arrays)?;
            file.write_all(archive.get_ref())
        }),
    }
}

/// The array of an input: under its name, or under `x` where it is the only one.
fn find<'a>(arrays: &'a [(String, Array)], spec: &InputSpec, inputs: usize) -> Checked<&'a Array> {
    let named = arrays.iter().find(|(name, _)| *name == spec.name);
    let only = arrays.iter().find(|(name, _)| inputs == 1 && name == ONLY_INPUT);
    named.or(only).map(|(_, array)| array).ok_or_else(|| {
        let found: Vec<_> = arrays.iter().map(|(name, _)| format!("`{name}`")).collect();
        let or_x = if inputs == 1 { " (or `x`)" } else { "" };
        format!("no array for input `{}`{or_x}; found {}", spec.name, found.join(", "))
    })
}

fn tensor(array: &Array, spec: &InputSpec) -> Checked<Tensor> {
    let name = &spec.name;
    let values = array.values().ok_or_else(|| {
        format!(
            "`{name}` is {}; accepted are float32, float16 and float64 in the model's own units, or int8 \
             already quantized",
            array.dtype()
        )
    })?;
    let sample = spec.sample_shape();
    let shape = match array.shape.as_slice() {
        [_, rest @ ..] if rest == sample => array.shape.clone(),
        exact if exact == spec.shape => [&[1], sample].concat(),
        found => {
            let expected: String = sample.iter().map(|dim| format!(", {dim}")).collect();
            return Err(format!("`{name}` has shape {found:?}; expected [samples{expected}]"));
        }
    };
    if values.is_empty() {
        return Err(format!("`{name}` holds no samples: shape {shape:?}"));
    }
    Ok(Tensor { shape, values })
}

fn class_indices(array: &Array, samples: usize) -> Checked<Vec<usize>> {
    let integers = array.integers().ok_or_else(|| {
        format!("labels `{LABELS}` are {}; accepted are integers (uint8, int32, int64, ..)", array.dtype())
    })?;
    if array.shape != [samples] {
        return Err(format!("labels `{LABELS}` have shape {:?}; expected [{samples}]", array.shape));
    }
    let index = |(sample, &label): (usize, &i64)| {
        usize::try_from(label).map_err(|_| format!("label {label} of sample {sample} is negative"))
    };
    integers.iter().enumerate().map(index).collect()
}

/// `[samples, quantities]` out of that, or of `[samples]`.
fn quantities(shape: &[usize], values: Values, samples: usize) -> Checked<Tensor> {
    let shape = match *shape {
        [count] if count == samples => vec![samples, 1],
        [count, each] if count == samples => vec![samples, each],
        _ => return Err(format!("`{LABELS}` has shape {shape:?}; expected [{samples}, quantities]")),
    };
    Ok(Tensor { shape, values })
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
