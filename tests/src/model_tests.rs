//! Tests of [`crate::model`] and [`crate::recipe`] on models in temporary folders, and on the shipped ones.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::npy::{self, Values};
use crate::recipe::Calibration;

/// A complete model: the text of its `model.toml` and a folder with its files.
struct Fixture {
    folder: TempDir,
    text: String,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let x = Values::Float(vec![0.0, 0.25, 0.5, 0.75]);
        let y = Values::Int8(vec![1, 0]);
        let mut npz = std::io::Cursor::new(Vec::new());
        npy::write_npz(&mut npz, [("x", &[2, 2][..], &x), ("y", &[2][..], &y)]).unwrap();
        fs::write(folder.path().join("data.npz"), npz.get_ref()).unwrap();
        fs::write(folder.path().join("net.onnx"), "a network").unwrap();
        let network = files::sha256_hex(b"a network");
        let data = files::sha256_hex(npz.get_ref());
        let content: Vec<u8> =
            [0.0f32, 0.25, 0.5, 0.75].iter().flat_map(|x| x.to_le_bytes()).chain([1, 0]).collect();
        let content = files::sha256_hex(&content);
        let text = format!(
            r#"schema = 1
name = "tiny"
task = "classification"
description = "two numbers"
classes = ["no", "yes"]
[input]
name = "pair"
shape = [1, 2]
range = [0, 1.0]
[output]
name = "logits"
[teacher]
file = "absent.onnx"
sha256 = "{network}"
parameters = 2
macs = 2
licence = "MIT"
origin = "trained"
recipe = "python3 fetch.py"
[student]
file = "net.onnx"
sha256 = "{network}"
parameters = 1
macs = 1
licence = "MIT"
origin = "distilled"
[data.calibration]
file = "data.npz"
sha256 = "{data}"
samples = 2
split = "first"
[data.test]
file = "data.npz"
sha256 = "{data}"
samples = 2
split = "second"
[data.full]
file = "data.npz"
sha256 = "{content}"
samples = 2
split = "all"
recipe = "python3 full.py"
[thresholds]
int8_accuracy_min = 0.5
[baseline]
teacher_accuracy = 1
float_accuracy = 0.75
[quantize]
calibration = "minmax"
"#
        );
        Self { folder, text }
    }

    fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from}");
        self.text = self.text.replacen(from, to, 1);
        self
    }

    fn open(&self) -> Result<Model> {
        fs::write(self.folder.path().join(FILE_NAME), &self.text).unwrap();
        Model::open(self.folder.path())
    }

    /// The message of a file that breaks the schema.
    fn refusal(&self) -> String {
        let failure = self.open().unwrap_err();
        assert_eq!(failure.exit_code(), 2, "{failure}");
        let text = failure.to_string();
        assert!(text.contains(FILE_NAME), "{text}");
        text
    }
}

#[test]
fn complete_model_opens_by_folder_and_by_file() {
    let fixture = Fixture::new();
    let model = fixture.open().unwrap();
    assert_eq!(Model::open(&fixture.folder.path().join(FILE_NAME)).unwrap(), model);
    let recipe = model.recipe();
    assert_eq!(recipe.classes.names(), ["no", "yes"]);
    assert_eq!(recipe.input.range.unwrap().bounds(), [0.0, 1.0]);
    assert_eq!(recipe.thresholds.int8_accuracy_min.unwrap().get(), 0.5);
    assert_eq!(recipe.thresholds.macro_f1_min, None);
    assert_eq!(recipe.quantize.calibration, Some(Calibration::MinMax));
    assert_eq!(model.student().unwrap(), fixture.folder.path().join("net.onnx"));
    for kind in [DataKind::Calibration, DataKind::Test, DataKind::Full] {
        let data = model.dataset(kind).unwrap();
        assert_eq!((data.samples(), data.labels.as_deref()), (2, Some(&[1, 0][..])));
    }
}

/// The same as an anomaly model, whose data but the tests' are all normal.
fn anomaly() -> Fixture {
    let fixture = Fixture::new()
        .replace("classification", "anomaly")
        .replace("int8_accuracy_min = 0.5", "int8_auc_min = 0.5\nauc_loss_max = 0.1")
        .replace("teacher_accuracy = 1\nfloat_accuracy = 0.75", "float_auc = 0.75");
    let mut npz = std::io::Cursor::new(Vec::new());
    let x = Values::Float(vec![0.0, 0.25]);
    npy::write_npz(&mut npz, [("x", &[1, 2][..], &x)]).unwrap();
    fs::write(fixture.folder.path().join("normal.npz"), npz.get_ref()).unwrap();
    let data = files::sha256_file(&fixture.folder.path().join("data.npz")).unwrap();
    let from = format!("file = \"data.npz\"\nsha256 = \"{data}\"\nsamples = 2\nsplit = \"first\"");
    let hash = files::sha256_hex(npz.get_ref());
    let to = format!("file = \"normal.npz\"\nsha256 = \"{hash}\"\nsamples = 1\nsplit = \"first\"");
    fixture.replace(&from, &to)
}

#[test]
fn anomaly_model_opens() {
    let fixture = anomaly();
    let model = fixture.open().unwrap();
    assert_eq!(model.recipe().task, Task::Anomaly);
    assert_eq!(model.recipe().thresholds.auc_loss_max.unwrap().get(), 0.1);
    assert_eq!(model.dataset(DataKind::Calibration).unwrap().labels, None);
    assert_eq!(model.dataset(DataKind::Test).unwrap().labels.as_deref(), Some(&[1, 0][..]));
}

#[test]
fn limits_of_another_task_and_a_third_class_are_refused() {
    let text = anomaly().replace("int8_auc_min = 0.5", "macro_f1_min = 0.5").refusal();
    assert!(text.contains("`thresholds.macro_f1_min` is never measured for `task = \"anomaly\"`"), "{text}");
    assert!(text.contains("`auc_loss_max`"), "{text}");
    let text = Fixture::new().replace("int8_accuracy_min", "int8_auc_min").refusal();
    assert!(
        text.contains("`thresholds.int8_auc_min` is never measured for `task = \"classification\"`"),
        "{text}"
    );
    let text = anomaly().replace("[\"no\", \"yes\"]", "[\"a\", \"b\", \"c\"]").refusal();
    assert!(text.contains("3 classes; an anomaly model has two"), "{text}");
}

/// The same as a regression of one quantity.
fn regression() -> Fixture {
    let fixture = Fixture::new()
        .replace("classification", "regression")
        .replace("classes = [\"no\", \"yes\"]\n", "")
        .replace("name = \"logits\"", "name = \"angle\"\nquantities = [\"angle, degrees\"]")
        .replace("int8_accuracy_min = 0.5", "int8_r2_min = 0.5\nr2_loss_max = 0.1")
        .replace("teacher_accuracy = 1\nfloat_accuracy = 0.75", "float_r2 = 0.75");
    let mut npz = std::io::Cursor::new(Vec::new());
    let (x, y) = (Values::Float(vec![0.0, 0.25, 0.5, 0.75]), Values::Float(vec![-7.5, 90.0]));
    npy::write_npz(&mut npz, [("x", &[2, 2][..], &x), ("y", &[2][..], &y)]).unwrap();
    let old = files::sha256_file(&fixture.folder.path().join("data.npz")).unwrap();
    fs::write(fixture.folder.path().join("data.npz"), npz.get_ref()).unwrap();
    let new = files::sha256_hex(npz.get_ref());
    Fixture { text: fixture.text.replace(&old, &new), ..fixture }
}

#[test]
fn regression_opens() {
    let fixture = regression();
    let model = fixture.open().unwrap();
    assert_eq!(
        (model.recipe().task, model.recipe().names()),
        (Task::Regression, &["angle, degrees".to_owned()][..])
    );
    let data = model.dataset(DataKind::Test).unwrap();
    assert_eq!(data.require_targets(1).unwrap().values(), &Values::Float(vec![-7.5, 90.0]));
}

#[test]
fn names_that_do_not_suit_the_task_are_refused() {
    let text = regression().replace("[input]", "classes = [\"a\", \"b\"]\n[input]").refusal();
    assert!(text.contains("a regression has no classes; remove `classes`"), "{text}");
    let text = regression().replace("quantities = [\"angle, degrees\"]", "").refusal();
    assert!(text.contains("`output.quantities` is missing"), "{text}");
    let text =
        Fixture::new().replace("name = \"logits\"", "name = \"logits\"\nquantities = [\"a\"]").refusal();
    assert!(text.contains("`output.quantities` belongs to `task = \"regression\"`"), "{text}");
    let text = Fixture::new().replace("classes = [\"no\", \"yes\"]\n", "").refusal();
    assert!(text.contains("`classes` is missing"), "{text}");
    let text = regression().replace("int8_r2_min", "int8_auc_min").refusal();
    assert!(
        text.contains("`thresholds.int8_auc_min` is never measured for `task = \"regression\"`"),
        "{text}"
    );
    // Class indices are no quantities.
    let fixture = regression().replace("quantities = [\"angle, degrees\"]", "quantities = [\"a\", \"b\"]");
    let failure = fixture.open().unwrap().dataset(DataKind::Test).unwrap_err();
    assert!(
        failure.to_string().contains("`y` holds 1 numbers a sample; the model has 2 quantities"),
        "{failure}"
    );
}

#[test]
fn an_anomaly_model_learns_from_normal_samples_alone() {
    let fixture = anomaly();
    let train = "[data.full]";
    let data = files::sha256_file(&fixture.folder.path().join("data.npz")).unwrap();
    let entry = format!(
        "[data.train]\nfile = \"data.npz\"\nsha256 = \"{data}\"\nsamples = 2\nsplit = \"all\"\n{train}"
    );
    let fixture = fixture.replace(train, &entry);
    let failure = fixture.open().unwrap().dataset(DataKind::Train).unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    assert!(failure.to_string().contains("sample 0 is labelled 1, not normal"), "{failure}");
}

#[test]
fn unknown_key_is_named_with_its_line() {
    let text = Fixture::new().replace("int8_accuracy_min", "int8_acuracy_min").refusal();
    assert!(text.contains("unknown field `int8_acuracy_min`, expected one of"), "{text}");
    assert!(text.contains("line 44"), "{text}");
    let text = Fixture::new().replace("name = \"tiny\"", "nome = \"tiny\"").refusal();
    assert!(text.contains("`nome`") && text.contains("line 2"), "{text}");
}

#[test]
fn other_schema_is_refused_before_its_keys() {
    let text = Fixture::new().replace("schema = 1", "schema = 2\nnew = 1").refusal();
    assert!(text.contains("`schema = 2` is not known; this still8 reads schema 1"), "{text}");
    let text = Fixture::new().replace("schema = 1", "").refusal();
    assert!(text.contains("`schema` is missing"), "{text}");
    let text = Fixture::new().replace("schema = 1", "schema = ").refusal();
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn values_out_of_range_are_refused() {
    let cases = [
        ("int8_accuracy_min = 0.5", "int8_accuracy_min = 92.5", "92.5 is no fraction in [0, 1]"),
        ("float_accuracy = 0.75", "float_accuracy = -0.1", "-0.1 is no fraction"),
        ("range = [0, 1.0]", "range = [1.0, 0.0]", "range [1, 0] is empty"),
        ("range = [0, 1.0]", "range = [0.5, 1.0]", "must contain 0"),
        ("classes = [\"no\", \"yes\"]", "classes = [\"no\"]", "1 classes"),
        ("classes = [\"no\", \"yes\"]", "classes = [\"no\", \"no\"]", "class `no` is named twice"),
        ("task = \"classification\"", "task = \"translation\"", "unknown variant `translation`"),
        ("calibration = \"minmax\"", "calibration = \"max\"", "known: minmax, mse, entropy, percentile:P"),
        ("shape = [1, 2]", "shape = [1, 0]", "`input.shape` must have axes"),
        ("macs = 2", "macs = -2", "expected u64"),
        ("name = \"logits\"", "", "missing field `name`"),
    ];
    for (from, to, expected) in cases {
        let text = Fixture::new().replace(from, to).refusal();
        assert!(text.contains(expected), "{text}");
    }
    let fixture = Fixture::new();
    let short = fixture.text.replace(&files::sha256_hex(b"a network"), "abc");
    assert!(Fixture { text: short, ..fixture }.refusal().contains("a sha256 has 64 digits"));
}

#[test]
fn absent_file_names_its_recipe() {
    let fixture = Fixture::new();
    let failure = fixture.open().unwrap().teacher().unwrap_err();
    assert_eq!(failure.exit_code(), 5);
    assert!(
        failure.to_string().contains("absent.onnx is not there; make it with: python3 fetch.py"),
        "{failure}"
    );
    let failure = fixture.replace("recipe = \"python3 fetch.py\"", "").open().unwrap().teacher().unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    assert!(failure.to_string().contains("no `recipe`"), "{failure}");
    let failure = Model::open(Path::new("/nowhere")).unwrap_err();
    assert_eq!(failure.exit_code(), 4);
}

#[test]
fn changed_file_shows_both_hashes() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("net.onnx"), "another network").unwrap();
    let failure = fixture.open().unwrap().student().unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    let text = failure.to_string();
    let hashes = [&b"a network"[..], b"another network"].map(files::sha256_hex);
    assert!(hashes.iter().all(|hash| text.contains(hash.as_str())), "{text}");
}

#[test]
fn other_number_of_samples_and_absent_full_data_are_refused() {
    let text = Fixture::new().text;
    let full = &text[text.find("[data.full]").unwrap()..text.find("[thresholds]").unwrap()];
    let fixture = Fixture::new().replace(full, "").replace("samples = 2", "samples = 3");
    let model = fixture.open().unwrap();
    assert_eq!(model.dataset(DataKind::Full).unwrap_err().exit_code(), 2);
    let failure = model.dataset(DataKind::Calibration).unwrap_err();
    assert!(failure.to_string().contains("holds 2 samples; model.toml states 3"), "{failure}");
}

#[test]
fn shipped_models_are_whole() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    for entry in fs::read_dir(models).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join(FILE_NAME).exists() {
            continue;
        }
        let model = Model::open(&folder).unwrap();
        model.student().unwrap();
        model.deployed().unwrap();
        match model.teacher() {
            Ok(_) => {}
            Err(Failure::Missing(why)) => println!("{}: {why}", folder.display()),
            Err(failure) => panic!("{failure}"),
        }
        for kind in [DataKind::Calibration, DataKind::Test, DataKind::Full] {
            match model.dataset(kind) {
                Ok(data) => data.require_finite().unwrap(),
                // There is a recipe that makes it, or nothing to make.
                Err(Failure::Missing(_) | Failure::Usage(_)) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
    }
}
