//! The command contract: one JSON object with the documented fields, silence where it was asked for, and results that
//! depend on model and data alone.

#[path = "support/command.rs"]
mod command;
#[path = "support/folder.rs"]
mod folder;
#[path = "commands/recovery.rs"]
mod recovery;

use std::path::Path;

use command::{DATA, Desk, ELEMENTS, Ended, MISSED, SHAPE, USAGE, classifier, noise, text};
use serde_json::Value;
use still8_validation::data::{Dataset, InputSpec, Tensor, Values, save};
use still8_validation::files::sha256_hex;
use still8_validation::onnx::testing::{ModelBuilder, node};
use xtask::boards::root;

/// Samples of the runs.
const SAMPLES: usize = 9;

/// Asserts that an object has all these fields, `null` or not.
fn assert_fields(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(object.get(field).is_some(), "`{field}` is missing in: {object:#}");
    }
}

/// A float tensor of `samples` samples of noise for [`classifier`].
fn samples(samples: usize, seed: u64) -> Tensor {
    Tensor::new([&[samples], &SHAPE[1..]].concat(), Values::Float(noise(samples * ELEMENTS, seed)))
}

/// Reads an array that a command wrote: its key is `name` in an archive.
fn read(path: &Path, name: &str, shape: &[usize]) -> Tensor {
    let spec = InputSpec { name: name.to_owned(), shape: [&[1], shape].concat(), range: None };
    Dataset::load(path, &[spec]).unwrap().inputs.remove(0).1
}

fn int8(tensor: &Tensor) -> &[i8] {
    match tensor.values() {
        Values::Int8(values) => values,
        Values::Float(_) => panic!("floats"),
    }
}

fn floats(tensor: &Tensor) -> &[f32] {
    match tensor.values() {
        Values::Float(values) => values,
        Values::Int8(_) => panic!("int8"),
    }
}

fn output_sha256(desk: &Desk, arguments: &[&str]) -> String {
    let report = desk.run(&[&["run", "--json"], arguments].concat()).done().json();
    report["output_sha256"].as_str().unwrap().to_owned()
}

#[test]
fn quantize_reports_every_field() {
    let desk = Desk::new();
    desk.write("net.onnx", classifier().bytes());
    let quantize = ["quantize", "net.onnx", "--calib", "random:7", "--out", "net.s8", "--json"];
    let report = desk.run(&quantize).done().report();
    assert_fields(
        &report,
        "schema plan plan_bytes weights_bytes arena_bytes macs parameters family layers warnings",
    );
    assert_eq!(report["plan"], "net.s8");
    assert_eq!(report["family"], "portable");
    assert_eq!(report["plan_bytes"], desk.read("net.s8").len());
    let layers = report["layers"].as_array().unwrap();
    for (index, layer) in layers.iter().enumerate() {
        assert_fields(layer, "index name op dtype macs weights_bytes output_shape sqnr_db");
        assert_eq!(layer["index"], index);
        assert_eq!(layer["dtype"], "int8");
    }
    // 4 filters of 2 x 3 x 3 at 6 x 6 places, and the 4 x 4 matrix.
    assert_eq!(layers[0]["macs"], 4 * 2 * 9 * 36);
    assert_eq!(layers[0]["output_shape"], serde_json::json!([1, 6, 6, 4]));
    assert_eq!(report["macs"], 4 * 2 * 9 * 36 + 16);
    // Each with a bias an output channel.
    assert_eq!(report["parameters"], 72 + 4 + 16 + 4);
}

#[test]
fn run_reports_every_field() {
    let desk = Desk::new();
    desk.plan();
    desk.samples("x.npy", SAMPLES);
    let report =
        desk.run(&["run", "net.s8", "--input", "x.npy", "--output", "y.npy", "--json"]).done().json();
    assert_fields(&report, "schema on samples output_sha256 instructions");
    assert_eq!((&report["on"], &report["samples"]), (&Value::from("host"), &Value::from(SAMPLES)));
    assert_eq!(report["instructions"], Value::Null);
    let y = read(&desk.path("y.npy"), "y", &[4]);
    let bytes: Vec<u8> = int8(&y).iter().map(|&q| q as u8).collect();
    assert_eq!(report["output_sha256"], sha256_hex(&bytes));
}

#[test]
fn inspect_reports_every_field() {
    let desk = Desk::new();
    desk.plan();
    let report = desk.run(&["inspect", "net.s8", "--json"]).done().json();
    assert_fields(&report, "schema format_version name sha256 family inputs outputs arena_bytes ops lineage");
    assert_eq!(report["name"], "net");
    assert_eq!(report["sha256"], sha256_hex(&desk.read("net.s8")));
    assert_eq!(report["source_sha256"], sha256_hex(&desk.read("net.onnx")));
    assert_eq!(report["lineage"], Value::Null);
    for kind in ["inputs", "outputs"] {
        for port in report[kind].as_array().unwrap() {
            assert_fields(port, "name shape layout dtype scale zero_point");
        }
    }
    // NCHW in the source, NHWC on the device.
    assert_eq!(report["inputs"][0]["shape"], serde_json::json!(SHAPE));
    assert_eq!(report["inputs"][0]["layout"], serde_json::json!([0, 2, 3, 1]));
    assert_eq!(report["outputs"][0]["name"], "y");
}

#[test]
fn the_shipped_models_hold_their_limits() {
    let desk = Desk::new();
    for name in ["fashion", "motion"] {
        let model = root().join("models").join(name);
        let report = desk.run(&["validate", text(&model), "--json"]).done().json();
        let fields =
            "schema model on dataset samples teacher float int8 agreement kl loss byte_mismatches passed";
        assert_fields(&report, fields);
        for network in ["teacher", "float", "int8"] {
            assert_fields(&report[network], "accuracy");
        }
        assert_fields(&report["agreement"], "teacher_float teacher_int8 float_int8");
        assert_fields(&report["loss"], "distillation quantization");
        assert_eq!(report["model"], name);
        assert_eq!((&report["on"], &report["dataset"]), (&Value::from("host"), &Value::from("shipped")));
        assert_eq!(report["passed"], true);
    }
}

#[test]
fn a_teacher_that_is_not_shipped_is_left_out_with_its_limits() {
    let desk = Desk::new();
    let teacher = format!(
        "[teacher]\nfile = \"teacher.onnx\"\nsha256 = \"{}\"\nparameters = 1\nmacs = 1\nlicence = \"MIT\"\n\
         origin = \"elsewhere\"\nrecipe = \"python3 model/recipe.py teacher\"\n[student]",
        "0".repeat(64)
    );
    folder::write(&desk, "[student]", &teacher);
    let recipe = String::from_utf8(desk.read("model/model.toml")).unwrap();
    let limits = "[thresholds]\nteacher_accuracy_min = 0.9\ndistillation_loss_max = 0.1";
    desk.write("model/model.toml", recipe.replace("[thresholds]", limits));
    let ended = desk.run(&["validate", "model", "--json"]).done();
    assert!(ended.stderr.contains("python3 model/recipe.py teacher"), "{}", ended.stderr);
    let report = ended.json();
    assert!(report["teacher"].is_null() && report["passed"] == true, "{report}");
    assert_eq!(report["verdicts"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn quiet_prints_nothing_and_people_get_text() {
    let desk = Desk::new();
    desk.plan();
    desk.samples("x.npy", 1);
    let motion = root().join("models/motion");
    let commands = [
        &["quantize", "net.onnx", "--calib", "random:7", "--out", "net.s8"][..],
        &["run", "net.s8", "--input", "x.npy", "--output", "y.npy", "--float"],
        &["inspect", "net.s8"],
        &["validate", text(&motion)],
    ];
    for command in commands {
        let quiet = desk.run(&[command, &["--quiet"]].concat()).done();
        assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()), "{command:?}");
        let both = desk.run(&[command, &["--quiet", "--json"]].concat()).done();
        assert_eq!(both.stderr, "", "{command:?}");
        let _object = if command[0] == "quantize" { both.report() } else { both.json() };
        let people = desk.run(command).done();
        assert!(!people.stdout.is_empty() && !people.stdout.starts_with('{'), "{command:?}");
    }
    let with_examples = ["quantize", "run", "validate", "inspect", "bench", "flash"];
    for command in with_examples {
        let help = desk.run(&[command, "--help"]).done().stdout;
        assert!(help.contains("Example") && help.contains(&format!("cargo xtask {command}")), "{help}");
    }
    let help = desk.run(&["--help"]).done().stdout;
    for code in [MISSED, USAGE, DATA] {
        assert!(help.contains(&code.to_string()), "exit code {code}: {help}");
    }
}

/// The floating-point work of calibration is split among threads; the split must not show.
#[test]
fn the_same_model_and_data_give_the_same_plan() {
    let desk = Desk::new();
    desk.write("net.onnx", classifier().bytes());
    desk.samples("calib.npy", 101);
    for source in ["calib.npy", "random:3"] {
        for method in ["mse", "minmax"] {
            let plans: Vec<Vec<u8>> = ["1", "1", "2", "4"]
                .iter()
                .map(|threads| {
                    let arguments =
                        ["quantize", "net.onnx", "--calib", source, "--method", method, "--out", "net.s8"];
                    Ended::of(desk.command(&arguments).env("RAYON_NUM_THREADS", threads)).done();
                    desk.read("net.s8")
                })
                .collect();
            assert!(plans.windows(2).all(|pair| pair[0] == pair[1]), "{source}, {method}");
        }
    }
    let motion = root().join("models/motion");
    let plans = ["1", "4"].map(|threads| {
        let mut command = desk.command(&["quantize", text(&motion), "--out", "motion.s8"]);
        Ended::of(command.env("RAYON_NUM_THREADS", threads)).done();
        desk.read("motion.s8")
    });
    assert!(plans[0] == plans[1], "motion");
}

#[test]
fn floats_and_the_same_values_quantized_give_the_same_outputs() {
    let desk = Desk::new();
    desk.plan();
    let float = samples(SAMPLES, 1);
    let report = desk.run(&["inspect", "net.s8", "--json"]).done().json();
    let scale = report["inputs"][0]["scale"].as_f64().unwrap();
    let zero_point = report["inputs"][0]["zero_point"].as_i64().unwrap();
    let quantize = |&x: &f32| ((f64::from(x) / scale).round() + zero_point as f64).clamp(-128.0, 127.0) as i8;
    let quantized =
        Tensor::new(float.shape().to_vec(), Values::Int8(floats(&float).iter().map(quantize).collect()));
    save(&desk.path("float.npy"), &[("x".into(), float)]).unwrap();
    save(&desk.path("int8.npz"), &[("x".into(), quantized)]).unwrap();
    let of_float = output_sha256(&desk, &["net.s8", "--input", "float.npy"]);
    assert_eq!(output_sha256(&desk, &["net.s8", "--input", "int8.npz"]), of_float);
}

#[test]
fn a_sample_gives_the_same_alone_and_among_others() {
    let desk = Desk::new();
    desk.plan();
    let all = samples(SAMPLES, 1);
    save(&desk.path("all.npy"), &[("x".into(), all.clone())]).unwrap();
    desk.run(&["run", "net.s8", "--input", "all.npy", "--output", "all.out.npy"]).done();
    let together = read(&desk.path("all.out.npy"), "y", &[4]);
    for sample in 0..SAMPLES {
        let values = floats(&all)[sample * ELEMENTS..][..ELEMENTS].to_vec();
        save(&desk.path("one.npy"), &[("x".into(), Tensor::new(SHAPE.to_vec(), Values::Float(values)))])
            .unwrap();
        let report = desk
            .run(&["run", "net.s8", "--input", "one.npy", "--output", "one.out.npy", "--json"])
            .done()
            .json();
        assert_eq!(report["samples"], 1);
        let alone = read(&desk.path("one.out.npy"), "y", &[4]);
        assert_eq!(int8(&alone), &int8(&together)[4 * sample..][..4], "sample {sample}");
    }
}

#[test]
fn float_outputs_are_the_dequantized_int8_ones() {
    let desk = Desk::new();
    desk.plan();
    desk.samples("x.npy", SAMPLES);
    desk.run(&["run", "net.s8", "--input", "x.npy", "--output", "out/y.npy", "--float"]).done();
    let quantized = read(&desk.path("out/y.npy"), "y", &[4]);
    let real = read(&desk.path("out/y.float.npy"), "y", &[4]);
    let report = desk.run(&["inspect", "net.s8", "--json"]).done().json();
    let scale = report["outputs"][0]["scale"].as_f64().unwrap();
    let zero_point = report["outputs"][0]["zero_point"].as_i64().unwrap();
    assert_eq!(floats(&real).len(), SAMPLES * 4);
    for (&q, &x) in int8(&quantized).iter().zip(floats(&real)) {
        let expected = (scale * (i64::from(q) - zero_point) as f64) as f32;
        assert!((x - expected).abs() <= 1e-6 * expected.abs(), "{x} for {q}, not {expected}");
    }
}

#[test]
fn several_inputs_and_outputs_go_by_name() {
    let desk = Desk::new();
    let model = ModelBuilder::new(17)
        .input("left", &[1, 8])
        .input("right", &[1, 8])
        .floats("w", &[8, 3], &noise(24, 1))
        .node(node("Add", &["left", "right"], "sum"))
        .node(node("MatMul", &["sum", "w"], "product"))
        .output("sum")
        .output("product");
    desk.write("two.onnx", model.bytes());
    let input = |seed| Tensor::new(vec![64, 8], Values::Float(noise(64 * 8, seed)));
    let (left, right) = (input(1), input(2));
    // In another order than the graph's.
    save(&desk.path("in.npz"), &[("right".into(), right.clone()), ("left".into(), left.clone())]).unwrap();
    desk.run(&["quantize", "two.onnx", "--calib", "in.npz", "--out", "two.s8", "--quiet"]).done();
    let run = ["run", "two.s8", "--input", "in.npz", "--output", "out.npz", "--float", "--json"];
    let report = desk.run(&run).done().json();
    assert_eq!(report["samples"], 64);

    let sum = read(&desk.path("out.npz"), "sum", &[8]);
    let product = read(&desk.path("out.npz"), "product", &[3]);
    let mut bytes = Vec::new();
    for sample in 0..64 {
        bytes.extend(int8(&sum)[8 * sample..][..8].iter().map(|&q| q as u8));
        bytes.extend(int8(&product)[3 * sample..][..3].iter().map(|&q| q as u8));
    }
    assert_eq!(report["output_sha256"], sha256_hex(&bytes));
    let sum = read(&desk.path("out.float.npz"), "sum", &[8]);
    for ((&sum, &left), &right) in floats(&sum).iter().zip(floats(&left)).zip(floats(&right)) {
        assert!((sum - (left + right)).abs() < 0.05, "{left} + {right} gave {sum}");
    }

    let one = desk.run(&["run", "two.s8", "--input", "in.npz", "--output", "out.npy"]);
    one.failed(USAGE, &["out.npy", "2 arrays", ".npz"]);
    assert!(!desk.path("out.npy").exists());
    save(&desk.path("half.npz"), &[("left".into(), left)]).unwrap();
    let half = desk.run(&["run", "two.s8", "--input", "half.npz"]);
    half.failed(DATA, &["half.npz", "`right`", "found `left`"]);
}

#[test]
fn every_family_computes_the_same_on_the_host() {
    let desk = Desk::new();
    let fashion = root().join("models/fashion");
    let input = text(&fashion).to_owned() + "/calibration.npz";
    let hashes = ["portable", "dsp"].map(|family| {
        let plan = format!("{family}.s8");
        let report = desk
            .run(&["quantize", text(&fashion), "--family", family, "--out", &plan, "--json"])
            .done()
            .report();
        assert_eq!(report["family"], family);
        output_sha256(&desk, &[&plan, "--input", &input])
    });
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(desk.read("portable.s8"), desk.read("dsp.s8"));
}

#[test]
fn nan_in_an_input_is_counted_and_warned_of() {
    let desk = Desk::new();
    desk.plan();
    let mut values = noise(2 * ELEMENTS, 1);
    values[5] = f32::NAN;
    values[90] = f32::NAN;
    values[100] = f32::INFINITY;
    desk.npy("nan.npy", &[2, 2, 6, 6], Values::Float(values));
    let ended = desk.run(&["run", "net.s8", "--input", "nan.npy", "--json"]).done();
    assert!(ended.stderr.contains("warning: 2 input values are NaN"), "{}", ended.stderr);
    let report = ended.json();
    assert_eq!(report["nan"], 2);
    assert!(report["saturated"].as_u64().unwrap() >= 1, "{report}");
}
