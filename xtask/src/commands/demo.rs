//! `cargo xtask demo`: the main job, once, on every model that ships.

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8_validation::render::{lost, measure};
use still8_validation::validate::Report as Validation;
use still8_validation::{Failure, Result};

use crate::boards::Core;
use crate::commands::{bench, flash, setup, validate};
use crate::console::{Console, percent, table};
use crate::engine::Place;

/// Samples that run on the emulated core.
const DEVICE_SAMPLES: usize = 200;
/// The board that shows the application.
const BOARD: &str = "mps2-an386";

/// The command's report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub models: Vec<Model>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    pub passed: bool,
}

/// One model's way.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Model {
    pub model: String,
    pub host: Validation,
    pub device: Option<Validation>,
    pub bench: Option<bench::Measurement>,
    /// Log of the application on the emulated board.
    pub log: Vec<String>,
}

/// Sets up what is missing, then quantizes, validates on the host, builds the firmware, runs it on the emulated
/// Cortex-M4 and validates there. Without an emulator the host's steps are done all the same.
///
/// # Errors
/// Those of the steps; a missed limit is in the report.
pub fn run(console: Console) -> Result<Report> {
    console.note("looking for Arm targets and the emulator (cargo xtask setup)");
    let tools = setup::run(false)?;
    for item in tools.items.iter().filter(|item| item.state == setup::State::Installed) {
        console.note(format!("installed {}: {}", item.name, item.note));
    }
    let quiet = Console { quiet: true, ..console };
    let mut left_out = Vec::new();
    let mut models = Vec::new();
    for folder in bench::every_model(console)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        console.note(format!("{name}: quantizing, validating on the host"));
        let host = validate::run(&options(&folder, Place::Host, None), quiet)?;
        let mut model = Model { model: name, host, device: None, bench: None, log: Vec::new() };
        if left_out.is_empty() {
            console.note(format!(
                "{}: building firmware, running {DEVICE_SAMPLES} samples on the emulated Cortex-M4",
                model.model
            ));
            match on_device(&folder, &mut model, quiet) {
                // What only other cores need may be missing all the same.
                Err(Failure::Missing(what)) => left_out.push(format!("the emulated Cortex-M4: {what}")),
                other => other?,
            }
        }
        models.push(model);
    }
    let passed = models.iter().all(|model| {
        let equal = |device: &Validation| device.byte_mismatches == Some(0);
        model.host.passed == Some(true) && model.device.as_ref().is_none_or(equal)
    });
    let report = Report { schema: 1, models, left_out, passed };
    console.say(render(&report));
    Ok(report)
}

/// The steps that need firmware and the emulator.
fn on_device(folder: &Path, model: &mut Model, console: Console) -> Result<()> {
    let on = Place::Core(Core::CortexM4);
    model.device = Some(validate::run(&options(folder, on, Some(DEVICE_SAMPLES)), console)?);
    let folder = folder.to_owned();
    let bench =
        bench::Options { models: vec![folder.clone()], on: vec![Core::CortexM4], ..Default::default() };
    model.bench = bench::run(&bench, console)?.results.pop();
    model.log =
        flash::run(&flash::Options { model: folder, board: BOARD.to_owned(), no_log: false }, console)?.log;
    Ok(())
}

/// The failure that a demo with a missed limit is.
///
/// # Errors
/// [`Failure::Missed`].
pub fn missed(report: &Report) -> Result<()> {
    if report.passed {
        return Ok(());
    }
    Err(Failure::Missed(
        "a model misses its limits, or the device's bytes differ from the host's; see the table".into(),
    ))
}

fn options(model: &Path, on: Place, samples: Option<usize>) -> validate::Options {
    validate::Options { model: PathBuf::from(model), of: None, on, samples, data: "shipped".to_owned() }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    for model in report.models.iter().filter(|model| !model.log.is_empty()) {
        text += &format!("The application with `{}` inside, on the emulated board:\n", model.model);
        text += &model.log.iter().map(|line| format!("  {line}\n")).collect::<String>();
    }
    let mut summary = table(&[
        "model",
        "teacher",
        "float",
        "int8",
        "lost distilling",
        "lost quantizing",
        "int8=float",
        "limits",
        "Cortex-M4 bytes",
        "instructions",
        "plan",
        "arena",
    ]);
    for model in &report.models {
        let host = &model.host;
        let device = match &model.device {
            None => "not run".to_owned(),
            Some(device) => match device.byte_mismatches {
                Some(0) => format!("equal, {} samples", device.samples),
                Some(n) => format!("{n} DIFFER"),
                None => "-".to_owned(),
            },
        };
        let measured = model.bench.as_ref();
        let number = |value: Option<usize>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        summary.add_row([
            model.model.clone(),
            measure(host.teacher),
            measure(host.float),
            measure(Some(host.int8)),
            lost(host.task, host.loss.distillation),
            lost(host.task, host.loss.quantization),
            percent(host.agreement.float_int8),
            if host.passed == Some(true) { "hold".to_owned() } else { "MISSED".to_owned() },
            device,
            measured.and_then(|m| m.instructions).map_or_else(|| "-".to_owned(), |n| format!("{n:.0}")),
            number(measured.map(|m| m.plan_bytes)),
            number(measured.map(|m| m.arena_bytes)),
        ]);
    }
    text += &summary.to_string();
    for left_out in &report.left_out {
        text += &format!("\nleft out: {left_out}");
    }
    text
}
