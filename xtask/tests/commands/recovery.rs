//! Calibration and recovery by the command: switches, reports, the same bytes every time.

use super::command::{Desk, Ended, USAGE, classifier};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("net.onnx", classifier().bytes());
    desk.samples("calib.npy", 64);
    desk
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let desk = desk();
    for threads in ["1", "2", "5"] {
        let out = format!("{threads}.s8");
        let mut command =
            desk.command(&["quantize", "net.onnx", "--calib", "calib.npy", "--out", &out, "--quiet"]);
        Ended::of(command.env("RAYON_NUM_THREADS", threads)).done();
    }
    assert!(desk.read("1.s8") == desk.read("2.s8") && desk.read("2.s8") == desk.read("5.s8"));
}

#[test]
fn every_method_and_every_step_is_reported() {
    let desk = desk();
    let quantize = |more: &[&str]| {
        let options = ["quantize", "net.onnx", "--calib", "calib.npy", "--out", "net.s8", "--json"];
        desk.run(&[&options, more].concat()).done().report()
    };
    let report = quantize(&[]);
    let tried: Vec<&str> = report["calibration_tried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tried| tried["method"].as_str().unwrap())
        .collect();
    for method in ["minmax", "mse", "entropy", "percentile:99.99"] {
        assert!(tried.contains(&method), "{tried:?}");
    }
    assert!(tried.contains(&report["calibration"].as_str().unwrap()));
    let steps = report["recovery"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["bias", "round", "scales"]);
    for step in steps {
        let gain = step["after_db"].as_f64().unwrap() - step["before_db"].as_f64().unwrap();
        assert_eq!(step["kept"].as_bool().unwrap(), gain > 0.0, "{step}");
    }
    let report = quantize(&["--method", "percentile:99.5", "--recover", "none"]);
    assert_eq!(report["calibration"], "percentile:99.5");
    assert!(report["calibration_tried"].as_array().unwrap().is_empty());
    assert!(report["recovery"].as_array().unwrap().is_empty());
    let report = quantize(&["--recover", "round"]);
    assert_eq!(report["recovery"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_method_or_step_is_refused() {
    let desk = desk();
    let refuse = |option: &str, value: &str, words: &[&str]| {
        desk.run(&["quantize", "net.onnx", "--calib", "calib.npy", option, value]).failed(USAGE, words);
    };
    refuse("--method", "average", &["average", "known: minmax, mse, entropy, percentile:P"]);
    refuse("--method", "percentile:120", &["a percentile is a number from 50 to 100"]);
    refuse("--recover", "bias,luck", &["unknown recovery step `luck`", "bias, round, scales"]);
}
