//! What quantizing takes: MobileNetV1-0.25 on 96 × 96 pixels with 200 calibration samples and default settings, by the
//! command itself.
//!
//! Processor time stands for wall-clock time on two cores, which other work on the machine does not change much.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use still8_validation::data::{Dataset, Tensor, Values, save};
use still8_validation::fields::smooth;
use still8_validation::host::HostRunner;
use still8_validation::onnx::testing::{ModelBuilder, node};
use still8_validation::random::SplitMix64;
use xtask::quantize::Source;
use xtask::reference;

const SAMPLES: usize = 200;
/// 60 s on two cores.
const CPU_SECONDS: f64 = 120.0;
const RSS_BYTES: u64 = 1 << 30;

/// A number of a line of `/proc/PID/status`, in KiB.
fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().find_map(|word| word.parse().ok())
}

/// User and system time of `/proc/PID/stat`, in seconds: fields 14 and 15, in hundredths.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let behind_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok());
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Runs `quantize`; seconds of processor time, and KiB of memory at most.
fn quantize(arguments: &[&Path]) -> (f64, u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["quantize", "--quiet"])
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut cpu, mut rss) = (0.0, 0);
    let status = loop {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
        cpu = cpu_seconds(&read("stat")).unwrap_or(cpu);
        rss = kib(&read("status"), "VmHWM:").unwrap_or(rss);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    (cpu, rss)
}

#[test]
fn mobilenet_with_200_samples_is_quantized_in_time() {
    if !Path::new("/proc/self/status").is_file() {
        println!("SKIPPED: no /proc to measure by");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_network, onnx) = reference::find(Path::new("vww")).unwrap().temporary().unwrap();
    let source = Source::open(&onnx, &[]).unwrap();
    let data: Dataset = smooth(1, &source.inputs(&Default::default()), SAMPLES);
    let calibration = folder.path().join("calibration.npy");
    save(&calibration, &data.inputs).unwrap();
    let (cpu, rss) = quantize(&[
        Path::new("vww"),
        Path::new("--calib"),
        &calibration,
        Path::new("--out"),
        &folder.path().join("vww.s8"),
    ]);
    println!("{cpu:.1} s of processor time, {} MiB at most", rss >> 10);
    assert!(cpu > 0.0 && cpu <= CPU_SECONDS, "{cpu} s");
    assert!(rss > 0 && rss << 10 <= RSS_BYTES, "{rss} KiB");
}

#[test]
fn memory_does_not_grow_with_the_number_of_samples() {
    if !Path::new("/proc/self/status").is_file() {
        println!("SKIPPED: no /proc to measure by");
        return;
    }
    const INPUTS: usize = 1024;
    let folder = tempfile::tempdir().unwrap();
    let mut random = SplitMix64::new(1);
    let weights: Vec<f32> = (0..4 * INPUTS).map(|_| random.uniform([-0.1, 0.1])).collect();
    let model = ModelBuilder::new(17)
        .input("x", &[1, INPUTS as i64])
        .floats("w", &[INPUTS as i64, 4], &weights)
        .node(node("MatMul", &["x", "w"], "y"))
        .output("y");
    let onnx = folder.path().join("long.onnx");
    std::fs::write(&onnx, model.bytes()).unwrap();
    let measure = |samples: usize, last: f32, form: &str| {
        let path = folder.path().join(format!("{samples}.{form}"));
        let mut values: Vec<f32> = (0..samples * INPUTS).map(|i| (i % 1009) as f32 / 1009.0).collect();
        // Only a look at every sample finds this one.
        values[(samples - 2) * INPUTS + 5] = last;
        let tensor = Tensor::new(vec![samples, INPUTS], Values::Float(values));
        save(&path, &[("x".to_owned(), tensor)]).unwrap();
        let plan = folder.path().join(format!("{samples}.s8"));
        let (_, rss) = quantize(&[
            &onnx,
            Path::new("--calib"),
            &path,
            Path::new("--out"),
            &plan,
            Path::new("--method=minmax"),
        ]);
        let runner = HostRunner::open(&plan).unwrap();
        let scale = runner.plan().input(0).unwrap().quantization.scale;
        (rss, scale)
    };
    for form in ["npy", "npz"] {
        let (few, _) = measure(1500, 1.0, form);
        let (many, scale) = measure(30_000, 51.0, form);
        println!("{form}: {} MiB for 1,500 samples, {} MiB for 30,000 (117 MiB)", few >> 10, many >> 10);
        assert!((scale - 0.2).abs() < 1e-6, "the range holds the largest value: {scale}");
        assert!(many < few + (24 << 10), "{form}: {few} KiB, {many} KiB");
    }
}
