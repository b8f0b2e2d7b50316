//! Tests of [`crate::validate`] and [`crate::render`] on four samples of two classes.

use super::*;
use crate::render;

/// Labels of four samples.
const LABELS: [usize; 4] = [0, 0, 1, 1];

/// Outputs that choose these classes.
fn choosing(classes: [usize; 4]) -> Outputs {
    Outputs {
        logits: classes
            .iter()
            .map(|&class| if class == 0 { vec![2.0, 0.0] } else { vec![0.0, 1.0] })
            .collect(),
    }
}

fn names() -> Vec<String> {
    ["no", "yes"].map(str::to_owned).to_vec()
}

fn thresholds(text: &str) -> Thresholds {
    toml::from_str(text).unwrap()
}

/// Teacher right on all, float on three, int8 on two.
fn report() -> Report {
    let (teacher, float, int8) = (choosing(LABELS), choosing([0, 0, 1, 0]), choosing([0, 1, 1, 0]));
    let classes = names();
    let input = Comparison {
        model: "tiny",
        task: Task::Classification,
        dataset: "shipped",
        on: "host",
        classes: &classes,
        labels: Some(&LABELS),
        targets: None,
        teacher: Some(&teacher),
        float: Some(&float),
        int8: &int8,
    };
    compare(&input).unwrap()
}

#[test]
fn three_way_split_by_hand() {
    let report = report();
    assert_eq!(report.samples, 4);
    assert_eq!(report.teacher, Some(Score { accuracy: Some(1.0), macro_f1: Some(1.0), ..Score::default() }));
    // Float: class no 2·2⁄(2+3), class yes 2·1⁄(2+1).
    let float = report.float.unwrap();
    assert_eq!(float.accuracy, Some(0.75));
    assert!((float.macro_f1.unwrap() - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    assert_eq!(report.int8, Score { accuracy: Some(0.5), macro_f1: Some(0.5), ..Score::default() });
    assert_eq!(report.loss, Loss { distillation: Some(0.25), quantization: Some(0.25) });
    let agreement = Agreement { teacher_float: Some(0.75), teacher_int8: Some(0.5), float_int8: Some(0.75) };
    assert_eq!(report.agreement, agreement);
    assert_eq!(report.confusion, Some(vec![vec![1, 1], vec![1, 1]]));
    let yes = &report.classes[1];
    assert_eq!((yes.support, yes.teacher, yes.float, yes.int8), (Some(2), Some(1.0), Some(0.5), Some(0.5)));
    assert_eq!((yes.precision, yes.f1), (Some(0.5), Some(0.5)));
    // Samples 1 and 3 differ, one each way.
    let kl = metrics::kl_divergence(&[2.0, 0.0], &[0.0, 1.0], 1.0)
        + metrics::kl_divergence(&[0.0, 1.0], &[2.0, 0.0], 1.0);
    assert!((report.kl.unwrap() - kl / 4.0).abs() < 1e-12);
    assert!(report.kl_softened.unwrap() < report.kl.unwrap());
}

#[test]
fn limits_hold_at_equality_and_miss_beyond() {
    let mut report = report();
    let exact = thresholds(
        "teacher_accuracy_min = 1.0\nint8_accuracy_min = 0.5\ndistillation_loss_max = 0.25\n\
         quantization_loss_max = 0.25\nagreement_float_int8_min = 0.75\nmacro_f1_min = 0.5",
    );
    assert_eq!(report.judge(&exact).len(), 6);
    assert_eq!(report.passed, Some(true));
    report.judge(&thresholds("quantization_loss_max = 0.2\nint8_accuracy_min = 0.5"));
    assert_eq!(report.passed, Some(false));
    let missed: Vec<_> = report.verdicts.iter().filter(|verdict| !verdict.passed).map(|v| &*v.name).collect();
    assert_eq!(missed, ["quantization_loss_max"]);
    // 0.91 - 0.90 exceeds 0.01 in f64.
    report.loss.quantization = Some(0.91 - 0.90);
    report.judge(&thresholds("quantization_loss_max = 0.01"));
    assert_eq!(report.passed, Some(true));
    report.byte_mismatches = Some(1);
    report.judge(&Thresholds::default());
    assert_eq!((&*report.verdicts[0].name, report.passed), ("byte_mismatches", Some(false)));
}

#[test]
fn unknown_is_null_and_misses_its_limit() {
    let (int8, classes) = (choosing(LABELS), names());
    let input = Comparison {
        model: "tiny",
        task: Task::Classification,
        dataset: "some.npy",
        on: "cortex-m4",
        classes: &classes,
        labels: None,
        targets: None,
        teacher: None,
        float: None,
        int8: &int8,
    };
    let mut report = compare(&input).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    for field in ["teacher", "float", "kl", "byte_mismatches", "confusion", "passed"] {
        assert!(json[field].is_null(), "{field}");
    }
    assert!(json["int8"]["accuracy"].is_null());
    report.judge(&thresholds("int8_accuracy_min = 0.0"));
    assert_eq!((report.verdicts[0].value, report.passed), (None, Some(false)));
    assert!(render::text(&report).contains("MISSED  int8_accuracy_min: not measured (limit 0)"));
}

#[test]
fn fields_are_those_of_the_command_contract() {
    let mut report = report();
    report.judge(&Thresholds::default());
    let json = serde_json::to_value(&report).unwrap();
    for field in
        ["schema", "model", "on", "dataset", "samples", "teacher", "float", "int8", "agreement", "kl", "loss"]
    {
        assert!(!json[field].is_null(), "{field}");
    }
    assert_eq!(json["passed"], true);
    assert_eq!(json["teacher"]["accuracy"], 1.0);
    assert_eq!(json["agreement"]["float_int8"], 0.75);
    assert_eq!(json["loss"]["distillation"], 0.25);
    assert!(json.as_object().unwrap().contains_key("byte_mismatches"));
}

#[test]
fn lengths_that_differ_are_errors() {
    let (outputs, classes) = (choosing(LABELS), names());
    let short = Outputs { logits: outputs.logits[..3].to_vec() };
    let input = Comparison {
        model: "tiny",
        task: Task::Classification,
        dataset: "shipped",
        on: "host",
        classes: &classes,
        labels: Some(&LABELS),
        targets: None,
        teacher: None,
        float: Some(&outputs),
        int8: &outputs,
    };
    let cases = [
        (Comparison { float: Some(&short), ..input }, "float student gives 3 samples, int8 student 4"),
        (Comparison { labels: Some(&LABELS[..3]), ..input }, "3 labels for 4 samples"),
        (Comparison { labels: Some(&[0, 1, 2, 0]), ..input }, "a label is out of range"),
        (Comparison { classes: &classes[..1], ..input }, "gives 2 logits; the model has 1 classes"),
    ];
    for (input, expected) in cases {
        let text = compare(&input).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn text_shows_the_split_and_the_verdicts() {
    let mut report = report();
    report.judge(&thresholds("int8_accuracy_min = 0.9\nteacher_accuracy_min = 0.9"));
    let text = render::text(&report);
    println!("{text}");
    for expected in [
        "tiny on host: 4 samples of shipped",
        "100.00 %",
        "+25.00",
        "macro-F1",
        "yes",
        "ok      teacher_accuracy_min: 1 (limit 0.9)",
        "MISSED  int8_accuracy_min: 0.5 (limit 0.9)",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}
