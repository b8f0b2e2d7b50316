//! Regressions: networks whose output holds quantities in their own units.
//!
//! A network is judged by the coefficient of determination R² of each quantity, and by their mean, which does not depend on
//! units; the errors themselves are told in the units of each.

use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::run::Outputs;
use crate::validate::{Comparison, Report, Score};

/// One quantity of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// How far the teacher is off.
    pub teacher: Option<Deviation>,
    /// How far the float student is off.
    pub float: Option<Deviation>,
    /// How far the int8 student is off.
    pub int8: Option<Deviation>,
}

/// How far one quantity of a network is off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Root of the mean squared error, in the quantity's unit.
    pub rmse: f64,
    /// Mean absolute error, in the quantity's unit.
    pub mae: f64,
    /// Coefficient of determination: the share of the variance that is explained. `None` where the quantity is constant.
    pub r2: Option<f64>,
}

/// One quantity of all samples.
fn column(outputs: &Outputs, quantity: usize) -> Vec<f64> {
    outputs.logits.iter().map(|row| f64::from(row[quantity])).collect()
}

fn deviation(truth: &[f64], estimate: &[f64]) -> Option<Deviation> {
    let count = truth.len() as f64;
    let errors = || truth.iter().zip(estimate).map(|(y, estimate)| y - estimate);
    (!truth.is_empty()).then(|| Deviation {
        rmse: (errors().map(|error| error * error).sum::<f64>() / count).sqrt(),
        mae: errors().map(f64::abs).sum::<f64>() / count,
        r2: metrics::r_squared(truth, estimate),
    })
}

/// R² of each quantity of `estimate`, as far as it is defined, averaged.
pub fn mean_r2(truth: &Outputs, estimate: &Outputs) -> Option<f64> {
    let quantities = truth.logits.first().map_or(0, Vec::len);
    let of = |quantity| metrics::r_squared(&column(truth, quantity), &column(estimate, quantity));
    let known: Vec<f64> = (0..quantities).filter_map(of).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Fills in what a regression is judged by. All outputs have as many elements as there are names.
pub(crate) fn measure(input: &Comparison<'_>, unmeasured: Report) -> Report {
    let Comparison { targets, teacher, float, int8, .. } = *input;
    let score = |estimate: &Outputs| Score {
        r2: targets.and_then(|targets| mean_r2(targets, estimate)),
        ..Score::default()
    };
    let quantity = |(index, name): (usize, &String)| {
        let of = |estimate: Option<&Outputs>| deviation(&column(targets?, index), &column(estimate?, index));
        Quantity { name: name.clone(), teacher: of(teacher), float: of(float), int8: of(Some(int8)) }
    };
    Report {
        teacher: teacher.map(score),
        float: float.map(score),
        int8: score(int8),
        quantities: Some(input.classes.iter().enumerate().map(quantity).collect()),
        classes: Vec::new(),
        ..unmeasured
    }
}

#[cfg(test)]
#[path = "regression_tests.rs"]
mod tests;
