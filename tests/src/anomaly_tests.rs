//! Tests of [`crate::anomaly`], its report and its limits on four samples of two elements.

use super::*;
use crate::recipe::{Task, Thresholds};
use crate::render;
use crate::validate::compare;

/// Samples 1 and 3 are anomalous.
const LABELS: [usize; 4] = [0, 1, 0, 1];

/// Inputs of 0, and outputs whose mean squared errors are the squares of `errors`.
fn outputs(errors: [f32; 4]) -> Outputs {
    Outputs { logits: errors.iter().map(|&error| vec![error, -error]).collect() }
}

fn names() -> Vec<String> {
    ["normal", "anomalous"].map(str::to_owned).to_vec()
}

/// The teacher tells all apart; float and int8 take one normal sample for anomalous, int8 in the middle of both.
fn report(labels: Option<&[usize]>) -> Report {
    let classes = names();
    let input = Comparison {
        model: "hum",
        task: Task::Anomaly,
        dataset: "shipped",
        on: "host",
        classes: &classes,
        labels,
        targets: Some(&outputs([0.0; 4])),
        teacher: Some(&outputs([1.0, 3.0, 2.0, 4.0])),
        float: Some(&outputs([1.0, 2.0, 3.0, 4.0])),
        int8: &outputs([1.0, 3.0, 3.0, 4.0]),
    };
    compare(&input).unwrap()
}

#[test]
fn scores_are_mean_squared_errors_of_the_input() {
    let inputs = Outputs { logits: vec![vec![1.0, 2.0], vec![0.0, 0.0]] };
    let outputs = Outputs { logits: vec![vec![1.0, 4.0], vec![0.0, 0.0]] };
    assert_eq!(scores(&inputs, &outputs), [2.0, 0.0]);
}

#[test]
fn the_three_networks_by_hand() {
    let report = report(Some(&LABELS));
    assert_eq!((report.task, report.samples), (Task::Anomaly, 4));
    let auc = |score: Score| score.auc.unwrap();
    assert_eq!(report.teacher.map(auc), Some(1.0));
    // Of four pairs, float has one in the wrong order; in int8's that pair is equal.
    assert_eq!(report.float.map(auc), Some(0.75));
    assert_eq!(auc(report.int8), 0.875);
    assert_eq!((report.loss.distillation, report.loss.quantization), (Some(0.25), Some(-0.125)));
    assert_eq!(report.loss.total(), Some(0.125));
    let anomaly = report.anomaly.unwrap();
    // Scores 1, 9 and 9, 16. No normal sample may exceed the threshold: 5 % of two are none.
    assert_eq!((anomaly.normal, anomaly.anomalous), (Some(5.0), Some(12.5)));
    assert_eq!((anomaly.threshold, anomaly.detected), (Some(9.0), Some(0.5)));
    // Ranks 1, 3, 2, 4 and 1, 2, 3, 4: 1 − 6·2 ⁄ (4·15).
    assert!((anomaly.correlation.teacher_float.unwrap() - 0.8).abs() < 1e-12);
    assert!(anomaly.correlation.float_int8.unwrap() > 0.9);
    assert_eq!((report.int8.accuracy, report.kl, report.agreement.float_int8), (None, None, None));
    assert_eq!(report.confusion, None);
    let support: Vec<_> = report.classes.iter().map(|class| class.support).collect();
    assert_eq!(support, [Some(2), Some(2)]);
}

#[test]
fn limits_hold_at_equality_and_miss_beyond() {
    let thresholds = |text: &str| -> Thresholds { toml::from_str(text).unwrap() };
    let mut report = report(Some(&LABELS));
    report.judge(&thresholds("teacher_auc_min = 1.0\nint8_auc_min = 0.875\nauc_loss_max = 0.125"));
    assert_eq!((report.verdicts.len(), report.passed), (3, Some(true)));
    report.judge(&thresholds("int8_auc_min = 0.9\nauc_loss_max = 0.005"));
    assert!(report.verdicts.iter().all(|verdict| !verdict.passed));
}

#[test]
fn without_labels_nothing_is_judged() {
    let report = report(None);
    let anomaly = report.anomaly.unwrap();
    assert_eq!((report.int8.auc, anomaly.threshold, anomaly.detected), (None, None, None));
    assert!(anomaly.correlation.float_int8.is_some());
    render::text(&report);
}

#[test]
fn text_and_json_have_what_suits_the_task() {
    let mut report = report(Some(&LABELS));
    report.judge(&toml::from_str("int8_auc_min = 0.9").unwrap());
    let text = render::text(&report);
    for expected in
        ["AUC", "0.8750", "+0.2500", "rank correlation", "more than 9.0000", "anomalous", "50.00 %", "MISSED"]
    {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for foreign in ["accuracy", "macro-F1", "KL", "same class", "logits"] {
        assert!(!text.contains(foreign), "{foreign} is in\n{text}");
    }
    assert_eq!(render::measure(Some(report.int8)), "AUC 0.8750");
    assert_eq!(render::lost(Task::Anomaly, Some(-1e-6)), "0.0000");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["task"], &json["int8"]["auc"]), (&"anomaly".into(), &0.875.into()));
    assert_eq!(json["int8"]["accuracy"], serde_json::Value::Null);
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn an_output_of_another_size_is_an_error() {
    let (classes, four) = (names(), outputs([0.0; 4]));
    let wide = Outputs { logits: vec![vec![0.0; 3]; 4] };
    let input = Comparison {
        model: "hum",
        task: Task::Anomaly,
        dataset: "shipped",
        on: "host",
        classes: &classes,
        labels: None,
        targets: Some(&four),
        teacher: Some(&wide),
        float: None,
        int8: &four,
    };
    let text = compare(&input).unwrap_err().to_string();
    assert!(
        text.contains("teacher gives 3 elements; an anomaly model gives back its input, which has 2"),
        "{text}"
    );
    let short = Outputs { logits: vec![vec![0.0; 2]; 3] };
    let text =
        compare(&Comparison { teacher: None, targets: Some(&short), ..input }).unwrap_err().to_string();
    assert!(text.contains("3 inputs for 4 outputs"), "{text}");
}
