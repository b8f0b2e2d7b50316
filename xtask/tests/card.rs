//! The model card: in the plan's file, out of it again, and never on the device.

#[path = "support/command.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod command;
#[path = "support/folder.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod folder;

use command::{DATA, Desk, USAGE, classifier};
use still8::format::Header;
use still8_validation::files::sha256_hex;
use still8_validation::onnx::{Message, decode, pb::StringStringEntryProto};
use xtask::card::{Card, file};

/// A classifier's ONNX file with metadata.
fn with_metadata(entries: &[(&str, &str)]) -> Vec<u8> {
    let (mut model, graph) = decode(&classifier().bytes()).unwrap();
    model.graph = Some(graph);
    let entry =
        |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
    model.metadata_props = entries.iter().map(entry).collect();
    model.encode_to_vec()
}

/// What stands behind the plan in a file, and the plan.
fn parts(file: &[u8]) -> (Card, &[u8]) {
    let header: Header = bytemuck::pod_read_unaligned(&file[..size_of::<Header>()]);
    let length = header.file_bytes as usize;
    (Card::parse(file::split(file, length).unwrap().unwrap()).unwrap(), &file[..length])
}

/// A folder whose student is a teacher as well, and has metadata.
fn model(desk: &Desk) -> String {
    let recipe = folder::recipe(desk);
    let student = with_metadata(&[("still8.seed", "7"), ("still8.version", "0.0.9"), ("author", "nobody")]);
    let teacher = classifier().bytes();
    desk.write("model/student.onnx", &student);
    desk.write("model/teacher.onnx", &teacher);
    let recipe = recipe.replace(&sha256_hex(&teacher), &sha256_hex(&student));
    let recipe = format!(
        "{recipe}\n[teacher]\nfile = \"teacher.onnx\"\nsha256 = \"{}\"\nparameters = 92\nmacs = 2608\nlicence = \"ISC\"\n\
         origin = \"noise\"\nrecipe = \"make teacher\"\n[card]\nintended_use = \"tests | nothing else\"\n",
        sha256_hex(&teacher)
    );
    desk.write("model/model.toml", &recipe);
    recipe
}

#[test]
fn a_model_folder_leaves_its_card_behind_the_plan() {
    let desk = Desk::new();
    let recipe = model(&desk);
    let report = desk.run(&["quantize", "model", "--out", "net.s8", "--json"]).done().report();
    let bytes = desk.read("net.s8");
    let (card, plan) = parts(&bytes);

    assert_eq!(card.recipe_sha256, Some(sha256_hex(recipe.as_bytes())));
    let sha256 = |name: &str| Some(sha256_hex(&desk.read(name)));
    assert_eq!(card.student.unwrap().sha256, sha256("model/student.onnx"));
    assert_eq!(card.teacher.as_ref().unwrap().sha256, sha256("model/teacher.onnx"));
    assert_eq!(card.data["test"].sha256, sha256("model/data.npz"));
    assert_eq!(card.card.intended_use.as_deref(), Some("tests | nothing else"));
    // Of the metadata what still8 wrote.
    let training: Vec<_> = card.training.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(training, [("seed", "7"), ("version", "0.0.9")]);

    let evaluation = card.evaluation.unwrap();
    assert_eq!(evaluation.samples, 40);
    assert_eq!(evaluation.figures["teacher_accuracy"], evaluation.figures["float_accuracy"]);
    for figure in ["int8_accuracy", "agreement_teacher_int8", "kl_teacher_int8", "int8_calibration_error"] {
        assert!(evaluation.figures.contains_key(figure), "{figure}");
    }
    // All labels are 0.
    let support: Vec<u64> = evaluation.class.iter().map(|class| class.samples).collect();
    assert_eq!(support, [40, 0, 0, 0]);
    assert_eq!(evaluation.class[0].figures["int8"], evaluation.figures["int8_accuracy"]);

    let stated = card.plan.unwrap();
    assert_eq!(stated.sha256, Some(sha256_hex(plan)));
    assert_eq!(stated.flash_bytes, Some(plan.len() as u64));
    assert_eq!((&report["flash_bytes"], &report["plan_bytes"]), (&plan.len().into(), &bytes.len().into()));
}

#[test]
fn the_file_is_the_same_whatever_is_printed() {
    let desk = Desk::new();
    model(&desk);
    desk.run(&["quantize", "model", "--out", "a.s8", "--quiet"]).done();
    desk.run(&["quantize", "model", "--out", "b.s8", "--report", "r.html"]).done();
    assert!(desk.read("a.s8") == desk.read("b.s8"));
}

#[test]
fn inspect_prints_the_card_and_writes_it() {
    let desk = Desk::new();
    model(&desk);
    desk.run(&["quantize", "model", "--out", "net.s8", "--quiet"]).done();
    let teacher = sha256_hex(&desk.read("model/teacher.onnx"));
    let shown = desk
        .run(&["inspect", "net.s8", "--card", "c.html", "--card", "c.json", "--card", "c.md"])
        .done()
        .stdout;
    let line = format!("- SHA-256 of the teacher: {teacher}\n");
    assert!(shown.contains("# Model card: small") && shown.contains(&line), "{shown}");
    let markdown = String::from_utf8(desk.read("c.md")).unwrap();
    assert!(shown.contains(&markdown));
    let page = String::from_utf8(desk.read("c.html")).unwrap();
    assert!(page.contains(&teacher) && page.contains("tests | nothing else"));
    let card: Card = serde_json::from_slice(&desk.read("c.json")).unwrap();
    assert_eq!(card, parts(&desk.read("net.s8")).0);
    let report = desk.run(&["inspect", "net.s8", "--json"]).done().json();
    assert_eq!(report["lineage"]["teacher"]["sha256"], teacher);
    assert_eq!(report["sha256"], sha256_hex(&desk.read("net.s8")));
    desk.run(&["inspect", "net.s8", "--card", "c.pdf"]).failed(USAGE, &[".html, .json or .md"]);
}

#[test]
fn a_teacher_that_is_not_shipped_is_no_error() {
    let desk = Desk::new();
    model(&desk);
    std::fs::remove_file(desk.path("model/teacher.onnx")).unwrap();
    desk.run(&["quantize", "model", "--out", "net.s8"]).done();
    let (card, _) = parts(&desk.read("net.s8"));
    assert!(card.teacher.unwrap().sha256.is_some());
    let figures = card.evaluation.unwrap().figures;
    assert!(figures.contains_key("int8_accuracy") && !figures.contains_key("teacher_accuracy"));
    let shown = desk.run(&["inspect", "net.s8"]).done().stdout;
    assert!(shown.contains("- accuracy of the teacher: not measured\n"), "{shown}");
    // Test data that are not shipped leave a card without figures.
    std::fs::write(
        desk.path("model/model.toml"),
        model(&desk).replace("[data.test]\nfile = \"data.npz\"", "[data.test]\nfile = \"none.npz\""),
    )
    .unwrap();
    desk.run(&["quantize", "model", "--out", "net.s8"]).done();
    assert_eq!(parts(&desk.read("net.s8")).0.evaluation, None);
}

#[test]
fn a_bare_file_has_the_card_that_its_metadata_make() {
    let desk = Desk::new();
    desk.write("net.onnx", with_metadata(&[("still8.teacher_sha256", "abc"), ("still8.seed", "3")]));
    let quantize = ["quantize", "net.onnx", "--calib", "random:7", "--out", "net.s8", "--quiet"];
    desk.run(&quantize).done();
    let shown = desk.run(&["inspect", "net.s8"]).done().stdout;
    for line in ["- SHA-256 of the teacher: abc", "- seed: 3", "- permission to distil: not stated"] {
        assert!(shown.contains(&format!("{line}\n")), "{line} in {shown}");
    }
    // Without them a plan is all of its file, and has no card.
    desk.write("net.onnx", classifier().bytes());
    desk.run(&quantize).done();
    let bytes = desk.read("net.s8");
    let header: Header = bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()]);
    assert_eq!(header.file_bytes as usize, bytes.len());
    let ended = desk.run(&["inspect", "net.s8"]).done();
    assert!(ended.stdout.contains("This plan carries no model card"), "{}", ended.stdout);
}

#[test]
fn a_damaged_card_and_that_of_another_plan_are_told() {
    let desk = Desk::new();
    model(&desk);
    desk.run(&["quantize", "model", "--out", "net.s8", "--quiet"]).done();
    let bytes = desk.read("net.s8");
    let length = parts(&bytes).1.len();

    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    desk.write("damaged.s8", &damaged);
    let ended = desk.run(&["inspect", "damaged.s8"]).done();
    assert!(ended.stderr.contains("its checksum is wrong"), "{}", ended.stderr);
    // The plan itself still names its teacher, as plans did before there were cards.
    let teacher = sha256_hex(&desk.read("model/teacher.onnx"));
    assert!(ended.stdout.contains(&format!("- SHA-256 of the teacher: {teacher}\n")), "{}", ended.stdout);
    desk.write("old.s8", &bytes[..length]);
    let ended = desk.run(&["inspect", "old.s8"]).done();
    assert!(ended.stdout.contains(&teacher) && ended.stderr.is_empty(), "{}", ended.stderr);

    let quantize = ["quantize", "model", "--family", "dsp", "--out", "dsp.s8", "--quiet"];
    desk.run(&quantize).done();
    let other = desk.read("dsp.s8");
    desk.write("mixed.s8", [&bytes[..length], &other[parts(&other).1.len()..]].concat());
    let ended = desk.run(&["inspect", "mixed.s8"]).done();
    assert!(ended.stderr.contains("that of another plan"), "{}", ended.stderr);
    desk.write("short.s8", &bytes[..length - 1]);
    desk.run(&["inspect", "short.s8"]).failed(DATA, &["short.s8"]);
}
