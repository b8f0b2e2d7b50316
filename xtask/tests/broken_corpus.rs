//! A corpus of broken files and configurations: each gets a clear error with the right exit code within 10 seconds and 1 GiB
//! of address space, and nothing is written.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/command.rs"]
mod command;

use std::process::Command;
use std::time::{Duration, Instant};

use command::{DATA, Desk, Ended, SHAPE, USAGE, classifier, noise, npy};
use still8_validation::data::Values;
use still8_validation::npy::write_npz;
use still8_validation::onnx::pb::tensor_proto::{DataLocation, DataType};
use still8_validation::onnx::pb::{StringStringEntryProto, TensorProto};
use still8_validation::onnx::testing::{
    ModelBuilder, With, float, int, ints, node, tensor, text, value_info,
};

const UNSUPPORTED: i32 = 3;

const LIMIT: Duration = Duration::from_secs(10);
/// In KiB, as `ulimit` has it.
const MEMORY: &str = "1048576";

/// Runs the command within the limits.
fn limited(desk: &Desk, arguments: &[&str]) -> Ended {
    let own = desk.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v $0; exec \"$@\"", MEMORY]).arg(own.get_program()).args(own.get_args());
    command.current_dir(desk.path("")).env("RUST_BACKTRACE", "1").env("MALLOC_ARENA_MAX", "2");
    let start = Instant::now();
    let ended = Ended::of(&mut command);
    assert!(start.elapsed() < LIMIT, "{arguments:?} took {:?}", start.elapsed());
    ended
}

/// Quantizes `bytes`, which must be refused.
fn refused(name: &str, bytes: &[u8], code: i32, words: &[&str]) {
    let desk = Desk::new();
    desk.write("broken.onnx", bytes);
    let arguments = ["quantize", "broken.onnx", "--calib", "random:1", "--out", "out/net.s8"];
    let ended = limited(&desk, &arguments).failed(code, words);
    assert!(ended.stdout.is_empty() && !desk.path("out").exists(), "{name}: something was written");
}

fn single(shape: &[i64], node: still8_validation::onnx::pb::NodeProto) -> ModelBuilder {
    ModelBuilder::new(17).input("x", shape).node(node).output("y")
}

fn relu() -> ModelBuilder {
    single(&[1, 4], node("Relu", &["x"], "y"))
}

#[test]
fn damaged_bytes() {
    let whole = classifier().bytes();
    let cut = ["not an ONNX file or cut short"];
    for length in [1, 7, 64, whole.len() / 3, whole.len() - 3] {
        refused(&format!("cut at {length}"), &whole[..length], DATA, &cut);
    }
    // A length that no file has.
    refused("endless", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], DATA, &cut);
    refused("zeros", &[0; 4096], DATA, &cut);
    refused("zip", b"PK\x03\x04rest of an archive", DATA, &cut);
}

#[test]
fn graphs() {
    let cyclic = single(&[1, 4], node("Add", &["x", "b"], "y")).node(node("Relu", &["y"], "b"));
    refused("cycle", &cyclic.bytes(), DATA, &["cycle"]);
    let own = single(&[1, 4], node("Add", &["x", "y"], "y"));
    refused("reads itself", &own.bytes(), DATA, &["cycle"]);
    refused("twice", &relu().node(node("Relu", &["x"], "y")).bytes(), DATA, &["`y` is provided twice"]);
    refused("nowhere", &relu().output("z").bytes(), DATA, &["`z`"]);
    let missing = single(&[1, 4], node("MatMul", &["x", "w"], "y"));
    refused("no initializer", &missing.bytes(), DATA, &["`w`", "provided by nothing"]);
    let mut nothing = relu();
    nothing.graph.output.clear();
    refused("no output", &nothing.bytes(), DATA, &["no output"]);
    let mut foreign = node("Relu", &["x"], "y");
    foreign.domain = "com.example".into();
    refused("domain", &single(&[1, 4], foreign).bytes(), UNSUPPORTED, &["com.example"]);
    refused("operator set", &ModelBuilder { opset: 99, ..relu() }.bytes(), UNSUPPORTED, &["operator set 99"]);
    let control = node("Loop", &["x"], "y");
    refused("control flow", &single(&[1, 4], control).bytes(), UNSUPPORTED, &["without control flow"]);
}

#[test]
fn sizes() {
    let vast = single(&[1, 1 << 40], node("Relu", &["x"], "y"));
    refused("vast input", &vast.bytes(), DATA, &["`x`", "elements"]);
    let negative = single(&[1, 4], node("Reshape", &["x", "s"], "y")).integers("s", &[-4]);
    refused("negative", &negative.bytes(), DATA, &["y/node"]);
    let product = single(&[1, 1 << 20, 1 << 20], node("Relu", &["x"], "y"));
    refused("overflow", &product.bytes(), DATA, &["`x`", "elements"]);
    let weights = single(&[1, 2], node("Gemm", &["x", "w"], "y"));
    let weights = weights.initializer(tensor("w", DataType::Float, &[1 << 40, 1 << 40]));
    refused("vast weights", &weights.bytes(), DATA, &["`w`", "too large"]);
    let expanded = single(&[1, 1], node("Expand", &["x", "s"], "y")).integers("s", &[1 << 20, 1 << 20]);
    refused("expand", &expanded.bytes(), DATA, &["elements"]);
    let tiled = single(&[1, 4], node("Tile", &["x", "s"], "y")).integers("s", &[1 << 30, 1 << 30]);
    refused("tile", &tiled.bytes(), DATA, &["elements"]);
    let folded = single(&[1, 4], node("Add", &["x", "c"], "y"))
        .node(node("ConstantOfShape", &["s"], "c"))
        .integers("s", &[1 << 20, 1 << 20]);
    refused("folding bomb", &folded.bytes(), UNSUPPORTED, &["too large"]);
    let range = single(&[1, 4], node("Reshape", &["x", "c"], "y"))
        .node(node("Range", &["a", "b", "a1"], "c"))
        .integers("a", &[0])
        .integers("b", &[i64::MAX])
        .integers("a1", &[1]);
    refused("range bomb", &range.bytes(), UNSUPPORTED, &["too large"]);
    let resized = single(&[1, 1, 4, 4], node("Resize", &["x", "", "s"], "y"));
    let resized = resized.floats("s", &[4], &[1.0, 1.0, 1e9, 1e9]);
    refused("resize", &resized.bytes(), DATA, &["cannot become"]);
    let pads = single(&[1, 1, 4, 4], node("Pad", &["x", "p"], "y"));
    let pads = pads.integers("p", &[0, 0, 0, 0, 0, 0, i64::MAX, i64::MAX]);
    refused("pad", &pads.bytes(), DATA, &["amounts"]);
}

#[test]
fn windows() {
    let pool = |attribute| node("MaxPool", &["x"], "y").with(ints("kernel_shape", &[2, 2])).with(attribute);
    let image = |node| single(&[1, 1, 4, 4], node).bytes();
    refused("stride", &image(pool(ints("strides", &[0, 1]))), DATA, &["strides"]);
    refused("dilation", &image(pool(ints("dilations", &[-1, 1]))), DATA, &["dilations"]);
    refused("padding", &image(pool(ints("pads", &[-1, 0, 0, 0]))), UNSUPPORTED, &["crops"]);
    refused("auto_pad", &image(pool(text("auto_pad", "ALL"))), DATA, &["auto_pad=ALL"]);
    let conv = |weights: &[i64], group: i64| {
        let count = weights.iter().product::<i64>() as usize;
        let conv = node("Conv", &["x", "w"], "y").with(int("group", group));
        single(&[1, 3, 4, 4], conv).floats("w", weights, &vec![0.1; count]).bytes()
    };
    refused("kernel", &conv(&[2, 3, 9, 9], 1), DATA, &["larger than the padded input"]);
    refused("groups", &conv(&[2, 3, 1, 1], 2), DATA, &["groups"]);
    refused("no group", &conv(&[2, 3, 1, 1], 0), DATA, &["groups"]);
    let transposed = node("ConvTranspose", &["x", "w"], "y").with(ints("strides", &[1 << 40, 1]));
    let transposed = single(&[1, 1, 2, 2], transposed).floats("w", &[1, 1, 1, 1], &[1.0]);
    refused("far apart", &transposed.bytes(), DATA, &["strides"]);
}

#[test]
fn numbers() {
    let dense =
        |weights: &[f32]| single(&[1, 2], node("Gemm", &["x", "w"], "y")).floats("w", &[2, 1], weights);
    refused("NaN", &dense(&[0.0, f32::NAN]).bytes(), DATA, &["`w` contains NaN"]);
    refused("infinite", &dense(&[f32::NEG_INFINITY, 0.0]).bytes(), DATA, &["`w` contains -inf"]);
    refused("too few", &dense(&[0.5]).bytes(), DATA, &["`w`", "holds 1 elements"]);
    let kinds = [(DataType::String, "STRING"), (DataType::Complex64, "COMPLEX64")];
    for (kind, name) in kinds {
        let model = single(&[1, 2], node("Gemm", &["x", "w"], "y"));
        let model = model.initializer(tensor("w", kind, &[2, 1]));
        refused(name, &model.bytes(), UNSUPPORTED, &["`w`", name]);
    }
    let mut integers = relu();
    integers.graph.input[0].r#type = value_info("x", DataType::Int64, Some(Vec::new())).r#type;
    refused("integers", &integers.bytes(), UNSUPPORTED, &["INT64"]);
    let raw = TensorProto { raw_data: vec![0; 7], ..tensor("w", DataType::Float, &[2, 1]) };
    let model = single(&[1, 2], node("Gemm", &["x", "w"], "y")).initializer(raw);
    refused("raw length", &model.bytes(), DATA, &["`w`", "7 bytes"]);
    let epsilon = node("LayerNormalization", &["x", "g"], "y").with(float("epsilon", f32::NAN));
    let model = single(&[1, 2], epsilon).floats("g", &[2], &[1.0; 2]);
    refused("epsilon", &model.bytes(), DATA, &["epsilon=NaN"]);
    for scale in [0.0, -1.0, f32::NAN] {
        let model = ModelBuilder::new(17)
            .input("x", &[1, 4])
            .floats("s", &[], &[scale])
            .node(node("QuantizeLinear", &["x", "s", "zero"], "q"))
            .node(node("DequantizeLinear", &["q", "s", "zero"], "y"))
            .initializer(TensorProto { int32_data: vec![0], ..tensor("zero", DataType::Int8, &[]) })
            .output("y");
        refused("scale", &model.bytes(), DATA, &["`s`", "positive number"]);
    }
}

#[test]
fn external_data() {
    let external = |location: &str, offset: &str| {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
        let tensor = TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: vec![entry("location", location), entry("offset", offset)],
            ..tensor("w", DataType::Float, &[2, 1])
        };
        single(&[1, 2], node("Gemm", &["x", "w"], "y")).initializer(tensor).bytes()
    };
    refused("absent", &external("weights.bin", "0"), DATA, &["weights.bin"]);
    refused("outside", &external("../../etc/passwd", "0"), DATA, &["../../etc/passwd"]);
    refused("absolute", &external("/etc/passwd", "0"), DATA, &["/etc/passwd"]);
    refused("behind the end", &external("broken.onnx", "99999999"), DATA, &["broken.onnx"]);
}

#[test]
fn long_files() {
    let chain = |nodes: usize| {
        let mut model = ModelBuilder::new(17).input("v0", &[1, 4]);
        for i in 0..nodes {
            model.graph.node.push(node("Erf", &[&format!("v{i}")], &format!("v{}", i + 1)));
        }
        model.output("absent").bytes()
    };
    refused("a hundred thousand nodes", &chain(100_000), DATA, &["`absent`"]);
    let name = "n".repeat(5_000_000);
    let model =
        ModelBuilder::new(17).input(&name, &[1, 4]).node(node("Frobnicate", &[&name], "y")).output("y");
    refused("a name of five million letters", &model.bytes(), UNSUPPORTED, &["Frobnicate"]);
}

/// Runs `quantize` of the small classifier with what `prepare` writes, which must be refused.
fn calibration(prepare: impl FnOnce(&Desk), arguments: &[&str], code: i32, words: &[&str]) {
    let desk = Desk::new();
    desk.write("net.onnx", classifier().bytes());
    prepare(&desk);
    let arguments = [&["quantize", "net.onnx", "--out", "out/net.s8"], arguments].concat();
    limited(&desk, &arguments).failed(code, words);
    assert!(!desk.path("out").exists(), "{arguments:?}: something was written");
}

#[test]
fn calibration_data() {
    let with = |shape: &[usize], values: Vec<f32>| npy(shape, &Values::Float(values));
    let file = |bytes: Vec<u8>| move |desk: &Desk| drop(desk.write("c.npy", bytes));
    let calib = ["--calib", "c.npy"];
    calibration(|_| (), &calib, DATA, &["c.npy"]);
    calibration(file(vec![]), &calib, DATA, &["c.npy"]);
    calibration(file(with(&[3, 5], noise(15, 1))), &calib, DATA, &["c.npy", "[3, 5]"]);
    let shape = [&[2], &SHAPE[1..]].concat();
    let mut values = noise(144, 1);
    values[100] = f32::NAN;
    calibration(file(with(&shape, values.clone())), &calib, DATA, &["1 NaN"]);
    values[100] = f32::INFINITY;
    calibration(file(with(&shape, values)), &calib, DATA, &["1 infinite"]);
    let whole = with(&shape, noise(144, 1));
    calibration(file(whole[..whole.len() - 9].to_vec()), &calib, DATA, &["c.npy"]);
    let header = b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr': '<f4'".to_vec();
    calibration(file(header), &calib, DATA, &["c.npy"]);
    // Of a long archive ranges are observed sample by sample; a byte of it is another one.
    let many = 2000;
    let x = Values::Float(noise(many * 72, 1));
    let mut archive = std::io::Cursor::new(Vec::new());
    write_npz(&mut archive, [("x", &[&[many], &SHAPE[1..]].concat()[..], &x)]).unwrap();
    let mut archive = archive.into_inner();
    archive[100_000] ^= 1;
    calibration(file(archive), &calib, DATA, &["c.npy", "unpacked"]);
    calibration(|_| (), &["--calib", "random:x"], USAGE, &["random:x"]);
    calibration(|_| (), &["--calib", "random:1:2..1"], USAGE, &["random:1:2..1"]);
    calibration(|_| (), &[], USAGE, &["--calib"]);
}

#[test]
fn configurations() {
    let random = ["--calib", "random:1"];
    let with = |more: &[&str], words: &[&str]| {
        calibration(|_| (), &[&random[..], more].concat(), USAGE, words);
    };
    with(&["--layer", "conv"], &["NAME=BITS"]);
    with(&["--layer", "conv=7"], &["4, 8, 16"]);
    with(&["--layer", "cnov=4"], &["`cnov`", "similar ones"]);
    with(&["--layer", "relu=4"], &["relu"]);
    with(&["--dim", "N=0"], &["--dim N"]);
    with(&["--max-flash", "64X"], &["64X"]);
    with(&["--method", "guess"], &["guess"]);
    with(&["--recover", "hope"], &["hope"]);
    with(&["--family", "fpga"], &["fpga"]);
    let recipe = |text: &'static str, words: &[&str]| {
        let desk = Desk::new();
        desk.write("m/model.toml", text);
        limited(&desk, &["quantize", "m", "--out", "out/net.s8"]).failed(USAGE, words);
    };
    recipe("name = ", &["model.toml"]);
    recipe("nonsense = 1\n", &["model.toml"]);
}
