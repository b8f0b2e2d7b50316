//! A scheme on trial: the int8 network run on held-out samples against the float outputs.

use ndarray::ArrayD;
use rayon::prelude::*;
use still8::format::Family;
use still8_validation::data::{Dataset, Sample, Tensor};
use still8_validation::host::HostRunner;
use still8_validation::metrics::{self, argmax};
use still8_validation::recipe::Task;
use still8_validation::regression;
use still8_validation::run::Outputs;
use still8_validation::{Failure, Result};

use super::float_sample;
use super::fuse::Fused;
use super::lower::lower_to;
use super::scheme::Scheme;
use crate::emit::emit;
use crate::float::FloatRunner;
use crate::graph::{Graph, Op, ValueId};

/// Samples with the outputs that the float graph computes of them: those before a softmax, which hides most of what goes
/// wrong and blows up the rest.
pub struct Trial {
    data: Dataset,
    outputs: Vec<ValueId>,
    /// All outputs of each sample, one behind the other.
    floats: Vec<Vec<f32>>,
    task: Task,
}

impl Trial {
    /// On the samples `indices` of `data`.
    pub fn new(graph: &Graph, data: &Dataset, indices: &[usize]) -> Self {
        let before_softmax = |&output: &ValueId| match graph.writer(output) {
            Some(writer) if matches!(graph.nodes[writer].op, Op::Softmax { .. }) => {
                graph.nodes[writer].inputs[0]
            }
            _ => output,
        };
        let outputs: Vec<ValueId> = graph.outputs.iter().map(before_softmax).collect();
        let float = FloatRunner::new(graph, &outputs);
        let flat = |values: Vec<ArrayD<f32>>| values.iter().flatten().copied().collect();
        let floats = indices.par_iter().map(|&i| flat(float.run(&float_sample(data, i, graph)))).collect();
        Self { data: data.pick(indices), outputs, floats, task: Task::Classification }
    }

    /// Of a model that does this.
    #[must_use]
    pub fn of(self, task: Task) -> Self {
        Self { task, ..self }
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.floats.len()
    }

    /// Energy of the int8 outputs' error relative to the float outputs'.
    ///
    /// # Errors
    /// As lowering; [`Failure::Unsupported`] where the network has no valid plan.
    pub fn error(&self, graph: &Graph, steps: &[Fused], scheme: &Scheme) -> Result<f64> {
        Ok(self.judge(graph, steps, scheme)?.error)
    }

    /// How far the int8 outputs are from the float ones.
    ///
    /// # Errors
    /// As [`Self::error`].
    pub fn judge(&self, graph: &Graph, steps: &[Fused], scheme: &Scheme) -> Result<Judged> {
        let network = lower_to(graph, steps, scheme, &self.outputs)?.network;
        let plan = emit(&network, Family::Portable)?.bytes;
        let invalid = |error| Failure::Unsupported(format!("`{}`: {error}", network.name));
        let runner = HostRunner::new(&plan).map_err(invalid)?;
        let outputs = runner.run(&self.data, |_| ())?.0.dequantized();
        let (mut signal, mut error, mut others) = (0.0, 0.0, 0);
        let mut scores = [Vec::new(), Vec::new()];
        for (i, floats) in self.floats.iter().enumerate() {
            let mut rest = floats.as_slice();
            let mut differs = false;
            for (_, tensor) in &outputs {
                let Sample::Float(values) = tensor.sample(i) else { continue };
                let (floats, behind) = rest.split_at(values.len().min(rest.len()));
                rest = behind;
                for (&q, &x) in values.iter().zip(floats) {
                    signal += f64::from(x).powi(2);
                    error += (f64::from(x) - f64::from(q)).powi(2);
                }
                // Equal largest integers are no decision of the network's.
                let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                differs |= values.get(argmax(floats)).is_some_and(|&chosen| chosen < most);
            }
            others += usize::from(differs);
            if let (Task::Anomaly, Sample::Float(input), Sample::Float(output)) =
                (self.task, self.data.inputs[0].1.sample(i), outputs[0].1.sample(i))
            {
                for (scores, values) in scores.iter_mut().zip([floats, output]) {
                    let same = values.len() == input.len();
                    scores.extend(same.then(|| metrics::mean_squared_error(input, values)).flatten());
                }
            }
        }
        let share = others as f64 / self.floats.len().max(1) as f64;
        Ok(Judged {
            error: if signal > 0.0 { error / signal } else { error },
            disagreement: match self.task {
                Task::Classification => share,
                Task::Anomaly => metrics::reordered(&scores[0], &scores[1]).unwrap_or_default(),
                Task::Regression => unexplained(&self.floats, &outputs[0].1),
            },
        })
    }
}

/// How far int8 outputs are from float ones.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Energy of the error relative to the signal's.
    pub error: f64,
    /// Share of samples whose largest output is another; of an anomaly model, of pairs whose scores change their order; of a
    /// regression, of the float outputs' variance that the int8 ones miss.
    pub disagreement: f64,
}

/// 1 − R² of the int8 outputs against the float ones, the mean over quantities.
fn unexplained(floats: &[Vec<f32>], tensor: &Tensor) -> f64 {
    let int8 = Outputs::from_tensor(tensor).unwrap_or_default();
    let r2 = regression::mean_r2(&Outputs { logits: floats.to_vec() }, &int8);
    r2.map_or(0.0, |r2| 1.0 - r2)
}

/// A relative error in dB of signal to noise.
pub fn decibels(error: f64) -> f64 {
    -10.0 * error.log10()
}
