//! The report of a quantization: what it sums up is what was written, and its page needs nothing from elsewhere.

#[path = "support/command.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod command;
#[path = "support/folder.rs"]
mod folder;

use command::{Desk, MISSED, USAGE, classifier, noise};
use still8_validation::data::Dataset;
use still8_validation::files::sha256_hex;
use still8_validation::onnx::testing::{ModelBuilder, With, ints, node};
use xtask::emit::emit;
use xtask::quantize::{Quantized, Settings, Silent, Source};
use xtask::report::{self, BlockKind, Report, summary};

/// Quantizes the model folder and reads back the report.
fn folder_report(desk: &Desk) -> Report {
    folder::write(desk, "schema = 1", "schema = 1");
    let quantize = ["quantize", "model", "--out", "net.s8", "--report", "r.json", "--report", "r.html"];
    desk.run(&quantize).done();
    serde_json::from_slice(&desk.read("r.json")).unwrap()
}

#[test]
fn the_object_reads_back_as_it_was_and_is_what_json_prints() {
    let desk = Desk::new();
    let report = folder_report(&desk);
    assert_eq!((report.schema, report.name.as_str()), (report::SCHEMA, "small"));
    let text = report::json(&report);
    assert_eq!(text.as_bytes(), desk.read("r.json"));
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let printed = desk.run(&["quantize", "model", "--out", "net.s8", "--json"]).done();
    assert_eq!(serde_json::from_str::<Report>(&printed.stdout).unwrap(), report);
    let json = printed.report();
    assert_eq!(json["validation"]["samples"], 40);
    assert_eq!(json["validation"]["teacher"], serde_json::Value::Null);
}

#[test]
fn sums_are_those_of_the_plan() {
    let desk = Desk::new();
    let report = folder_report(&desk);
    let plan = desk.read("net.s8");
    let layers: usize = report.layers.iter().map(|layer| layer.flash.total()).sum();
    let rest: usize = report.flash_rest.iter().map(|part| part.bytes).sum();
    assert_eq!((layers + rest, report.plan_bytes), (plan.len(), plan.len()));
    // What is left over only aligns sections.
    let left = report.flash_rest.iter().find(|part| part.name == "alignment").unwrap();
    assert!(left.bytes < 16 * 12, "{}", left.bytes);
    assert_eq!(report.layers.iter().map(|layer| layer.macs).sum::<u64>(), report.macs);
    assert_eq!(report.layers[0].flash.weights, 72);
    assert_eq!(report.hashes.plan, sha256_hex(&plan));
    assert_eq!(report.hashes.model, sha256_hex(&desk.read("model/student.onnx")));
    let data = sha256_hex(&desk.read("model/data.npz"));
    assert_eq!((&report.hashes.calibration.sha256, &report.hashes.test.unwrap().sha256), (&data, &data));

    let arena = &report.arena;
    assert_eq!(arena.live_bytes.iter().max(), Some(&report.arena_lower_bound));
    assert_eq!(arena.live_bytes[arena.peak_layer.unwrap()], report.arena_lower_bound);
    for (i, a) in arena.blocks.iter().enumerate() {
        assert!(a.offset + a.bytes <= report.arena_bytes && a.first <= a.last, "{a:?}");
        for b in &arena.blocks[..i] {
            let together = a.first <= b.last && b.first <= a.last;
            let overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            assert!(!(together && overlap), "{a:?} and {b:?}");
        }
    }
    let input = arena.blocks.iter().find(|block| block.kind == BlockKind::Input).unwrap();
    assert_eq!((input.name.as_str(), input.first), ("x", 0));
}

#[test]
fn distributions_count_every_value() {
    let desk = Desk::new();
    let report = folder_report(&desk);
    assert_eq!(report.measured_samples, 40);
    for layer in &report.layers {
        let seen = layer.distribution.as_ref().unwrap();
        let values = seen.counts.iter().sum::<u64>() + seen.zeros;
        assert_eq!(values as usize, 40 * layer.output_shape.iter().product::<usize>(), "{}", layer.name);
        assert!((0.0..=1.0).contains(&seen.clipped) && seen.clip_low < seen.clip_high);
    }
    // Half of what a ReLU gives is 0.
    let relu = report.layers[0].distribution.as_ref().unwrap();
    assert!(relu.zeros > 0 && relu.low == 0.0);
}

#[test]
fn the_configuration_makes_the_same_plan_again() {
    let desk = Desk::new();
    let report = folder_report(&desk);
    let recipe = folder::recipe(&desk) + &report.configuration;
    desk.write("model/model.toml", recipe);
    desk.run(&["quantize", "model", "--out", "again.s8", "--quiet"]).done();
    // The card behind the plan has the recipe's hash, which is another one.
    let plan = |name: &str| desk.read(name)[..report.flash_bytes].to_vec();
    assert!(plan("again.s8") == plan("net.s8"), "{}", report.configuration);
    assert_eq!(report.hashes.configuration, sha256_hex(report.configuration.as_bytes()));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let desk = Desk::new();
    folder_report(&desk);
    let page = String::from_utf8(desk.read("r.html")).unwrap();
    for outside in
        ["http:", "https:", "src=", "href=", "<link", "<img", "url(", "@import", "fetch(", "import("]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && page.contains("prefers-color-scheme")
    );
    for element in ["section", "table", "tr", "svg", "div", "details", "ul", "script", "style"] {
        let open =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element}");
    }
    for none in ["NaN", ">inf", " inf ", "\"inf"] {
        assert!(!page.contains(none), "{none}");
    }
}

#[test]
fn names_are_text_whatever_they_hold() {
    let name = "<script>alert(\"1\")</script>&'\u{1b}[31m";
    let desk = Desk::new();
    let mut dense = node("MatMul", &["x", "w"], "y");
    dense.name = name.to_owned();
    let model = ModelBuilder::new(17).input("x", &[1, 4]).floats("w", &[4, 4], &noise(16, 4));
    desk.write("net.onnx", model.node(dense).output("y").bytes());
    let quantize = [
        "quantize", "net.onnx", "--calib", "random:7", "--out", "n.s8", "--report", "r.html", "--report",
        "r.json",
    ];
    let ended = desk.run(&quantize).done();
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
    let page = String::from_utf8(desk.read("r.html")).unwrap();
    assert!(!page.contains("alert(\"1\")") && page.contains("&lt;script&gt;alert(&quot;1&quot;)"));
    assert_eq!(page.matches("<script>").count(), 1);
    let report: Report = serde_json::from_slice(&desk.read("r.json")).unwrap();
    assert_eq!((report.layers[0].name.as_str(), report.seed), (name, Some(7)));
}

/// A network of `layers` convolutions, on the desk as `deep.onnx`.
fn deep(desk: &Desk, layers: usize) {
    let mut model =
        ModelBuilder::new(17).input("x0", &[1, 2, 4, 4]).floats("w", &[2, 2, 1, 1], &[1.0, 0.1, -0.2, 0.9]);
    for i in 0..layers {
        let mut conv =
            node("Conv", &[&format!("x{i}"), "w"], &format!("x{}", i + 1)).with(ints("pads", &[0; 4]));
        conv.name = format!("{}/{i}", "a_long_name_of_a_block".repeat(4));
        model = model.node(conv);
    }
    desk.write("deep.onnx", model.output(&format!("x{layers}")).bytes());
}

#[test]
fn a_deep_network_fits_one_screen_and_has_a_whole_page() {
    let desk = Desk::new();
    deep(&desk, 300);
    let common = ["quantize", "deep.onnx", "--calib", "random:1", "--recover", "none", "--method", "minmax"];
    let files = ["--out", "d.s8", "--report", "d.html", "--report", "d.json"];
    let ended = desk.run(&[&common[..], &files].concat()).done();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.len() <= 24, "{}", ended.stdout);
    for line in &lines {
        // A name that is to be pasted into model.toml is whole, however long.
        assert!(line.chars().count() <= 100 || line.trim_start().starts_with("name = \"a_long"), "{line}");
    }
    let report: Report = serde_json::from_slice(&desk.read("d.json")).unwrap();
    assert_eq!(report.layers.len(), 300);
    let page = String::from_utf8(desk.read("d.html")).unwrap();
    assert_eq!(page.matches("class=\"bars\"").count(), 300);
    // The worst layer comes first.
    let worst = report.worst();
    let row = page.split("<tbody>").find(|part| part.contains("class=\"bars\"")).unwrap();
    assert!(
        row.trim_start().starts_with("<tr>") && row[..400].contains(&format!(">{}</td>", worst[0])),
        "{}",
        &row[..400]
    );
    let isolated = |&index: &usize| report.layers[index].sqnr_isolated_db.unwrap();
    assert!(worst.iter().map(isolated).is_sorted());
    // Every layer only where it is asked for.
    let ended = desk.run(&[&common[..], &["--out", "d.s8", "--verbose"]].concat()).done();
    assert!(ended.stdout.lines().count() > 300);
    let ended = desk.run(&[&common[..], &["--out", "d.s8", "--quiet"]].concat()).done();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    assert!(!summary::layers(&report).contains('\u{1b}'));
}

fn small() -> (tempfile::TempDir, Source, Dataset, Quantized) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, classifier().bytes()).unwrap();
    let source = Source::open(&path, &[]).unwrap();
    let data = Dataset::random(3, &source.inputs(&Default::default()), 40);
    let settings = Settings { recover: vec![], ..Settings::default() };
    let quantized = source.quantize(&data, &settings, &Silent).unwrap();
    (folder, source, data, quantized)
}

#[test]
fn a_layer_alone_has_its_own_error_only() {
    let (_folder, source, data, mut quantized) = small();
    let isolated = |quantized: &Quantized| -> Vec<f64> {
        let evidence = source.evidence(&data, quantized, &Silent).unwrap();
        evidence.layers.iter().map(|layer| layer.as_ref().unwrap().isolated_db.unwrap()).collect()
    };
    let before = isolated(&quantized);
    // Nothing comes before the first layer.
    assert!((before[0] - quantized.sqnr_db[0].unwrap()).abs() < 1e-9);
    let first = quantized.scheme.weights.iter().find(|(_, weights)| weights.integers.len() == 72);
    let first = *first.unwrap().0;
    // Weights in steps of 16 ruin the first layer, and the others alone not at all.
    let weights = quantized.scheme.weights.get_mut(&first).unwrap();
    weights.integers.iter_mut().for_each(|q| *q = *q / 16 * 16);
    let after = isolated(&quantized);
    assert!(after[0] < before[0] - 6.0, "{after:?} {before:?}");
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn emitted_sizes_add_up_in_every_order_of_weights() {
    let (_folder, _, _, quantized) = small();
    for family in still8::format::Family::ALL {
        let emitted = emit(&quantized.network, family).unwrap();
        let ops: usize = emitted.ops.iter().map(|op| op.weights + op.constants + op.records).sum();
        let rest: usize = emitted.rest.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(ops + rest, emitted.bytes.len(), "{family:?}");
    }
}

#[test]
fn limits_decide_on_the_exit_code_after_everything_was_written() {
    let desk = Desk::new();
    let quantize = ["quantize", "model", "--out", "net.s8", "--report", "r.json"];
    // Labels are all 0 and the network is noise: no student has them all right.
    folder::write(&desk, "agreement_float_int8_min = 0.5", "int8_accuracy_min = 1.0");
    let ended = desk.run(&[&quantize[..], &["--check"]].concat());
    ended.failed(MISSED, &["small misses its limits", "int8_accuracy_min", "limit 1"]);
    let report: Report = serde_json::from_slice(&desk.read("r.json")).unwrap();
    assert_eq!(report.validation.as_ref().unwrap().passed, Some(false));
    assert_eq!(desk.read("net.s8").len(), report.plan_bytes);
    // Nobody asked for the thresholds.
    desk.run(&quantize).done();
    desk.run(&[&quantize[..], &["--max-drop", "100"]].concat()).done();

    let mut report = report;
    let validation = report.validation.as_mut().unwrap();
    validation.verdicts.clear();
    validation.loss.quantization = Some(0.006);
    for (most, kept) in [(0.5, false), (0.6, true)] {
        report.limits.max_drop = Some(most);
        assert_eq!(report.missed().is_ok(), kept, "{most}");
    }
    report.validation = None;
    assert_eq!(report.missed().unwrap_err().exit_code(), 1);
}

#[test]
fn limits_without_labels_and_reports_of_no_known_form_are_refused() {
    let desk = Desk::new();
    desk.write("net.onnx", classifier().bytes());
    let with = |more: &[&'static str]| {
        desk.run(&[&["quantize", "net.onnx", "--calib", "random:1", "--out", "net.s8"], more].concat())
    };
    with(&["--max-drop", "1"]).failed(USAGE, &["net.onnx", "labelled test data", "model.toml"]);
    with(&["--check"]).failed(USAGE, &["net.onnx", "labelled test data"]);
    with(&["--max-drop=-1"]).failed(USAGE, &["max-drop"]);
    with(&["--max-drop", "nan"]).failed(USAGE, &["`nan`", "points"]);
    with(&["--report", "r.txt"]).failed(USAGE, &["`r.txt`", ".html", ".json"]);
    assert!(!desk.path("net.s8").exists());
    // Test data that is damaged is told, and does not keep a plan from being made.
    folder::write(&desk, "schema = 1", "schema = 1");
    let recipe = String::from_utf8(desk.read("model/model.toml")).unwrap();
    let at = recipe.find("[data.test]").unwrap();
    let recipe = recipe[..at].to_owned() + &recipe[at..].replacen("data.npz", "none.npz", 1);
    desk.write("model/model.toml", recipe);
    let ended = desk.run(&["quantize", "model", "--out", "net.s8"]).done();
    assert!(ended.stderr.contains("accuracy is not measured") && ended.stderr.contains("none.npz"));
    desk.run(&["quantize", "model", "--out", "other.s8", "--check"]).failed(command::DATA, &["none.npz"]);
    assert!(!desk.path("other.s8").exists());
}
