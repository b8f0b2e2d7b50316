//! A regression from nothing: a teacher on labels, a student by the teacher, with int8 in the loop, and both judged.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use still8_validation::data::Values;
use still8_validation::files::sha256_hex;
use still8_validation::npy::write_npz;
use still8_validation::random::SplitMix64;
use xtask::commands::target_dir;

const SAMPLES: usize = 1200;
const INPUTS: usize = 6;

/// Two quantities of different sizes, neither of which a linear network gives; labelled or not.
fn samples(seed: u64, labelled: bool) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let row: Vec<f32> = (0..INPUTS).map(|_| random.uniform([-1.0, 1.0])).collect();
        y.push(200.0 * (row[0].abs() - row[1] * row[2]) + 50.0);
        y.push(40.0 * row[3].max(row[4]));
        x.extend(row);
    }
    let mut file = Cursor::new(Vec::new());
    let (x, y) = (Values::Float(x), Values::Float(y));
    let mut arrays = vec![("x", &[SAMPLES, INPUTS][..], &x)];
    if labelled {
        arrays.push(("y", &[SAMPLES, 2], &y));
    }
    write_npz(&mut file, arrays).unwrap();
    file.into_inner()
}

fn write(folder: &Path, name: &str, labelled: bool) {
    let [train, test] = [samples(1, labelled), samples(2, true)];
    fs::write(folder.join("train.npz"), &train).unwrap();
    fs::write(folder.join("test.npz"), &test).unwrap();
    let entry = |kind: &str, file: &str, bytes: &[u8]| {
        format!(
            "[data.{kind}]\nfile = \"{file}.npz\"\nsha256 = \"{}\"\nsamples = {SAMPLES}\nsplit = \"{kind}\"\n",
            sha256_hex(bytes)
        )
    };
    let network = |file: &str| {
        let none = "0".repeat(64);
        format!(
            "file = \"{file}.onnx\"\nsha256 = \"{none}\"\nparameters = 0\nmacs = 0\nlicence = \"MIT\"\norigin = \"the test\"\n"
        )
    };
    let text = format!(
        "schema = 1\nname = \"{name}\"\ntask = \"regression\"\ndescription = \"two curves\"\n\
         [input]\nname = \"x\"\nshape = [1, {INPUTS}]\n[output]\nname = \"y\"\nquantities = [\"far, mm\", \"near, mm\"]\n\
         [teacher]\n{}permits_distillation = \"yes\"\n[student]\n{}{}{}{}[[source]]\nname = \"noise\"\nlicence = \"MIT\"\n\
         [distill]\nviews = 1\n[distill.student]\nfamily = \"mlp\"\nwidth = 48\ndepth = 2\n[distill.loss]\nteacher = 0.5\n\
         [distill.schedule]\nepochs = 40\nbatch = 32\nrate = 0.01\n[distill.quantization]\nepochs = 4\n\
         [distill.teacher.schedule]\nepochs = 60\nbatch = 32\nrate = 0.01\n[distill.teacher.student]\nfamily = \"mlp\"\n\
         width = 96\ndepth = 3\n",
        network("teacher"),
        network("student"),
        entry("calibration", "train", &train),
        entry("test", "test", &test),
        entry("train", "train", &train),
    );
    fs::write(folder.join("model.toml"), text).unwrap();
}

fn run(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_still8-distill"));
    let output = command.arg(folder).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_student_learns_quantities_from_labels_and_from_its_teacher_alone() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("test-regression-{}", std::process::id());
    write(folder.path(), &name, true);
    let teacher = run(folder.path(), &["--teacher"]);
    let first = teacher["log"][0]["holdout_loss"].as_f64().unwrap();
    let last = teacher["log"][59]["holdout_loss"].as_f64().unwrap();
    // Relative to the variance.
    assert!(first > 0.5 && last < 0.1, "{first}, {last}");
    let r2 = |report: &serde_json::Value, of: &str| report["validation"][of]["r2"].as_f64().unwrap();
    let report = run(folder.path(), &[]);
    assert!(r2(&report, "teacher") > 0.9 && r2(&report, "float") > 0.85, "{}", report["validation"]);
    assert!(r2(&report, "float") - r2(&report, "int8") < 0.02, "{}", report["validation"]);
    assert!(report["validation"]["quantities"][1]["int8"]["r2"].as_f64().unwrap() > 0.8);

    // Without labels, the teacher alone.
    let text = fs::read_to_string(folder.path().join("model.toml")).unwrap();
    let (old, new) = (samples(1, true), samples(1, false));
    fs::write(folder.path().join("train.npz"), &new).unwrap();
    let text = text.replace(&sha256_hex(&old), &sha256_hex(&new));
    fs::write(folder.path().join("model.toml"), text).unwrap();
    let report = run(folder.path(), &["--restart"]);
    assert!(r2(&report, "int8") > 0.8, "{}", report["validation"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_still8-distill"));
    let refused = command.arg(folder.path()).args(["--labels-only", "--quiet"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && text.contains("nothing to learn from"), "{text}");
    let _ = fs::remove_dir_all(target_dir().join("distill").join(name));
}
