//! An anomaly model from the recipe on: quantized, judged, reported and run. Its network gives back the mean of the two
//! halves of its input, twice; normal samples have equal halves.

#[path = "support/command.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod command;

use std::io::Cursor;

use command::{DATA, Desk, MISSED, USAGE};
use still8_validation::data::Values;
use still8_validation::files::sha256_hex;
use still8_validation::npy::write_npz;
use still8_validation::onnx::testing::{ModelBuilder, node};
use still8_validation::random::SplitMix64;

const ELEMENTS: usize = 16;
const HALF: usize = ELEMENTS / 2;
/// Samples of each kind.
const SAMPLES: usize = 40;

/// The network; it gives back so many elements.
fn network(outputs: usize) -> Vec<u8> {
    let means: Vec<f32> =
        (0..ELEMENTS * HALF).map(|i| if i / HALF % HALF == i % HALF { 0.5 } else { 0.0 }).collect();
    let twice: Vec<f32> =
        (0..HALF * outputs).map(|i| if i / outputs == i % outputs % HALF { 1.0 } else { 0.0 }).collect();
    ModelBuilder::new(13)
        .input("x", &[1, ELEMENTS as i64])
        .floats("means", &[ELEMENTS as i64, HALF as i64], &means)
        .floats("twice", &[HALF as i64, outputs as i64], &twice)
        .node(node("MatMul", &["x", "means"], "code"))
        .node(node("MatMul", &["code", "twice"], "y"))
        .output("y")
        .bytes()
}

/// Normal samples, then anomalous ones.
fn samples(anomalous: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(3);
    let mut x = Vec::new();
    for sample in 0..SAMPLES + anomalous {
        let half: Vec<f32> = (0..HALF).map(|_| random.uniform([-1.0, 1.0])).collect();
        let noise = if sample < SAMPLES { 0.1 } else { 0.17 };
        x.extend(half.iter().chain(&half).map(|x| x + random.uniform([-noise, noise])));
    }
    let y = (0..SAMPLES + anomalous).map(|sample| i8::from(sample >= SAMPLES)).collect();
    let mut file = Cursor::new(Vec::new());
    let (count, x, y) = (SAMPLES + anomalous, Values::Float(x), Values::Int8(y));
    write_npz(&mut file, [("x", &[count, ELEMENTS][..], &x), ("y", &[count][..], &y)]).unwrap();
    file.into_inner()
}

/// Writes the model to `model/`, with these limits.
fn write(desk: &Desk, outputs: usize, limits: &str) {
    let (network, normal, test) = (network(outputs), samples(0), samples(SAMPLES));
    desk.write("model/student.onnx", &network);
    desk.write("model/normal.npz", &normal);
    desk.write("model/test.npz", &test);
    let [network, normal, test] = [&network, &normal, &test].map(|file| sha256_hex(file));
    let all = 2 * SAMPLES;
    desk.write(
        "model/model.toml",
        format!(
            r#"schema = 1
name = "halves"
task = "anomaly"
description = "Whether both halves are equal"
classes = ["normal", "anomalous"]
[input]
name = "x"
shape = [1, {ELEMENTS}]
[output]
name = "y"
[teacher]
file = "student.onnx"
sha256 = "{network}"
parameters = 256
macs = 256
licence = "MIT"
origin = "by hand"
[student]
file = "student.onnx"
sha256 = "{network}"
parameters = 256
macs = 256
licence = "MIT"
origin = "by hand"
[data.calibration]
file = "normal.npz"
sha256 = "{normal}"
samples = {SAMPLES}
split = "normal ones"
[data.test]
file = "test.npz"
sha256 = "{test}"
samples = {all}
split = "all"
[thresholds]
{limits}
"#
        ),
    );
}

#[test]
fn quantized_and_reported() {
    let desk = Desk::new();
    write(&desk, ELEMENTS, "teacher_auc_min = 0.9\nint8_auc_min = 0.9\nauc_loss_max = 0.01");
    let quantize =
        ["quantize", "model", "--check", "--out", "net.s8", "--report", "r.json", "--report", "r.html"];
    let told = desk.run(&quantize).done().stdout;
    for expected in ["anomalies  teacher AUC 0.9", "int8 AUC 0.9", "of the anomalous"] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert!(!told.contains("accuracy"), "{told}");
    let page = String::from_utf8(desk.read("r.html")).unwrap();
    for expected in ["<h2>Anomalies</h2>", "Area under the ROC curve", "auc_loss_max", "int8 anomalies"] {
        assert!(page.contains(expected), "{expected}");
    }
    for foreign in ["<h2>Accuracy</h2>", "KL(teacher", "Confusion", "same class"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let json: serde_json::Value = serde_json::from_slice(&desk.read("r.json")).unwrap();
    let validation = &json["validation"];
    assert_eq!(validation["task"], "anomaly");
    assert!(validation["int8"]["auc"].as_f64().unwrap() > 0.9 && validation["int8"]["accuracy"].is_null());
    assert!(validation["anomaly"]["correlation"]["float_int8"].as_f64().unwrap() > 0.95);
    let run = ["run", "net.s8", "--input", "model/normal.npz", "--output", "out.npy", "--float"];
    desk.run(&run).done();
    let printed = desk.run(&["validate", "net.s8", "--of", "model", "--json"]).done().stdout;
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["int8"]["auc"], validation["int8"]["auc"]);
}

#[test]
fn limits_are_judged() {
    let desk = Desk::new();
    write(&desk, ELEMENTS, "int8_auc_min = 1.0\nauc_loss_max = 0.01");
    let missed = desk.run(&["validate", "model"]);
    assert_eq!(missed.code, Some(MISSED));
    assert!(missed.stderr.contains("halves misses its limits: int8_auc_min: 0.9"), "{}", missed.stderr);
    assert!(missed.stdout.contains("ok      auc_loss_max"), "{}", missed.stdout);
    write(&desk, ELEMENTS, "int8_accuracy_min = 0.9");
    let refused = desk.run(&["validate", "model"]);
    assert_eq!(refused.code, Some(USAGE));
    assert!(
        refused.stderr.contains("`thresholds.int8_accuracy_min` is never measured"),
        "{}",
        refused.stderr
    );
}

/// Precisions are searched for by the order of scores on calibration samples: the largest output stands for nothing.
#[test]
fn precisions_are_searched_by_scores() {
    let desk = Desk::new();
    write(&desk, ELEMENTS, "");
    desk.run(&["quantize", "model", "--max-drop", "2", "--max-flash", "4000"]).done();
}

#[test]
fn an_output_unlike_the_input_is_refused() {
    let desk = Desk::new();
    write(&desk, HALF, "");
    let refused = desk.run(&["validate", "model"]);
    assert_eq!(refused.code, Some(DATA));
    let expected = "gives 8 elements; an anomaly model gives back its input, which has 16";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}
