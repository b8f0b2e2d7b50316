//! AdamW (Loshchilov and Hutter, arXiv:1711.05101), its schedule, and the running average of the weights.

use serde::{Deserialize, Serialize};

use super::net::{Kind, Param};

const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;
/// Share of the running statistics that a step keeps.
const STATISTICS: f32 = 0.95;

/// Moments of the gradients, and the average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
    /// Running average of all parameters: what is evaluated and kept.
    pub average: Vec<Vec<f32>>,
    /// Steps so far.
    pub steps: u64,
}

/// The choices of one step.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Learning rate.
    pub rate: f32,
    /// Pull of weights towards zero, times the rate.
    pub decay: f32,
    /// Share of the average that a step keeps.
    pub average: f32,
}

impl Optimizer {
    /// Before the first step.
    pub fn new(params: &[Param]) -> Self {
        let zeros: Vec<Vec<f32>> = params.iter().map(|param| vec![0.0; param.data.len()]).collect();
        let average = params.iter().map(|param| param.data.clone()).collect();
        Self { first: zeros.clone(), second: zeros, average, steps: 0 }
    }

    /// One step against the gradients; in the place of those of statistics stand the batch's moments.
    pub fn step(&mut self, params: &mut [Param], gradients: &[Vec<f32>], rates: Rates) {
        self.steps += 1;
        // The average follows quickly at first, so that it forgets where training began.
        let keep = rates.average.min((1.0 + self.steps as f32) / (10.0 + self.steps as f32));
        let unbias = BETA.map(|beta| 1.0 / (1.0 - beta.powf(self.steps as f32)));
        for (i, (param, gradient)) in params.iter_mut().zip(gradients).enumerate() {
            let moments = self.first[i].iter_mut().zip(&mut self.second[i]);
            let numbers = param.data.iter_mut().zip(gradient).zip(moments).zip(&mut self.average[i]);
            let decay = if param.kind == Kind::Weights { rates.decay } else { 0.0 };
            for (((x, &g), (first, second)), average) in numbers {
                if param.kind == Kind::Statistics {
                    *x += (1.0 - STATISTICS) * (g - *x);
                } else if param.kind != Kind::Fixed {
                    *first += (1.0 - BETA[0]) * (g - *first);
                    *second += (1.0 - BETA[1]) * (g * g - *second);
                    let direction = *first * unbias[0] / ((*second * unbias[1]).sqrt() + EPSILON);
                    *x -= rates.rate * (direction + decay * *x);
                }
                *average += (1.0 - keep) * (*x - *average);
            }
            if param.kind == Kind::Range {
                // A range holds 0.
                param.data[0] = param.data[0].min(0.0);
                param.data[1] = param.data[1].max(0.0);
            }
        }
    }
}

/// Linear warm-up, then a cosine to zero (Loshchilov and Hutter, arXiv:1608.03983).
pub fn cosine(step: u64, warm_up: u64, total: u64, rate: f32) -> f32 {
    if step < warm_up {
        return rate * (step + 1) as f32 / warm_up as f32;
    }
    let progress = (step - warm_up) as f32 / (total - warm_up).max(1) as f32;
    rate * 0.5 * (1.0 + (std::f32::consts::PI * progress.min(1.0)).cos())
}
