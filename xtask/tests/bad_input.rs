//! Whatever is wrong with what a command is given: the right exit code, one message that names thing and fix, no trace
//! of a panic, and nothing written.

#[path = "support/command.rs"]
mod command;
#[path = "support/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use command::{DATA, Desk, ELEMENTS, Ended, MISSED, SHAPE, USAGE, classifier, noise, npy, text};
use still8_validation::data::{Values, save};
use still8_validation::onnx::testing::{ModelBuilder, node};
use still8_validation::random::SplitMix64;

const UNSUPPORTED: i32 = 3;
const MISSING: i32 = 5;

/// Offsets in a plan's header: version, checksum, arena size.
const VERSION: usize = 8;
const CHECKSUM: usize = 12;
const ARENA: usize = 20;

/// Runs a command that must fail and leave the folder as it was, with standard output empty.
fn refuses(desk: &Desk, arguments: &[&str], code: i32, words: &[&str]) {
    let before = contents(desk);
    for json in [&["--json"][..], &[]] {
        let ended = desk.run(&[arguments, json].concat()).failed(code, words);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(contents(desk) == before, "{arguments:?} changed the folder");
    }
}

/// Every file below the folder with its contents, and every folder.
fn contents(desk: &Desk) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![desk.path("")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
    }
    found
}

/// `quantize` of an ONNX file that must be refused.
fn quantize_refuses(desk: &Desk, source: &str, code: i32, words: &[&str]) {
    refuses(
        desk,
        &["quantize", source, "--calib", "random:1", "--out", "out/net.s8"],
        code,
        &[&[source], words].concat(),
    );
}

/// `quantize` of the small classifier on calibration data that must be refused.
fn calibration_refuses(desk: &Desk, calib: &str, code: i32, words: &[&str]) {
    desk.write("net.onnx", classifier().bytes());
    refuses(
        desk,
        &["quantize", "net.onnx", "--calib", calib, "--out", "net.s8"],
        code,
        &[&[calib], words].concat(),
    );
}

/// `run` of the small classifier's plan on an input that must be refused.
fn run_refuses(desk: &Desk, input: &str, code: i32, words: &[&str]) {
    refuses(
        desk,
        &["run", "net.s8", "--input", input, "--output", "out/y.npy", "--float"],
        code,
        &[&[input], words].concat(),
    );
}

/// A `.npy` file of any element type.
fn raw_npy(descr: &str, shape: &[usize], width: usize) -> Vec<u8> {
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let data = vec![0; width * shape.iter().product::<usize>()];
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let desk = Desk::new();
    let whole = classifier().bytes();
    let not_onnx = ["not an ONNX file or cut short"];
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20\0\0\0\x20\x08\x02\0\0\0";
    let files: [(&str, &[u8]); 6] = [
        ("cut.onnx", &whole[..whole.len() / 2]),
        ("almost.onnx", &whole[..whole.len() - 1]),
        ("text.onnx", b"once upon a time there was a model\n"),
        ("empty.onnx", b""),
        ("picture.onnx", png),
        // Under its own name, too.
        ("picture.png", png),
    ];
    for (name, bytes) in files {
        desk.write(name, bytes);
        quantize_refuses(&desk, name, DATA, &not_onnx);
    }
    quantize_refuses(&desk, "absent.onnx", DATA, &["cannot be read", "No such file"]);
    desk.write("folder/notes.txt", "");
    quantize_refuses(&desk, "folder", DATA, &["without model.toml", "model's folder or an ONNX file"]);
    desk.write("net.s8", b"still8\r\n");
    quantize_refuses(&desk, "net.s8", DATA, &not_onnx);
}

#[test]
fn a_dimension_without_a_size_asks_for_it() {
    let desk = Desk::new();
    let model = ModelBuilder::new(17)
        .symbolic_input("x", &["batch", "2", "height", "6"])
        .node(node("Relu", &["x"], "y"))
        .output("y");
    desk.write("open.onnx", model.bytes());
    quantize_refuses(&desk, "open.onnx", USAGE, &["`x`", "`height`", "--dim height=N"]);
    let with = |dim| ["quantize", "open.onnx", "--calib", "random:1", "--out", "open.s8", "--dim", dim];
    refuses(&desk, &with("depth=3"), USAGE, &["`height`", "--dim height=N"]);
    refuses(&desk, &with("height"), USAGE, &["--dim", "NAME=N"]);
    refuses(&desk, &with("height=0"), USAGE, &["--dim height=0", "at least 1"]);
    desk.run(&with("height=6")).done();
    assert!(desk.path("open.s8").exists());
}

#[test]
fn a_graph_that_cannot_be_quantized_is_explained() {
    let desk = Desk::new();
    let mut model = classifier();
    model.graph.initializer.retain(|tensor| tensor.name != "filter");
    desk.write("hole.onnx", model.bytes());
    let ended = desk.run(&["quantize", "hole.onnx", "--calib", "random:1", "--out", "out/net.s8"]);
    let code = ended.code.unwrap();
    assert!([UNSUPPORTED, DATA].contains(&code), "{code}");
    quantize_refuses(&desk, "hole.onnx", code, &["`filter`"]);

    let model = ModelBuilder::new(17)
        .input("x", &SHAPE.map(|dim| dim as i64))
        .node(node("Mish", &["x"], "first"))
        .node(node("Relu", &["first"], "fine"))
        .node(node("GridSample", &["fine"], "second"))
        .node(node("Einsum", &["second"], "y"))
        .output("y");
    desk.write("odd.onnx", model.bytes());
    let bad = [
        "3 nodes",
        "`first/node` (Mish)",
        "`second/node` (GridSample)",
        "`y/node` (Einsum)",
        "HardSwish, Gelu or Relu",
    ];
    quantize_refuses(&desk, "odd.onnx", UNSUPPORTED, &bad);
    let ended = desk.run(&["quantize", "odd.onnx", "--calib", "random:1"]);
    assert!(!ended.stderr.contains("fine/node"), "{}", ended.stderr);
}

#[test]
fn calibration_data_that_do_not_serve_are_named() {
    let desk = Desk::new();
    let refuses = |name: &str, bytes: Vec<u8>, words: &[&str]| {
        desk.write(name, bytes);
        calibration_refuses(&desk, name, DATA, words);
    };
    let floats = |shape: &[usize]| npy(shape, &Values::Float(noise(shape.iter().product(), 1)));
    refuses("shape.npy", floats(&[5, 2, 6, 5]), &["`x`", "[5, 2, 6, 5]", "expected [samples, 2, 6, 6]"]);
    refuses("flat.npy", floats(&[5, ELEMENTS]), &["`x`", "[5, 72]", "expected [samples, 2, 6, 6]"]);
    refuses("int64.npy", raw_npy("<i8", &[5, 2, 6, 6], 8), &["`x`", "int64", "float32"]);
    refuses("uint8.npy", raw_npy("|u1", &[5, 2, 6, 6], 1), &["`x`", "uint8", "float32"]);
    refuses("int8.npy", raw_npy("|i1", &[5, 2, 6, 6], 1), &["`x`", "int8", "quantized already", "float32"]);
    refuses("complex.npy", raw_npy("<c8", &[5, 2, 6, 6], 8), &["<c8", "not a plain number"]);
    refuses("none.npy", floats(&[0, 2, 6, 6]), &["`x`", "no samples"]);
    refuses("empty.npy", Vec::new(), &["neither .npy nor .npz", "numpy.save"]);
    refuses("text.npy", b"1, 2, 3\n".to_vec(), &["neither .npy nor .npz"]);
    let whole = floats(&[5, 2, 6, 6]);
    refuses("cut.npy", whole[..whole.len() - 1].to_vec(), &["truncated"]);

    let mut values = noise(5 * ELEMENTS, 1);
    values[3 * ELEMENTS + 7] = f32::NAN;
    values[4 * ELEMENTS] = f32::INFINITY;
    let nan = npy(&[5, 2, 6, 6], &Values::Float(values));
    refuses("nan.npy", nan, &["`x`", "1 NaN", "1 infinite", "sample 3"]);

    let tensor =
        still8_validation::data::Tensor::new(vec![5, 2, 6, 6], Values::Float(noise(5 * ELEMENTS, 1)));
    save(&desk.path("other.npz"), &[("image".into(), tensor.clone()), ("mask".into(), tensor)]).unwrap();
    calibration_refuses(&desk, "other.npz", DATA, &["`x`", "`image`", "`mask`"]);
    let archive = desk.read("other.npz");
    refuses("cut.npz", archive[..archive.len() / 2].to_vec(), &["damaged .npz"]);
    calibration_refuses(&desk, "absent.npz", DATA, &["cannot be read", "No such file"]);
}

#[test]
fn usage_errors_of_quantize() {
    let desk = Desk::new();
    for calib in
        ["random:", "random:x", "random:-1", "random:1:", "random:1:2", "random:1:2..1", "random:1:0..NaN"]
    {
        calibration_refuses(&desk, calib, USAGE, &["random:SEED"]);
    }
    let with = |more: &[&'static str]| [&["quantize", "net.onnx", "--out", "net.s8"], more].concat();
    refuses(&desk, &with(&[]), USAGE, &["net.onnx", "--calib"]);
    let random = ["--calib", "random:1"];
    refuses(
        &desk,
        &with(&[&random[..], &["--family", "mips"]].concat()),
        USAGE,
        &["`mips`", "portable, helium, neon, scalar, dsp"],
    );
    refuses(
        &desk,
        &with(&[&random[..], &["--method", "guess"]].concat()),
        USAGE,
        &["`guess`", "minmax, mse"],
    );
    refuses(&desk, &with(&["--frobnicate"]), USAGE, &["--frobnicate", "--help"]);
    refuses(&desk, &["quantize"], USAGE, &["<SOURCE>", "cargo xtask quantize"]);
}

#[test]
fn unwritable_paths_are_named() {
    let desk = Desk::new();
    desk.plan();
    desk.samples("x.npy", 2);
    desk.write("file", "");
    fs::create_dir(desk.path("folder")).unwrap();
    let refuse_both = |path: &str, words: &[&str]| {
        let words = [&[path], words].concat();
        refuses(&desk, &["quantize", "net.onnx", "--calib", "random:1", "--out", path], DATA, &words);
        refuses(&desk, &["run", "net.s8", "--input", "x.npy", "--output", path], DATA, &words);
    };
    refuse_both("folder", &["is a folder", "give a file name"]);
    refuse_both("file/below/out.npy", &["cannot be written", "file/below"]);
    refuse_both("file/out.npy", &["cannot be written"]);
    read_only_folder(&desk, |path| refuse_both(path, &["cannot be written", "denied"]));
}

#[cfg(unix)]
fn read_only_folder(desk: &Desk, refuses: impl Fn(&str)) {
    use std::os::unix::fs::PermissionsExt;
    let folder = desk.path("read-only");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_ok() {
        eprintln!("SKIPPED: read-only folder: this user may write everywhere");
    } else {
        refuses("read-only/out.npy");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn read_only_folder(_: &Desk, _: impl Fn(&str)) {
    eprintln!("SKIPPED: read-only folder: not a Unix");
}

/// A killed command may leave a temporary file behind; never half a plan under the plan's name.
#[test]
fn a_killed_quantize_leaves_the_old_plan_or_the_new_one() {
    const ROUNDS: u32 = 30;
    let desk = Desk::new();
    let model = ModelBuilder::new(17)
        .input("x", &[1, 512])
        .floats("w", &[512, 1024], &noise(512 * 1024, 1))
        .node(node("MatMul", &["x", "w"], "y"))
        .output("y");
    desk.write("wide.onnx", model.bytes());
    let quantize =
        |seed| desk.command(&["quantize", "wide.onnx", "--calib", seed, "--out", "out/wide.s8", "--quiet"]);
    let seeds = ["random:1:-1..1", "random:2:-9..9"];
    let plans = seeds.map(|seed| {
        Ended::of(&mut quantize(seed)).done();
        desk.read("out/wide.s8")
    });
    assert_ne!(plans[0], plans[1]);
    let started = Instant::now();
    Ended::of(&mut quantize(seeds[0])).done();
    let whole = started.elapsed();

    let mut killed = 0;
    let mut random = SplitMix64::new(u64::from(std::process::id()));
    for round in 0..ROUNDS {
        let mut child = quantize(seeds[round as usize % 2]).spawn().unwrap();
        let began = Instant::now();
        // Half of the rounds anywhere, half of them while the file is being written.
        let delay = whole.mul_f32(random.uniform([0.0, 1.2]));
        let names = || fs::read_dir(desk.path("out")).unwrap().count();
        let before = names();
        let due = || {
            if round % 4 < 2 { began.elapsed() >= delay } else { names() > before }
        };
        while !due() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(20));
        }
        killed += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        let found = desk.read("out/wide.s8");
        assert!(plans.contains(&found), "round {round}: {} bytes, neither plan", found.len());
        desk.run(&["inspect", "out/wide.s8", "--quiet"]).done();
    }
    eprintln!(
        "{killed} of {ROUNDS} killed, {} while writing",
        fs::read_dir(desk.path("out")).unwrap().count() - 1
    );
    assert!(killed > 0, "every round ended before it could be killed");
}

#[test]
fn a_recipe_with_a_fault_is_refused_with_its_key() {
    let desk = Desk::new();
    let quantize = ["quantize", "model", "--out", "net.s8"];
    let faulty = |from: &str, to: &str, code: i32, words: &[&str]| {
        folder::write(&desk, from, to);
        refuses(&desk, &quantize, code, words);
    };
    faulty("[input]", "colour = 3\n[input]", USAGE, &["model.toml", "colour", "unknown field"]);
    faulty("schema = 1", "schema = 9", USAGE, &["model.toml", "schema = 9", "schema 1"]);
    faulty("min = 0.5", "min = 1.5", USAGE, &["model.toml", "1.5", "fraction in [0, 1]"]);
    faulty("[input]", "[input", USAGE, &["model.toml", "line 6"]);
    faulty("[output]", "range = [0.5, 1]\n[output]", USAGE, &["model.toml", "must contain 0"]);
    faulty(
        "shape = [1, 2, 6, 6]",
        "shape = [1, 2, 6]",
        USAGE,
        &["model.toml", "[1, 2, 6]", "student takes `x` [1, 2, 6, 6]"],
    );
    faulty("name = \"x\"", "name = \"image\"", USAGE, &["model.toml", "`image`", "student takes `x`"]);
    faulty("student.onnx", "pupil.onnx", DATA, &["pupil.onnx", "no such file"]);
    faulty("samples = 40", "samples = 41", DATA, &["data.npz", "40", "41"]);
    let digit = "sha256 = \"";
    faulty(digit, &format!("{digit}0"), USAGE, &["model.toml", "64 digits"]);

    folder::write(&desk, "schema = 1", "schema = 1");
    desk.run(&quantize).done();
    fs::remove_file(desk.path("net.s8")).unwrap();
    for (file, what) in [("model/student.onnx", "student.onnx"), ("model/data.npz", "data.npz")] {
        let good = desk.read(file);
        desk.write(file, [&good[..], b"\0"].concat());
        refuses(&desk, &quantize, DATA, &[what, "sha256 is", "model.toml states", "restore the file"]);
        desk.write(file, good);
    }
}

#[test]
fn a_damaged_plan_is_refused_by_every_command() {
    let desk = Desk::new();
    desk.plan();
    let whole = desk.read("net.s8");
    desk.samples("x.npy", 1);
    let refuse_all = |bytes: &[u8], words: &[&str]| {
        desk.write("bad.s8", bytes);
        let words = [&["bad.s8"], words].concat();
        refuses(&desk, &["run", "bad.s8", "--input", "x.npy", "--output", "y.npy"], DATA, &words);
        refuses(&desk, &["inspect", "bad.s8"], DATA, &words);
        refuses(&desk, &["validate", "bad.s8"], DATA, &words);
    };
    for at in [CHECKSUM, ARENA, 40, 64, 100, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        refuse_all(&bytes, &["damaged", "checksum", "copy or quantize it again"]);
    }
    for mend in [false, true] {
        let mut bytes = whole.clone();
        bytes[VERSION] = 77;
        if mend {
            let checksum = still8::plan::checksum(&bytes);
            bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        refuse_all(&bytes, &["version 77", "this runtime reads 1 to 3"]);
    }
    for length in [8, 63, 64, whole.len() / 2, whole.len() - 1] {
        refuse_all(&whole[..length], &["cut short"]);
    }
    refuse_all(b"", &["not a still8 plan", "cargo xtask quantize"]);
    refuse_all(&desk.read("net.onnx"), &["not a still8 plan", "cargo xtask quantize"]);

    let absent = ["absent.s8", "cannot be read"];
    refuses(&desk, &["run", "absent.s8", "--input", "x.npy"], DATA, &absent);
    refuses(&desk, &["inspect", "absent.s8"], DATA, &absent);
    refuses(&desk, &["validate", "absent.s8"], DATA, &absent);
    refuses(&desk, &["inspect", "."], DATA, &["cannot be read", "directory"]);
}

#[test]
fn an_input_that_does_not_fit_the_plan_is_named() {
    let desk = Desk::new();
    desk.plan();
    let refuses = |name: &str, bytes: Vec<u8>, words: &[&str]| {
        desk.write(name, bytes);
        run_refuses(&desk, name, DATA, words);
    };
    let zeros = |shape: &[usize]| npy(shape, &Values::Float(vec![0.0; shape.iter().product()]));
    refuses("long.npy", zeros(&[1, 2, 6, 7]), &["`x`", "[1, 2, 6, 7]", "expected [samples, 2, 6, 6]"]);
    refuses("flat.npy", zeros(&[ELEMENTS]), &["`x`", "[72]", "expected [samples, 2, 6, 6]"]);
    refuses("scalar.npy", zeros(&[]), &["`x`", "expected [samples, 2, 6, 6]"]);
    refuses("int64.npy", raw_npy("<i8", &[1, 2, 6, 6], 8), &["`x`", "int64", "float32", "int8"]);
    refuses("none.npy", zeros(&[0, 2, 6, 6]), &["`x`", "no samples"]);
    refuses("empty.npy", Vec::new(), &["neither .npy nor .npz"]);
    // A header that promises more than any machine has.
    refuses("huge.npy", raw_npy("<f4", &[0, 1 << 40, 1 << 40], 4), &["huge.npy"]);
    run_refuses(&desk, "absent.npy", DATA, &["cannot be read"]);
}

#[test]
fn usage_errors_of_run() {
    let desk = Desk::new();
    desk.plan();
    desk.samples("x.npy", 1);
    let run = ["run", "net.s8", "--input", "x.npy"];
    refuses(&desk, &[&run[..], &["--on", "z80"]].concat(), USAGE, &["`z80`", "host, cortex-m0", "aarch64"]);
    refuses(&desk, &[&run[..], &["--float"]].concat(), USAGE, &["--output", "cargo xtask run"]);
    refuses(&desk, &run[..2], USAGE, &["--input"]);
}

#[test]
fn validate_says_what_it_lacks() {
    let desk = Desk::new();
    desk.plan();
    refuses(&desk, &["validate", "net.s8"], USAGE, &["net.s8", "`net`", "--of FOLDER"]);
    refuses(&desk, &["validate", "absent"], DATA, &["absent", "cannot be read"]);
    folder::write(&desk, "schema = 1", "schema = 1");
    refuses(&desk, &["validate", "model", "--samples", "0"], USAGE, &["--samples 0", "1 or more"]);
    refuses(&desk, &["validate", "model", "--samples", "many"], USAGE, &["many", "--samples"]);
    refuses(&desk, &["validate", "model", "--data", "half"], USAGE, &["half", "shipped, full"]);
    let full = ["full.npz", "is not there", "python3 model/recipe.py full"];
    refuses(&desk, &["validate", "model", "--data", "full"], MISSING, &full);
    desk.run(&["validate", "model", "--quiet"]).done();
    desk.run(&["validate", "net.s8", "--of", "model", "--quiet"]).done();
}

#[test]
fn a_missed_threshold_is_named_behind_the_report() {
    let desk = Desk::new();
    // The labels are no more than a guess.
    folder::write(&desk, "[thresholds]", "[thresholds]\nint8_accuracy_min = 1.0");
    let ended = desk.run(&["validate", "model", "--json"]);
    let ended = ended.failed(MISSED, &["small", "int8_accuracy_min", "limit 1"]);
    let error = ended.stderr.lines().last().unwrap();
    assert!(error.starts_with("error: ") && !error.contains("agreement"), "only what was missed: {error}");
    let report = ended.json();
    assert_eq!(report["passed"], false);
    assert!(report["int8"]["accuracy"].as_f64().unwrap() < 1.0);
}

#[test]
fn flash_refuses_what_no_board_takes() {
    let desk = Desk::new();
    desk.plan();
    let boards = ["`arduino`", "microbit", "stm32f405"];
    refuses(&desk, &["flash", "net.s8", "--board", "arduino"], USAGE, &boards);
    refuses(&desk, &["flash", "net.s8", "--board", "stm32f405"], USAGE, &["portable", "--family dsp"]);
    refuses(&desk, &["flash", "net.s8"], USAGE, &["--board"]);
    refuses(&desk, &["flash", "absent.s8", "--board", "stm32f405"], DATA, &["absent.s8"]);
    desk.write("bad.s8", &desk.read("net.s8")[..100]);
    refuses(&desk, &["flash", "bad.s8", "--board", "microbit-v1"], DATA, &["bad.s8", "cut short"]);
}

/// Builds firmware, which takes up to a minute in a cold target folder.
#[test]
fn flash_without_probe_rs_says_how_to_get_it() {
    const TARGET: &str = "thumbv6m-none-eabi";
    if xtask::process::find("probe-rs").is_some() {
        eprintln!("SKIPPED: flash without probe-rs: it is installed");
        return;
    }
    if xtask::emulator::find_std(TARGET).is_err() {
        eprintln!(
            "SKIPPED: flash without probe-rs: no Rust standard library for {TARGET}, see `cargo xtask setup`"
        );
        return;
    }
    let desk = Desk::new();
    let plan = desk.plan();
    let ended = desk.run(&["flash", text(&plan), "--board", "microbit-v1"]);
    let ended = ended
        .failed(MISSING, &["`probe-rs` is not installed", "cargo install probe-rs-tools", "microbit-v1"]);
    let image = ended.stderr.trim().rsplit(' ').next().unwrap();
    assert!(Path::new(image).exists(), "the image that the message names: {image}");
}
