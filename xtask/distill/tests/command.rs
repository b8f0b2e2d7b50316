//! The command as a user runs it: a teacher and a student from nothing, and everything that it refuses.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use still8_distill::config::Layout;
use still8_distill::export::{Edge, onnx};
use still8_distill::student::{Family, Student, build};
use still8_validation::data::Values;
use still8_validation::files::{sha256_file, sha256_hex};
use still8_validation::npy::write_npz;
use still8_validation::random::SplitMix64;
use xtask::commands::quantize::quantize_model;
use xtask::commands::target_dir;
use xtask::console::Console;
use xtask::network::Bits;

const USAGE: i32 = 2;
const DATA: i32 = 4;
const MISSING: i32 = 5;

const SAMPLES: usize = 400;
const QUIET: Console = Console { json: false, quiet: true };

/// A model's folder, and what the command keeps of it below the target folder, gone when dropped.
struct Desk {
    folder: tempfile::TempDir,
    name: String,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.work());
    }
}

impl Desk {
    /// Two classes: the larger half of eight elements is on the left or on the right. The teacher is not trained yet.
    fn new(name: &str) -> Self {
        let name = format!("test-{name}-{}", std::process::id());
        let desk = Self { folder: tempfile::tempdir().unwrap(), name };
        let mut random = SplitMix64::new(5);
        let labels: Vec<i8> = (0..SAMPLES).map(|i| (i % 2) as i8).collect();
        let element = |label: i8, i: usize| f32::from(u8::from(i / 4 == label as usize));
        let x: Vec<f32> = labels
            .iter()
            .flat_map(|&label| (0..8).map(move |i| element(label, i)))
            .map(|x| x + random.uniform([-0.8, 0.8]))
            .collect();
        desk.data(x, labels);
        let recipe = format!(
            include_str!("model.toml"),
            name = desk.name,
            data = sha256_file(&desk.path("data.npz")).unwrap(),
            none = "0".repeat(64)
        );
        fs::write(desk.path("model.toml"), recipe).unwrap();
        desk
    }

    /// The same with an untrained teacher.
    fn taught(name: &str) -> Self {
        let desk = Self::new(name);
        desk.teacher(8, 2);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn work(&self) -> PathBuf {
        target_dir().join("distill").join(&self.name)
    }

    fn data(&self, x: Vec<f32>, y: Vec<i8>) {
        let (shape, count) = ([y.len(), x.len() / y.len()], [y.len()]);
        let mut bytes = Cursor::new(Vec::new());
        write_npz(&mut bytes, [("x", &shape[..], &Values::Float(x)), ("y", &count[..], &Values::Int8(y))])
            .unwrap();
        fs::write(self.path("data.npz"), bytes.into_inner()).unwrap();
    }

    /// Replaces text of the recipe that must be there.
    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("model.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.path("model.toml"), text.replace(from, to)).unwrap();
    }

    fn new_data(&self, x: Vec<f32>, y: Vec<i8>) {
        let old = sha256_file(&self.path("data.npz")).unwrap();
        let samples = y.len();
        self.data(x, y);
        self.edit(&old, &sha256_file(&self.path("data.npz")).unwrap());
        self.edit(&format!("samples = {SAMPLES}"), &format!("samples = {samples}"));
    }

    fn teacher(&self, inputs: usize, outputs: usize) {
        let shape = [1, 1, inputs];
        let layers = Student::of(Family::Mlp, 16, 2).layers(shape, outputs).unwrap();
        let net = still8_distill::quantized::folded(&build(&layers, shape, outputs, 1).unwrap());
        let edge =
            Edge { name: "teacher", input: "x", shape: &[1, inputs], layout: Layout::Nchw, output: "y" };
        let bytes = onnx(&net, &edge, &[]);
        fs::write(self.path("teacher.onnx"), &bytes).unwrap();
        self.edit(
            &format!("file = \"teacher.onnx\"\nsha256 = \"{}\"", "0".repeat(64)),
            &format!("file = \"teacher.onnx\"\nsha256 = \"{}\"", sha256_hex(&bytes)),
        );
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_still8-distill"))
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    fn refuses(&self, code: i32, words: &[&str]) {
        refused(&self.run(&["--quiet"]), code, words);
        assert!(!self.path("student.onnx").exists());
    }
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

fn done(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn contains(file: &Path, text: &str) -> bool {
    fs::read(file).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[test]
fn trains_a_teacher_and_a_student_from_nothing() {
    let desk = Desk::new("whole");
    let teacher = done(&desk.run(&["--teacher", "--json"]));
    assert!(teacher["log"].as_array().unwrap().last().unwrap()["accuracy"].as_f64().unwrap() > 0.9);
    let hash = sha256_file(&desk.path("teacher.onnx")).unwrap();
    assert!(contains(&desk.path("model.toml"), &hash));

    let report = done(&desk.run(&["--json"]));
    assert!(report["validation"]["int8"]["accuracy"].as_f64().unwrap() > 0.9);
    assert!(report["parameters"].as_u64().unwrap() > 0);
    for file in ["student.onnx", "student.qdq.onnx"] {
        assert!(contains(&desk.path(file), &hash), "{file} does not name its teacher");
        assert!(contains(&desk.path("model.toml"), &sha256_file(&desk.path(file)).unwrap()));
    }
    let log = fs::read_to_string(desk.work().join("log.jsonl")).unwrap();
    let phases: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["phase"].to_string())
        .collect();
    assert_eq!(phases, ["\"float\"", "\"float\"", "\"float\"", "\"int8\""]);
    let page = fs::read_to_string(desk.work().join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains(&hash) && !page.contains("http-equiv"));

    let bytes = fs::read(desk.path("student.qdq.onnx")).unwrap();
    done(&desk.run(&["--json", "--restart"]));
    assert_eq!(fs::read(desk.path("student.qdq.onnx")).unwrap(), bytes, "the same seed gives other bytes");
}

#[test]
fn layers_of_four_bits_are_trained_and_reach_the_plan() {
    let desk = Desk::taught("int4");
    desk.edit("[distill]\n", "[[quantize.layer]]\nname = \"layer1/dense\"\nbits = 4\n\n[distill]\n");
    done(&desk.run(&["--json"]));
    let network = quantize_model(desk.folder.path(), QUIET).unwrap().network;
    let bits: Vec<Bits> = network.ops.iter().map(|op| op.kind.bits()).collect();
    assert_eq!(bits, [Bits::Four, Bits::Eight, Bits::Eight]);
}

#[test]
fn a_comparison_has_all_three_ways_for_every_seed() {
    let desk = Desk::taught("compare");
    let report = done(&desk.run(&["--compare", "2", "--json"]));
    let rows: Vec<(String, u64)> = report["comparison"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["teaching"].as_str().unwrap().to_owned(), row["seed"].as_u64().unwrap()))
        .collect();
    let of = |seed| ["labels", "distilled", "quantization-aware"].map(|way| (way.to_owned(), seed));
    assert_eq!(rows, [of(1), of(2)].concat());
    assert!(!desk.path("student.onnx").exists(), "a comparison keeps no student");
    let second = desk.work().join("labels-2/compare/labels/student.onnx");
    assert_eq!(xtask::card::gather::training(&second).unwrap()["seed"], "2");
}

#[test]
fn a_budget_takes_the_best_student_that_fits() {
    let desk = Desk::taught("budget");
    let report = done(&desk.run(&["--budget", "macs=3K,flash=16K", "--json"]));
    let tried = report["tried"].as_array().unwrap();
    assert!(tried.len() > 1 && tried.iter().all(|one| one["macs"].as_u64().unwrap() <= 3000), "{tried:?}");
    assert!(report["macs"].as_u64().unwrap() <= 3000);
    refused(&desk.run(&["--budget", "macs=1", "--quiet"]), 1, &["macs"]);
    refused(&desk.run(&["--budget", "speed=1", "--quiet"]), USAGE, &["speed", "flash, ram, macs"]);
}

#[test]
fn a_teacher_may_be_a_committee() {
    let desk = Desk::new("members");
    let one = done(&desk.run(&["--teacher", "--json"]))["parameters"].as_u64().unwrap();
    desk.edit("[distill.teacher.schedule]", "[distill.teacher]\nmembers = 2\n\n[distill.teacher.schedule]");
    let report = done(&desk.run(&["--teacher", "--json"]));
    assert_eq!(report["parameters"].as_u64().unwrap(), 2 * one);
    for member in ["member1", "member2"] {
        assert!(desk.work().join("teacher").join(member).join("log.jsonl").exists(), "{member}");
    }
    let report = done(&desk.run(&["--json"]));
    assert!(report["validation"]["teacher"]["accuracy"].as_f64().unwrap() > 0.9, "{report}");
}

#[test]
fn licences_and_permission_come_first() {
    for (from, to, words) in [
        ("licence = \"teacher's\"", "licence = \" \"", "teacher.licence"),
        ("permits_distillation = \"yes\"\n", "", "teacher.permits_distillation"),
        ("licence = \"data's\"", "licence = \"\"", "source `noise`"),
        ("[[source]]\nname = \"noise\"\nlicence = \"data's\"\n", "", "[[source]]"),
    ] {
        let desk = Desk::taught("licence");
        desk.edit(from, to);
        desk.refuses(USAGE, &["nothing is distilled until", words]);
    }
}

#[test]
fn recipes_that_do_not_fit_are_named() {
    let desk = Desk::taught("hint");
    desk.edit("views = 2", "views = 2\nfresh = true");
    desk.edit(
        "[distill.loss]",
        "[[distill.hint]]\nkind = \"feature\"\nteacher = \"a\"\nstudent = \"b\"\nweight = 1.0\n\n[distill.loss]",
    );
    desk.refuses(USAGE, &["hints", "fresh = false"]);
    for (from, to, words) in [
        ("seed = 1", "seed = \"one\"", &["[distill]", "seed"][..]),
        ("family = \"mlp\"", "family = \"transformer\"", &["transformer", "ds-cnn"]),
        ("temperature = 2.0", "temperature = 0.0", &["loss.temperature", "more than 0"]),
        ("epochs = 3", "epochs = 0", &["schedule.epochs"]),
        (
            "[distill.teacher.schedule]",
            "[distill.teacher]\nmembers = 0\n\n[distill.teacher.schedule]",
            &["teacher.members"],
        ),
        ("[distill.loss]", "[distill.losses]", &["losses"]),
        ("views = 2", "views = 2\nfresh = \"yes\"", &["[distill]", "fresh"]),
        ("views = 2", "views = 2\ncommittee = [\"absent.onnx\"]", &["absent.onnx"]),
    ] {
        let desk = Desk::taught("recipe");
        desk.edit(from, to);
        let output = desk.run(&["--quiet"]);
        let code = output.status.code().unwrap();
        refused(&output, if words == ["absent.onnx"] { DATA } else { USAGE }, words);
        assert_ne!(code, 0);
    }
}

#[test]
fn teachers_and_data_that_do_not_fit_are_named() {
    let desk = Desk::new("absent-teacher");
    desk.refuses(DATA, &["teacher.onnx"]);

    let desk = Desk::new("shape");
    desk.teacher(9, 2);
    desk.refuses(DATA, &["teacher.onnx", "[1, 9]", "[1, 8]"]);

    let desk = Desk::new("outputs");
    desk.teacher(8, 3);
    desk.refuses(DATA, &["teacher.onnx", "3 elements", "2 classes"]);

    let desk = Desk::taught("samples");
    desk.new_data(vec![0.0; 9 * SAMPLES], (0..SAMPLES).map(|i| (i % 2) as i8).collect());
    desk.refuses(DATA, &["data.npz", "9", "8"]);

    let desk = Desk::taught("class");
    desk.new_data(vec![0.0; 8 * SAMPLES], vec![0; SAMPLES]);
    desk.refuses(DATA, &["no training sample is of class 1 (`right`)"]);

    let desk = Desk::taught("nan");
    desk.new_data(vec![f32::NAN; 8 * SAMPLES], (0..SAMPLES).map(|i| (i % 2) as i8).collect());
    desk.refuses(DATA, &["data.npz"]);

    let desk = Desk::taught("missing");
    desk.edit("split = \"trained on\"", "split = \"trained on\"\nrecipe = \"python3 make.py\"");
    desk.edit("[data.train]\nfile = \"data.npz\"", "[data.train]\nfile = \"train.npz\"");
    desk.refuses(MISSING, &["train.npz", "python3 make.py"]);
}

#[test]
fn a_loss_that_is_no_number_keeps_the_last_good_state() {
    let desk = Desk::taught("diverges");
    desk.edit("rate = 0.01", "rate = 1e30");
    desk.refuses(DATA, &["step ", "schedule.rate"]);
}

#[test]
fn broken_checkpoints_are_named_and_restart_forgets_them() {
    let desk = Desk::taught("checkpoint");
    fs::create_dir_all(desk.work()).unwrap();
    fs::write(desk.work().join("float.checkpoint"), "not one").unwrap();
    desk.refuses(DATA, &["float.checkpoint", "delete it"]);
    done(&desk.run(&["--restart", "--json"]));
}

/// A limit of the size of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let desk = Desk::taught("disk");
    fs::write(desk.path("student.onnx"), "the one before").unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$1\" --quiet"])
        .arg(env!("CARGO_BIN_EXE_still8-distill"))
        .arg(desk.folder.path())
        .output()
        .unwrap();
    refused(&output, DATA, &[&desk.name]);
    assert_eq!(fs::read_to_string(desk.path("student.onnx")).unwrap(), "the one before");
    let kept = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    for folder in [desk.folder.path(), &desk.work()] {
        assert!(kept(folder).iter().all(|name| !name.contains("tmp")), "{:?}", kept(folder));
    }
}
