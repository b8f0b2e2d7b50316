//! Anomaly models: networks that give back their input, and do it badly where the input is not of the kind they know.
//!
//! A sample's score is the mean squared error between the input as it was given, in float and before any quantization, and
//! the output, dequantized where the network is int8 (as MLPerf Tiny's anomaly detection has it: Banbury et al.,
//! arXiv:2106.07597). Label 0 is normal, 1 anomalous.

use serde::{Deserialize, Serialize};

use crate::metrics;
use crate::run::Outputs;
use crate::validate::{Agreement, Comparison, Report, Score};

/// Share of the normal samples that [`Anomaly::threshold`] takes for anomalous.
pub const FALSE_ALARMS: f64 = 0.05;

/// What there is to know of an anomaly model's scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Spearman's correlation of two networks' scores: 1 where they put the samples in the same order.
    pub correlation: Agreement,
    /// Mean score of the int8 student on normal samples.
    pub normal: Option<f64>,
    /// Mean score of the int8 student on anomalous samples.
    pub anomalous: Option<f64>,
    /// The int8 student's score that a share of [`FALSE_ALARMS`] of the normal samples exceeds.
    pub threshold: Option<f64>,
    /// Share of the anomalous samples that exceeds it.
    pub detected: Option<f64>,
}

/// The score of each sample.
///
/// # Panics
/// Where a sample's numbers of elements differ.
pub fn scores(inputs: &Outputs, outputs: &Outputs) -> Vec<f64> {
    let pairs = inputs.logits.iter().zip(&outputs.logits);
    pairs.map(|(input, output)| metrics::mean_squared_error(input, output).unwrap_or_default()).collect()
}

/// Fills in what an anomaly model is judged by.
pub(crate) fn measure(input: &Comparison<'_>, inputs: &Outputs, unmeasured: Report) -> Report {
    let Comparison { labels, teacher, float, int8, .. } = *input;
    let [teacher, float, int8] = [teacher, float, Some(int8)].map(|outputs| Some(scores(inputs, outputs?)));
    let int8 = int8.unwrap_or_default();
    let score = |scores: &Vec<f64>| Score {
        auc: labels.and_then(|labels| metrics::auc(labels, scores)),
        ..Score::default()
    };
    let correlation = |a: Option<&Vec<f64>>, b: Option<&Vec<f64>>| metrics::rank_correlation(a?, b?);
    let of_class = |class: usize| -> Vec<f64> {
        let labels = labels.unwrap_or_default();
        labels.iter().zip(&int8).filter(|(label, _)| **label == class).map(|(_, &score)| score).collect()
    };
    let mean =
        |scores: &[f64]| (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
    let (mut normal, anomalous) = (of_class(0), of_class(1));
    normal.sort_by(f64::total_cmp);
    let alarms = (FALSE_ALARMS * normal.len() as f64) as usize;
    let threshold = normal.len().checked_sub(1 + alarms).map(|at| normal[at]);
    let detected = |threshold: f64| {
        mean(&anomalous.iter().map(|&s| f64::from(u8::from(s > threshold))).collect::<Vec<_>>())
    };
    Report {
        teacher: teacher.as_ref().map(score),
        float: float.as_ref().map(score),
        int8: score(&int8),
        anomaly: Some(Anomaly {
            correlation: Agreement {
                teacher_float: correlation(teacher.as_ref(), float.as_ref()),
                teacher_int8: correlation(teacher.as_ref(), Some(&int8)),
                float_int8: correlation(float.as_ref(), Some(&int8)),
            },
            normal: mean(&normal),
            anomalous: mean(&anomalous),
            threshold,
            detected: threshold.and_then(detected),
        }),
        ..unmeasured
    }
}

#[cfg(test)]
#[path = "anomaly_tests.rs"]
mod tests;
