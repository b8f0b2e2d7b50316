//! Recovery of accuracy without labels: each step changes the scheme, or the float weights that it rounds, and stays only
//! if the int8 outputs on held-out samples come closer to the float ones.
//!
//! Everything is a function of model, data and settings: no clock, no order of threads decides anything.

pub mod equalize;
mod moments;
mod rounding;
mod scales;
mod sequential;

use ndarray::ArrayD;
use still8_validation::Result;

use crate::graph::Graph;
use crate::quantize::fuse::Fused;
use crate::quantize::scheme::Scheme;
use crate::quantize::trial::{Trial, decibels};
use sequential::What;

/// A step that can be switched off.
pub use still8_validation::recipe::Recovery;

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub recovery: Recovery,
    /// Output SQNR on held-out samples before it, in dB.
    pub before_db: f64,
    /// After it.
    pub after_db: f64,
    /// Whether it stayed.
    pub kept: bool,
}

/// What is refined, and what it is judged by.
pub struct Refined<'a> {
    /// The float graph that the outputs are held to.
    pub original: &'a Graph,
    /// The graph that is lowered; its biases change.
    pub graph: Graph,
    /// Its steps.
    pub steps: &'a [Fused],
    /// Its integers.
    pub scheme: Scheme,
}

/// Applies `recoveries` in order, on `samples` (inputs of the float graph); `fit` holds samples to tune on, `held` others to
/// judge by. `step` is told of each piece of work.
///
/// # Errors
/// As [`Trial::error`].
pub fn recover(
    refined: &mut Refined<'_>,
    recoveries: &[Recovery],
    samples: &[Vec<ArrayD<f32>>],
    fit: &Trial,
    held: &Trial,
    step: &dyn Fn(),
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut error = held.error(&refined.graph, refined.steps, &refined.scheme)?;
    for &recovery in recoveries {
        let (graph, scheme) = (refined.graph.clone(), refined.scheme.clone());
        match recovery {
            Recovery::Bias => sequential::refine(refined, samples, What { weights: false, biases: true })?,
            // Other weights want other biases.
            Recovery::Round => {
                let biases = steps.iter().any(|step: &Step| step.recovery == Recovery::Bias && step.kept);
                sequential::refine(refined, samples, What { weights: true, biases })?;
            }
            Recovery::Scales => scales::tune(refined, fit, held, step)?,
            // Done before calibration, where it is.
            Recovery::Equalize => continue,
        }
        let after = held.error(&refined.graph, refined.steps, &refined.scheme)?;
        let kept = after < error;
        steps.push(Step { recovery, before_db: decibels(error), after_db: decibels(after), kept });
        if kept {
            error = after;
        } else {
            (refined.graph, refined.scheme) = (graph, scheme);
        }
        step();
    }
    Ok(steps)
}
