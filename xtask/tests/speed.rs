//! What quantizing takes: MobileNetV1-0.25 on 96 × 96 pixels with 200 calibration samples and default settings, by the
//! command itself.
//!
//! Processor time stands for wall-clock time on two cores, which other work on the machine does not change much.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use still8_validation::data::{Dataset, save};
use still8_validation::fields::smooth;
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["quantize", "vww", "--quiet", "--calib"])
        .args([&calibration, Path::new("--out"), &folder.path().join("vww.s8")])
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
    println!("{cpu:.1} s of processor time, {} MiB at most", rss >> 10);
    assert!(cpu > 0.0 && cpu <= CPU_SECONDS, "{cpu} s");
    assert!(rss > 0 && rss << 10 <= RSS_BYTES, "{rss} KiB");
}
