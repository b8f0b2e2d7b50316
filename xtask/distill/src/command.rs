//! `cargo xtask distill MODEL`: trains, writes the student and its files, quantizes and validates it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8_validation::model::FILE_NAME;
use still8_validation::validate as validation;
use still8_validation::{Failure, Result, files};
use xtask::commands::{target_dir, validate};
use xtask::console::Console;
use xtask::engine::Place;

use crate::run::{Bench, Teaching, Trained};
use crate::train::Epoch;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The model's folder, whose model.toml has a table [distill].
    pub model: PathBuf,
    /// A few minutes on the data that `distill.quick` names; the student goes to --out, the folder stays as it is.
    #[arg(long)]
    pub quick: bool,
    /// Folder for the student and its files [default: the model's; with --quick target/still8/distill/NAME-quick].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Learn from labels alone, as a comparison; needs --out.
    #[arg(long, requires = "out")]
    pub labels_only: bool,
    /// Forget earlier checkpoints.
    #[arg(long)]
    pub restart: bool,
}

/// What the command says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this object.
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// What the student is.
    pub student: String,
    /// Its ONNX file.
    pub onnx: PathBuf,
    /// Its ONNX file in QDQ form.
    pub quantized: Option<PathBuf>,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiply-accumulates of one inference.
    pub macs: usize,
    /// One entry an epoch.
    pub log: Vec<Epoch>,
    /// Teacher, float and int8 student on the shipped test data.
    pub validation: Option<validation::Report>,
}

/// Trains, writes and validates.
///
/// # Errors
/// By the exit codes of the command contract; nothing is lost then: the last checkpoint stays.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let bench = Bench::open(&options.model, options.quick, console)?;
    let name = bench.model.recipe().name.clone();
    let made =
        target_dir().join("distill").join(if options.quick { format!("{name}-quick") } else { name.clone() });
    let in_place = options.out.is_none() && !options.quick;
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| if in_place { bench.model.folder().to_owned() } else { made.clone() });
    let work = if options.labels_only { made.join("labels") } else { made.clone() };
    if options.restart {
        for phase in ["float", "int8"] {
            let _ = std::fs::remove_file(work.join(format!("{phase}.checkpoint")));
        }
    }
    lineage(&bench, console);
    let teaching = if options.labels_only { Teaching::Labels } else { Teaching::Distilled };
    let student = bench.config.student.clone();
    let trained = bench.train(&student, teaching, Some(&work), bench.config.seed)?;
    let metadata = metadata(&bench)?;
    let metadata: Vec<(&str, &str)> =
        metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let onnx = out.join("student.onnx");
    files::write_atomically(&onnx, |file| file.write_all(&bench.onnx(&trained.float, &metadata)))?;
    let quantized = match &trained.quantized {
        Some(net) => {
            let path = out.join("student.qdq.onnx");
            files::write_atomically(&path, |file| file.write_all(&bench.onnx(net, &metadata)))?;
            Some(path)
        }
        None => None,
    };
    let folder = settle(&bench, &trained, &out, (&onnx, quantized.as_deref()), in_place)?;
    let validation = validated(&folder, console)?;
    Ok(Report {
        schema: 1,
        model: name,
        student: student.describe(),
        onnx,
        quantized,
        parameters: trained.float.parameters(),
        macs: trained.float.macs(),
        log: trained.log,
        validation: Some(validation),
    })
}

/// Prints whose work the student is made of.
fn lineage(bench: &Bench, console: Console) {
    let recipe = bench.model.recipe();
    if let Some(teacher) = &recipe.teacher {
        let permission = teacher.permits_distillation.as_deref().unwrap_or_default();
        console.say(format!(
            "teacher: {}; licence {}; distillation: {permission}",
            teacher.origin, teacher.licence
        ));
    }
    for source in &recipe.sources {
        console.say(format!("data: {}; licence {}", source.name, source.licence));
    }
}

/// What the student's files say of where they came from.
fn metadata(bench: &Bench) -> Result<Vec<(String, String)>> {
    let recipe = bench.model.recipe();
    let file = bench.model.folder().join(FILE_NAME);
    let table = recipe.distill.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut entries = vec![
        ("still8.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("still8.seed", bench.config.seed.to_string()),
        ("still8.recipe_sha256", files::sha256_hex(table.as_bytes())),
    ];
    if let Some(teacher) = &recipe.teacher {
        entries.push(("still8.teacher_sha256", teacher.sha256.as_str().to_owned()));
        entries.push(("still8.teacher_licence", teacher.licence.clone()));
        entries.push(("still8.teacher_permits", teacher.permits_distillation.clone().unwrap_or_default()));
    }
    if let Some(train) = &recipe.data.train {
        entries.push(("still8.train_sha256", train.sha256.as_str().to_owned()));
    }
    let sources: Vec<String> =
        recipe.sources.iter().map(|source| format!("{} ({})", source.name, source.licence)).collect();
    entries.push(("still8.sources", sources.join("; ")));
    debug_assert!(file.exists());
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Brings hashes and sizes into model.toml: the folder's own, or a copy beside the student that names the folder's data.
fn settle(
    bench: &Bench,
    trained: &Trained,
    out: &Path,
    (onnx, quantized): (&Path, Option<&Path>),
    in_place: bool,
) -> Result<PathBuf> {
    let from = bench.model.folder().join(FILE_NAME);
    let text = files::read(&from)?;
    let text = String::from_utf8_lossy(&text);
    let mut document: toml_edit::DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| Failure::data(&from, error))?;
    let student = &mut document["student"];
    student["file"] = toml_edit::value("student.onnx");
    student["sha256"] = toml_edit::value(files::sha256_file(onnx)?);
    student["parameters"] = toml_edit::value(trained.float.parameters() as i64);
    student["macs"] = toml_edit::value(trained.float.macs() as i64);
    match quantized {
        Some(path) => {
            let mut table = toml_edit::Table::new();
            table["file"] = toml_edit::value("student.qdq.onnx");
            table["sha256"] = toml_edit::value(files::sha256_file(path)?);
            student["quantized"] = toml_edit::Item::Table(table);
        }
        None => {
            student.as_table_mut().and_then(|table| table.remove("quantized"));
        }
    }
    if !in_place {
        let folder =
            std::path::absolute(bench.model.folder()).map_err(|error| Failure::data(&from, error))?;
        let absolute = |item: Option<&mut toml_edit::Item>| {
            let Some(file) = item.and_then(|item| item.get_mut("file")) else { return };
            if let Some(name) = file.as_str() {
                *file = toml_edit::value(folder.join(name).to_string_lossy().into_owned());
            }
        };
        absolute(document.get_mut("teacher"));
        for kind in ["calibration", "test", "full", "train", "holdout"] {
            absolute(document["data"].get_mut(kind));
        }
    }
    let path = out.join(FILE_NAME);
    files::write_atomically(&path, |file| file.write_all(document.to_string().as_bytes()))?;
    Ok(out.to_owned())
}

/// Teacher, float and int8 student on the shipped test data.
fn validated(folder: &Path, console: Console) -> Result<validation::Report> {
    let options = validate::Options {
        model: folder.to_owned(),
        of: None,
        on: Place::Host,
        samples: None,
        data: "shipped".to_owned(),
    };
    validate::run(&options, console)
}
