//! The built command in a folder of its own, run as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use still8_validation::data::Values;
use still8_validation::npy::write_npy;
use still8_validation::onnx::testing::{ModelBuilder, With, ints, node};

/// Exit codes of the command contract.
pub const MISSED: i32 = 1;
#[allow(missing_docs)]
pub const USAGE: i32 = 2;
#[allow(missing_docs)]
pub const DATA: i32 = 4;

/// Shape of the input `x` of [`classifier`].
pub const SHAPE: [usize; 4] = [1, 2, 6, 6];
/// Elements of one sample.
pub const ELEMENTS: usize = 72;

/// A temporary folder in which commands run.
pub struct Desk(tempfile::TempDir);

/// A command that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn npy(&self, name: &str, shape: &[usize], values: Values) -> PathBuf {
        self.write(name, npy(shape, &values))
    }

    /// Writes `samples` samples of noise for [`classifier`].
    pub fn samples(&self, name: &str, samples: usize) -> PathBuf {
        let values = Values::Float(noise(samples * ELEMENTS, 1));
        self.npy(name, &[&[samples], &SHAPE[1..]].concat(), values)
    }

    /// Writes [`classifier`] as `net.onnx` and its plan as `net.s8`.
    pub fn plan(&self) -> PathBuf {
        self.write("net.onnx", classifier().bytes());
        self.run(&["quantize", "net.onnx", "--calib", "random:7", "--out", "net.s8", "--quiet"]).done();
        self.path("net.s8")
    }

    /// A command that would run in this folder, and would print a backtrace if it panicked.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).current_dir(self.0.path()).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }
}

impl Ended {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts success.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Asserts the exit code and that there is one message, which has the words, and no trace of a panic.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        let text = &self.stderr;
        assert_eq!(self.code, Some(code), "{text}");
        assert_eq!(text.matches("error: ").count(), 1, "one message: {text}");
        for trace in ["panicked", "backtrace", "RUST_BACKTRACE", "unwrap", ".rs:"] {
            assert!(!text.contains(trace) && !self.stdout.contains(trace), "`{trace}` in: {text}");
        }
        for word in words {
            assert!(text.contains(word), "`{word}` is missing in: {text}");
        }
        self
    }

    /// The object on standard output, which holds nothing else.
    pub fn json(&self) -> serde_json::Value {
        self.object(1)
    }

    /// That object, where it is the report of `quantize`.
    #[allow(dead_code, reason = "not every test file quantizes")]
    pub fn report(&self) -> serde_json::Value {
        self.object(xtask::report::SCHEMA)
    }

    fn object(&self, schema: u32) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(value["schema"], schema);
        value
    }
}

/// A small classifier: `x` of [`SHAPE`] in, four logits `y` out.
pub fn classifier() -> ModelBuilder {
    ModelBuilder::new(17)
        .input("x", &SHAPE.map(|dim| dim as i64))
        .floats("filter", &[4, 2, 3, 3], &noise(72, 2))
        .floats("bias", &[4], &noise(4, 3))
        .floats("dense", &[4, 4], &noise(16, 4))
        .node(node("Conv", &["x", "filter", "bias"], "conv").with(ints("pads", &[1, 1, 1, 1])))
        .node(node("Relu", &["conv"], "relu"))
        .node(node("GlobalAveragePool", &["relu"], "mean"))
        .node(node("Flatten", &["mean"], "flat"))
        .node(node("MatMul", &["flat", "dense"], "y"))
        .output("y")
}

/// Numbers in [−1, 1) that are the same in every run.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = still8_validation::random::SplitMix64::new(seed);
    (0..count).map(|_| random.uniform([-1.0, 1.0])).collect()
}

/// A `.npy` file.
pub fn npy(shape: &[usize], values: &Values) -> Vec<u8> {
    let mut file = Vec::new();
    write_npy(&mut file, shape, values).unwrap();
    file
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
