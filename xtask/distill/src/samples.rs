//! Samples in memory: in the model's units at half precision, in the order of the engine (NHWC); what they are labelled with.

use half::f16;
use still8_validation::data::{Dataset, Sample};
use still8_validation::run::Outputs;
use still8_validation::{Failure, Result};

use crate::config::Layout;
use crate::engine::batch::Batch;

/// Samples and, where they are labelled, their classes or quantities.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// `[h, w, c]` of each.
    pub shape: [usize; 3],
    /// How the model's files order the elements of a sample.
    pub order: Order,
    x: Vec<f16>,
    /// Classes.
    pub labels: Option<Vec<usize>>,
    /// Quantities, a row a sample.
    pub targets: Option<Vec<Vec<f32>>>,
}

/// Order of elements in the model's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As here.
    #[default]
    Same,
    /// Channels first.
    ChannelsFirst,
}

/// `[h, w, c]` and order of an input of this shape, batch axis included.
///
/// # Errors
/// [`Failure::Unsupported`] for other ranks than 2 to 4.
pub fn geometry(shape: &[usize], layout: Layout) -> Result<([usize; 3], Order)> {
    match (shape, layout) {
        (&[1, n], _) => Ok(([1, 1, n], Order::Same)),
        (&[1, c, w], Layout::Nchw) => Ok(([1, w, c], Order::ChannelsFirst)),
        (&[1, c, h, w], Layout::Nchw) => Ok(([h, w, c], Order::ChannelsFirst)),
        (&[1, w, c], Layout::Nhwc) => Ok(([1, w, c], Order::Same)),
        (&[1, h, w, c], Layout::Nhwc) => Ok(([h, w, c], Order::Same)),
        _ => Err(Failure::Unsupported(format!(
            "input shape {shape:?}: students take [1, n], [1, c, w] or [1, c, h, w] (or channels last with \
             `distill.layout = \"nhwc\"`)"
        ))),
    }
}

impl Samples {
    /// The samples of a data set with one input.
    ///
    /// # Errors
    /// [`Failure::Data`] for quantized or non-finite samples, and for values that half precision cannot hold.
    pub fn new(data: &Dataset, shape: [usize; 3], order: Order) -> Result<Self> {
        data.require_float()?;
        data.require_finite()?;
        let (_, tensor) = &data.inputs[0];
        let mut x = Vec::with_capacity(tensor.samples() * tensor.sample_elements());
        let mut row = Vec::new();
        for i in 0..tensor.samples() {
            let Sample::Float(values) = tensor.sample(i) else { unreachable!("floats were required") };
            row.clear();
            to_engine(values, shape, order, &mut row);
            x.extend(row.iter().map(|&value| f16::from_f32(value)));
        }
        if let Some(at) = x.iter().position(|value| !value.is_finite()) {
            let sample = at / tensor.sample_elements();
            return Err(Failure::Data(format!(
                "{}: sample {sample} has a value beyond ±65,504",
                data.origin
            )));
        }
        let targets = data.targets.as_ref().map(Outputs::from_tensor).transpose()?;
        let targets = targets.map(|targets| targets.logits);
        Ok(Self { shape, order, x, labels: data.labels.clone(), targets })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.x.len() / self.elements().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// Elements of one.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Sample `i`, in the engine's order.
    pub fn get(&self, i: usize) -> Vec<f32> {
        self.x[i * self.elements()..][..self.elements()].iter().map(|x| x.to_f32()).collect()
    }

    /// Some of them.
    pub fn pick(&self, indices: &[usize]) -> Self {
        let x = indices
            .iter()
            .flat_map(|&i| &self.x[i * self.elements()..][..self.elements()])
            .copied()
            .collect();
        let labels = self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect());
        let targets =
            self.targets.as_ref().map(|targets| indices.iter().map(|&i| targets[i].clone()).collect());
        Self { x, labels, targets, ..*self }
    }

    /// Samples as a batch, times `scale`.
    pub fn batch(&self, indices: &[usize], scale: f32) -> Batch {
        let mut batch = Batch::zeros(0, self.shape);
        for &i in indices {
            batch.data.extend(self.get(i).into_iter().map(|x| x * scale));
            batch.n += 1;
        }
        batch
    }
}

/// Appends a sample in the engine's order.
fn to_engine(values: &[f32], [h, w, c]: [usize; 3], order: Order, row: &mut Vec<f32>) {
    match order {
        Order::Same => row.extend_from_slice(values),
        Order::ChannelsFirst => row.extend((0..h * w * c).map(|i| values[(i % c) * h * w + i / c])),
    }
}

/// A sample in the order of the model's files.
pub fn to_model(values: &[f32], [h, w, c]: [usize; 3], order: Order) -> Vec<f32> {
    match order {
        Order::Same => values.to_vec(),
        Order::ChannelsFirst => (0..h * w * c).map(|i| values[(i % (h * w)) * c + i / (h * w)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_first_there_and_back() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let mut row = Vec::new();
        to_engine(&values, [3, 4, 2], Order::ChannelsFirst, &mut row);
        assert_eq!(row[..4], [0.0, 12.0, 1.0, 13.0]);
        assert_eq!(to_model(&row, [3, 4, 2], Order::ChannelsFirst), values);
    }

    #[test]
    fn shapes_by_layout() {
        assert_eq!(geometry(&[1, 6, 1, 128], Layout::Nchw).unwrap().0, [1, 128, 6]);
        assert_eq!(geometry(&[1, 32, 32, 3], Layout::Nhwc).unwrap().0, [32, 32, 3]);
        assert_eq!(geometry(&[1, 640], Layout::Nchw).unwrap().0, [1, 1, 640]);
        assert!(geometry(&[2, 3], Layout::Nchw).is_err());
    }
}
