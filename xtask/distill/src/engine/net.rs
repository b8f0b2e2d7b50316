//! A network of layers, run forward and backward over a batch.

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::conv::Conv;
use super::norm::{self, Moments};
use super::{fake, pool};

/// Index of a [`Param`].
pub type ParamId = usize;

/// Index of a value: 0 is the input, i + 1 the output of node i.
pub type ValueId = usize;

/// Numbers that training changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Name, for checkpoints and messages.
    pub name: String,
    /// What it is to the optimizer.
    pub kind: Kind,
    /// The numbers.
    pub data: Vec<f32>,
}

/// What a parameter is to the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Trained and pulled towards zero.
    Weights,
    /// Trained.
    Offset,
    /// The `[low, high]` of an activation: trained, not averaged away from 0.
    Range,
    /// Not trained.
    Fixed,
    /// Running statistics, no gradient.
    Statistics,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Convolution, or dense layer on an image of one pixel.
    Conv {
        /// The convolution.
        conv: Conv,
        /// Weights.
        weights: ParamId,
        /// Bias; absent in front of a normalization.
        bias: Option<ParamId>,
        /// Bits that the weights are rounded to; absent while training in float.
        bits: Option<u8>,
    },
    /// Batch normalization: scale, offset, running mean, running variance.
    Norm([ParamId; 4]),
    /// max(x, 0), at most `high`.
    Clip {
        /// Largest value, or infinity.
        high: f32,
    },
    /// Sum of two inputs.
    Add,
    /// Mean over h and w.
    Mean,
    /// Largest of each window, without padding.
    MaxPool {
        /// Height and width of the window, and its stride.
        size: [usize; 2],
    },
    /// All elements side by side.
    Flatten,
    /// Rounded to int8 over a range.
    Fake(ParamId),
}

impl Layer {
    /// The parameters that it reads.
    pub fn params_mut(&mut self) -> Vec<&mut ParamId> {
        match self {
            Self::Conv { weights, bias, .. } => std::iter::once(weights).chain(bias).collect(),
            Self::Norm(ids) => ids.iter_mut().collect(),
            Self::Fake(range) => vec![range],
            Self::Clip { .. } | Self::Add | Self::Mean | Self::MaxPool { .. } | Self::Flatten => Vec::new(),
        }
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name; unique.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// The values that it reads.
    pub inputs: Vec<ValueId>,
    /// Shape of its output, `[h, w, c]`.
    pub shape: [usize; 3],
}

/// A network with one input and one output, that of the last node.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// Shape of the input, `[h, w, c]`.
    pub input: [usize; 3],
    /// Nodes in execution order.
    pub nodes: Vec<Node>,
    /// All parameters.
    pub params: Vec<Param>,
}

/// What a forward pass leaves for the backward pass.
pub struct Run {
    /// All values.
    pub values: Vec<Batch>,
    moments: Vec<Moments>,
    weights: Vec<Option<Vec<f32>>>,
}

impl Run {
    /// The network's output.
    pub fn output(&self) -> &Batch {
        self.values.last().expect("at least the input")
    }
}

impl Net {
    /// Shape of a value, `[h, w, c]`.
    pub fn shape(&self, value: ValueId) -> [usize; 3] {
        value.checked_sub(1).map_or(self.input, |node| self.nodes[node].shape)
    }

    /// Nodes that read a value.
    pub fn readers(&self, value: ValueId) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |&node| self.nodes[node].inputs.contains(&value))
    }

    /// Number of weights and biases as they are deployed, normalizations folded.
    pub fn parameters(&self) -> usize {
        let count = |node: &Node| match &node.layer {
            Layer::Conv { conv, .. } => conv.weights() + conv.c_out,
            _ => 0,
        };
        self.nodes.iter().map(count).sum()
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> usize {
        let count = |node: &Node| match &node.layer {
            Layer::Conv { conv, .. } => conv.weights() * node.shape[0] * node.shape[1],
            _ => 0,
        };
        self.nodes.iter().map(count).sum()
    }

    /// Gradients of all parameters, zero.
    pub fn zeros(&self) -> Vec<Vec<f32>> {
        self.params.iter().map(|param| vec![0.0; param.data.len()]).collect()
    }

    /// Runs a batch. In `training`, normalizations take the batch's own moments, else the running ones.
    pub fn forward(&self, x: Batch, training: bool) -> Run {
        let count = self.nodes.len();
        let mut run =
            Run { values: vec![x], moments: vec![Moments::default(); count], weights: vec![None; count] };
        for (index, node) in self.nodes.iter().enumerate() {
            let x = &run.values[node.inputs[0]];
            let data = |id: ParamId| self.params[id].data.as_slice();
            let y = match &node.layer {
                Layer::Conv { conv, weights, bias, bits } => {
                    let bias = bias.map_or(&[][..], data);
                    let Some(bits) = *bits else {
                        run.values.push(conv.forward(x, data(*weights), bias));
                        continue;
                    };
                    let scales = fake::weight_scales(data(*weights), conv.c_out, bits);
                    let weights = fake::weights(data(*weights), &scales, bits);
                    let y = conv.forward(x, &weights, bias);
                    run.weights[index] = Some(weights);
                    y
                }
                Layer::Norm([scale, offset, mean, variance]) => {
                    let moments = if training {
                        norm::moments(x)
                    } else {
                        Moments { mean: data(*mean).to_vec(), variance: data(*variance).to_vec() }
                    };
                    let y = norm::forward(x, &moments, data(*scale), data(*offset));
                    run.moments[index] = moments;
                    y
                }
                Layer::Clip { high } => {
                    let data = x.data.iter().map(|x| x.max(0.0).min(*high)).collect();
                    Batch { data, ..*x }
                }
                Layer::Add => {
                    let terms = x.data.iter().zip(&run.values[node.inputs[1]].data);
                    Batch { data: terms.map(|(a, b)| a + b).collect(), ..*x }
                }
                Layer::Mean => pool::mean(x),
                Layer::MaxPool { size } => pool::max(x, *size),
                Layer::Flatten => Batch { n: x.n, shape: node.shape, data: x.data.clone() },
                Layer::Fake(range) => {
                    let mut y = x.clone();
                    fake::activations(&mut y.data, data(*range)[0], data(*range)[1]);
                    y
                }
            };
            run.values.push(y);
        }
        run
    }

    /// Adds the gradients of the parameters to `gradients`. `given` are the losses' gradients of values, the output among
    /// them; in the place of those of running statistics, it leaves the batch's moments.
    pub fn backward(&self, run: &Run, given: Vec<(ValueId, Batch)>, gradients: &mut [Vec<f32>]) {
        let mut wanted: Vec<Option<Batch>> = vec![None; run.values.len()];
        let give = |wanted: &mut Vec<Option<Batch>>, value: ValueId, gradient: Batch| match &mut wanted[value]
        {
            Some(sum) => sum.add(&gradient),
            none => *none = Some(gradient),
        };
        given.into_iter().for_each(|(value, gradient)| give(&mut wanted, value, gradient));
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let Some(mut dy) = wanted[index + 1].take() else { continue };
            let from = node.inputs[0];
            let x = &run.values[from];
            let dx = match &node.layer {
                Layer::Conv { conv, weights, bias, .. } => {
                    let mut d_weights = std::mem::take(&mut gradients[*weights]);
                    let mut d_bias = bias.map_or(Vec::new(), |bias| std::mem::take(&mut gradients[bias]));
                    let used = run.weights[index].as_ref().unwrap_or(&self.params[*weights].data);
                    let dx = conv.backward(x, used, &dy, (&mut d_weights, &mut d_bias), from > 0);
                    gradients[*weights] = d_weights;
                    if let Some(bias) = bias {
                        gradients[*bias] = d_bias;
                    }
                    let Some(dx) = dx else { continue };
                    dx
                }
                Layer::Norm([scale, offset, mean, variance]) => {
                    let moments = &run.moments[index];
                    let data = &self.params[*scale].data;
                    let [mut d_scale, mut d_offset] =
                        [*scale, *offset].map(|id| std::mem::take(&mut gradients[id]));
                    let dx = norm::backward(x, moments, data, dy, &mut d_scale, &mut d_offset);
                    gradients[*scale] = d_scale;
                    gradients[*offset] = d_offset;
                    for (id, moment) in [(*mean, &moments.mean), (*variance, &moments.variance)] {
                        gradients[id].iter_mut().zip(moment).for_each(|(sum, m)| *sum += m);
                    }
                    dx
                }
                Layer::Clip { high } => {
                    let y = &run.values[index + 1];
                    let high = *high;
                    // Without a branch, so that it is done by vectors.
                    let inside = |y: f32| (y > 0.0) & (y < high);
                    dy.data
                        .iter_mut()
                        .zip(&y.data)
                        .for_each(|(dy, y)| *dy = if inside(*y) { *dy } else { 0.0 });
                    dy
                }
                Layer::Add => {
                    give(&mut wanted, node.inputs[1], dy.clone());
                    dy
                }
                Layer::Mean => pool::mean_backward(x, &dy),
                Layer::MaxPool { size } => pool::max_backward(x, &dy, *size),
                Layer::Flatten => Batch { n: x.n, shape: x.shape, data: dy.data },
                Layer::Fake(range) => {
                    let [low, high] = [0, 1].map(|end| self.params[*range].data[end]);
                    let ends = fake::activations_backward(&x.data, &mut dy.data, low, high);
                    gradients[*range].iter_mut().zip(ends).for_each(|(sum, end)| *sum += end);
                    dy
                }
            };
            if from > 0 {
                give(&mut wanted, from, dx);
            }
        }
    }
}
