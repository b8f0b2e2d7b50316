//! Tests of [`crate::regression`], its report and its limits on four samples of two quantities.

use super::*;
use crate::recipe::{Task, Thresholds};
use crate::render;
use crate::validate::compare;

fn outputs(first: [f32; 4], second: [f32; 4]) -> Outputs {
    Outputs { logits: first.iter().zip(second).map(|(&a, b)| vec![a, b]).collect() }
}

fn names() -> Vec<String> {
    ["angle, degrees", "level"].map(str::to_owned).to_vec()
}

/// Of the int8 student alone.
fn comparison<'a>(names: &'a [String], int8: &'a Outputs) -> Comparison<'a> {
    Comparison {
        model: "arm",
        task: Task::Regression,
        dataset: "shipped",
        on: "host",
        classes: names,
        labels: None,
        targets: None,
        teacher: None,
        float: None,
        int8,
    }
}

/// The angle runs from 1 to 4, the level is always 5.
fn report(labelled: bool) -> Report {
    let (names, truth) = (names(), outputs([1.0, 2.0, 3.0, 4.0], [5.0; 4]));
    let float = outputs([1.0, 2.0, 3.0, 5.0], [5.0; 4]);
    let int8 = outputs([2.0, 3.0, 4.0, 3.0], [5.0, 5.0, 5.0, 7.0]);
    let input = Comparison {
        targets: labelled.then_some(&truth),
        teacher: Some(&truth),
        float: Some(&float),
        ..comparison(&names, &int8)
    };
    compare(&input).unwrap()
}

#[test]
fn the_three_networks_by_hand() {
    let report = report(true);
    assert_eq!((report.task, report.samples), (Task::Regression, 4));
    // The variance's sum is 5; the sums of squared errors are 0, 1 and 4. The constant level has no R².
    assert_eq!(report.teacher.unwrap().r2, Some(1.0));
    assert_eq!(report.float.unwrap().r2, Some(0.8));
    assert!((report.int8.r2.unwrap() - 0.2).abs() < 1e-12);
    assert!((report.loss.distillation.unwrap() - 0.2).abs() < 1e-12);
    assert!((report.loss.total().unwrap() - 0.8).abs() < 1e-12);
    let [angle, level] = &report.quantities.unwrap()[..] else { panic!() };
    let int8 = angle.int8.unwrap();
    assert_eq!((angle.name.as_str(), int8.rmse, int8.mae), ("angle, degrees", 1.0, 1.0));
    let int8 = level.int8.unwrap();
    assert_eq!((int8.rmse, int8.mae, int8.r2), (1.0, 0.5, None));
    assert_eq!(level.teacher.unwrap().rmse, 0.0);
    assert!(report.classes.is_empty() && report.confusion.is_none() && report.kl.is_none());
}

#[test]
fn limits_hold_at_equality_and_miss_beyond() {
    let thresholds = |text: &str| -> Thresholds { toml::from_str(text).unwrap() };
    let mut report = report(true);
    report.judge(&thresholds("teacher_r2_min = 1.0\nint8_r2_min = 0.2\nr2_loss_max = 0.8"));
    assert_eq!((report.verdicts.len(), report.passed), (3, Some(true)));
    report.judge(&thresholds("int8_r2_min = 0.21\nr2_loss_max = 0.79"));
    assert!(report.verdicts.iter().all(|verdict| !verdict.passed));
}

#[test]
fn without_labels_nothing_is_judged() {
    let report = report(false);
    assert_eq!((report.int8.r2, report.loss.total()), (None, None));
    assert!(report.quantities.as_ref().unwrap().iter().all(|quantity| quantity.int8.is_none()));
    assert!(report.logits_sqnr_db.is_some());
    render::text(&report);
}

#[test]
fn text_and_json_have_what_suits_the_task() {
    let mut report = report(true);
    report.judge(&toml::from_str("int8_r2_min = 0.9").unwrap());
    let text = render::text(&report);
    for expected in ["R2 lost", "0.8000", "+0.2000", "angle, degrees", "RMSE", "MISSED"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for foreign in ["accuracy", "macro-F1", "KL", "same class", "logits", "AUC", "class"] {
        assert!(!text.contains(foreign), "{foreign} is in\n{text}");
    }
    assert_eq!(render::measure(Some(report.int8)), "R2 0.2000");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["task"], &json["float"]["r2"]), (&"regression".into(), &0.8.into()));
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn outputs_of_another_size_are_errors() {
    let (names, four) = (names(), outputs([0.0; 4], [0.0; 4]));
    let wide = Outputs { logits: vec![vec![0.0; 3]; 4] };
    let input = Comparison { targets: Some(&wide), ..comparison(&names, &four) };
    let text = compare(&input).unwrap_err().to_string();
    assert!(text.contains("`y` holds 3 numbers a sample; the model has 2 quantities"), "{text}");
    let text = compare(&comparison(&names, &wide)).unwrap_err().to_string();
    assert!(text.contains("int8 student gives 3 elements; the model has 2 quantities"), "{text}");
}
