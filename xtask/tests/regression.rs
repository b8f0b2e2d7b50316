//! A regression from the recipe on: quantized, judged, reported, its card written, and run. Its network gives the sum of its
//! inputs and a tenth of the first; the labels are those, and some noise.

#[path = "support/command.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod command;

use std::io::Cursor;

use command::{DATA, Desk, MISSED};
use still8_validation::data::Values;
use still8_validation::files::sha256_hex;
use still8_validation::npy::write_npz;
use still8_validation::onnx::testing::{ModelBuilder, node};
use still8_validation::random::SplitMix64;

const INPUTS: usize = 8;
const SAMPLES: usize = 80;

fn network() -> Vec<u8> {
    let weights: Vec<f32> = (0..INPUTS).flat_map(|i| [1.0, if i == 0 { 0.1 } else { 0.0 }]).collect();
    ModelBuilder::new(13)
        .input("x", &[1, INPUTS as i64])
        .floats("w", &[INPUTS as i64, 2], &weights)
        .node(node("MatMul", &["x", "w"], "y"))
        .output("y")
        .bytes()
}

fn samples(noise: f32) -> Vec<u8> {
    let mut random = SplitMix64::new(3);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let row: Vec<f32> = (0..INPUTS).map(|_| random.uniform([-1.0, 1.0])).collect();
        y.push(row.iter().sum::<f32>() + random.uniform([-noise, noise]));
        y.push(row[0] * 0.1);
        x.extend(row);
    }
    let mut file = Cursor::new(Vec::new());
    let (x, y) = (Values::Float(x), Values::Float(y));
    write_npz(&mut file, [("x", &[SAMPLES, INPUTS][..], &x), ("y", &[SAMPLES, 2][..], &y)]).unwrap();
    file.into_inner()
}

/// Writes the model to `model/`, with these quantities and limits.
fn write(desk: &Desk, quantities: &str, limits: &str) {
    let (network, data) = (network(), samples(0.2));
    desk.write("model/student.onnx", &network);
    desk.write("model/data.npz", &data);
    let [network, data] = [&network, &data].map(|file| sha256_hex(file));
    let entry = format!("file = \"data.npz\"\nsha256 = \"{data}\"\nsamples = {SAMPLES}\nsplit = \"all\"");
    let net = format!(
        "file = \"student.onnx\"\nsha256 = \"{network}\"\nparameters = 16\nmacs = 16\nlicence = \"MIT\"\norigin = \"by hand\""
    );
    desk.write(
        "model/model.toml",
        format!(
            "schema = 1\nname = \"sums\"\ntask = \"regression\"\ndescription = \"The sum, and a tenth of the first\"\n\
             [input]\nname = \"x\"\nshape = [1, {INPUTS}]\n[output]\nname = \"y\"\nquantities = {quantities}\n\
             [teacher]\n{net}\n[student]\n{net}\n[data.calibration]\n{entry}\n[data.test]\n{entry}\n[thresholds]\n{limits}\n"
        ),
    );
}

const BOTH: &str = "[\"sum, metres\", \"tenth\"]";

#[test]
fn quantized_and_reported() {
    let desk = Desk::new();
    // The tenth is some ten steps of an int8 that holds the sum as well.
    write(&desk, BOTH, "teacher_r2_min = 0.98\nint8_r2_min = 0.9\nr2_loss_max = 0.08");
    let quantize =
        ["quantize", "model", "--check", "--out", "net.s8", "--report", "r.json", "--report", "r.html"];
    let told = desk.run(&quantize).done().stdout;
    for expected in ["quantities teacher R2 0.99", "int8 R2 0.9", "sum, metres 0.1", "; tenth 0.0"] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert!(!told.contains("accuracy"), "{told}");
    let page = String::from_utf8(desk.read("r.html")).unwrap();
    for expected in ["<h2>Quantities</h2>", "sum, metres", "r2_loss_max", "int8 quantities", "RMSE"] {
        assert!(page.contains(expected), "{expected}");
    }
    for foreign in ["<h2>Accuracy</h2>", "KL(teacher", "Confusion", "same class"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let json: serde_json::Value = serde_json::from_slice(&desk.read("r.json")).unwrap();
    let validation = &json["validation"];
    assert_eq!(validation["task"], "regression");
    let error = validation["quantities"][0]["int8"]["rmse"].as_f64().unwrap();
    // Noise uniform in ±0.2 has a deviation of 0.115.
    assert!((0.1..0.15).contains(&error) && validation["int8"]["accuracy"].is_null(), "{validation}");
    let card = desk.run(&["inspect", "net.s8", "--card", "card.md"]).done().stdout;
    let card = card + &String::from_utf8(desk.read("card.md")).unwrap();
    for expected in
        ["quantities: sum, metres; tenth", "R² of the int8 student", "mean absolute error of int8"]
    {
        assert!(card.contains(expected), "{expected} is not in\n{card}");
    }
    let printed = desk.run(&["validate", "net.s8", "--of", "model", "--json"]).done().stdout;
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["int8"]["r2"], validation["int8"]["r2"]);
}

#[test]
fn limits_are_judged() {
    let desk = Desk::new();
    write(&desk, BOTH, "int8_r2_min = 1.0\nr2_loss_max = 0.1");
    let missed = desk.run(&["validate", "model"]);
    assert_eq!(missed.code, Some(MISSED));
    assert!(missed.stderr.contains("sums misses its limits: int8_r2_min: 0.9"), "{}", missed.stderr);
    assert!(missed.stdout.contains("ok      r2_loss_max"), "{}", missed.stdout);
}

/// Precisions are searched for by the variance that int8 misses on calibration samples: the largest output stands for nothing.
#[test]
fn precisions_are_searched_by_variance() {
    let desk = Desk::new();
    write(&desk, BOTH, "");
    desk.run(&["quantize", "model", "--max-drop", "8", "--max-flash", "4000"]).done();
}

#[test]
fn labels_of_other_quantities_are_refused() {
    let desk = Desk::new();
    write(&desk, "[\"sum\"]", "");
    let refused = desk.run(&["validate", "model"]);
    assert_eq!(refused.code, Some(DATA));
    let expected = "`y` holds 2 numbers a sample; the model has 1 quantities";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}
