//! A complete model folder, made in place: a recipe with a student, data and thresholds that hold.

use std::io::Cursor;

use still8_validation::data::Values;
use still8_validation::files::sha256_hex;
use still8_validation::npy::write_npz;

use super::command::{Desk, ELEMENTS, SHAPE, classifier, noise};

/// Samples of each data set.
const SAMPLES: usize = 40;

/// The recipe, after its files were written to `model/` on the desk.
pub fn recipe(desk: &Desk) -> String {
    let student = classifier().bytes();
    let shape = [&[SAMPLES], &SHAPE[1..]].concat();
    let (x, y) = (Values::Float(noise(SAMPLES * ELEMENTS, 5)), Values::Int8(vec![0; SAMPLES]));
    let mut data = Cursor::new(Vec::new());
    write_npz(&mut data, [("x", &shape[..], &x), ("y", &[SAMPLES][..], &y)]).unwrap();
    let data = data.into_inner();
    desk.write("model/student.onnx", &student);
    desk.write("model/data.npz", &data);
    let (student, data) = (sha256_hex(&student), sha256_hex(&data));
    format!(
        r#"schema = 1
name = "small"
task = "classification"
description = "Noise in, one of four classes out"
classes = ["a", "b", "c", "d"]
[input]
name = "x"
shape = {SHAPE:?}
[output]
name = "y"
[student]
file = "student.onnx"
sha256 = "{student}"
parameters = 92
macs = 2608
licence = "MIT"
origin = "noise"
[data.calibration]
file = "data.npz"
sha256 = "{data}"
samples = {SAMPLES}
split = "all"
[data.test]
file = "data.npz"
sha256 = "{data}"
samples = {SAMPLES}
split = "all"
[data.full]
file = "full.npz"
sha256 = "{data}"
samples = 1000
split = "more of it"
recipe = "python3 model/recipe.py full"
[thresholds]
agreement_float_int8_min = 0.5
"#
    )
}

/// Writes the recipe, `from` in it replaced.
pub fn write(desk: &Desk, from: &str, to: &str) {
    let recipe = recipe(desk);
    assert!(recipe.contains(from), "{from}");
    desk.write("model/model.toml", recipe.replacen(from, to, 1));
}
