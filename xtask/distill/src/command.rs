//! `cargo xtask distill MODEL`: trains, writes the student and its files, quantizes and validates it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8::format::Family;
use still8_validation::model::FILE_NAME;
use still8_validation::validate as validation;
use still8_validation::{Failure, Result, files};
use xtask::commands::validate;
use xtask::console::Console;
use xtask::engine::Place;

use crate::committee::committee;
use crate::compare::{self, Row};
use crate::engine::net::Net;
use crate::page;
use crate::run::{Asked, Bench, Teaching};
use crate::search::{self, Budget, Candidate};
use crate::student::Student;
use crate::train::Epoch;

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The model's folder, whose model.toml has a table `distill`.
    pub model: PathBuf,
    /// A few minutes on the data that `distill.quick` names; the student goes to --out, the folder stays as it is.
    #[arg(long)]
    pub quick: bool,
    /// Folder for the student and its files [default: the model's; with --quick or --labels-only below target/still8/distill].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Learn from labels alone, as a comparison.
    #[arg(long)]
    pub labels_only: bool,
    /// Train the teacher that `distill.teacher` describes, on labels alone, instead of a student.
    #[arg(long, conflicts_with_all = ["labels_only", "budget", "out", "quick", "compare"])]
    pub teacher: bool,
    /// Train no student to keep, but the same one on labels alone, distilled, and quantization-aware, for so many seeds.
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["labels_only", "budget", "out"])]
    pub compare: Option<u64>,
    /// Search widths and depths of the student's family for the best one within limits: flash=64K,ram=16K,macs=2M (of the plan,
    /// of the arena, of one inference).
    #[arg(long, value_name = "LIMITS")]
    pub budget: Option<Budget>,
    /// The board that a searched student must fit, beside an application; needs --budget.
    #[arg(long, value_name = "BOARD", requires = "budget")]
    pub board: Option<String>,
    /// Forget earlier checkpoints.
    #[arg(long)]
    pub restart: bool,
    /// Also write the report: a self-contained page [default: report.html beside the checkpoints].
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
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
    pub onnx: Option<PathBuf>,
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
    /// What a search tried.
    pub tried: Option<Vec<Candidate>>,
    /// What a comparison found.
    pub comparison: Option<Vec<Row>>,
    /// Teacher and data, with licences and permission.
    pub lineage: Vec<String>,
    /// The page.
    pub page: PathBuf,
}

/// Trains, writes and validates.
///
/// # Errors
/// By the exit codes of the command contract; nothing is lost then: the last checkpoint stays, and a student that misses its
/// limits is written all the same.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let asked = match (options.teacher, options.labels_only) {
        (true, _) => Asked::Nothing,
        (_, true) => Asked::HeldOut,
        _ => Asked::Everything,
    };
    let mut bench = Bench::open(&options.model, options.quick, asked, console)?;
    bench.restart = options.restart;
    let name = bench.model.recipe().name.clone();
    let teaching = if options.labels_only { Teaching::Labels } else { Teaching::Distilled };
    let work = match options.teacher {
        true => bench.work.join("teacher"),
        false => bench.folder(teaching, bench.config.seed),
    };
    let lineage = lineage(&bench);
    lineage.iter().for_each(|line| console.say(line));
    let page = options.report.clone().unwrap_or_else(|| work.join("report.html"));
    let mut report = Report {
        schema: 1,
        model: name,
        student: bench.config.student.describe(),
        onnx: None,
        quantized: None,
        parameters: 0,
        macs: 0,
        log: Vec::new(),
        validation: None,
        tried: None,
        comparison: None,
        lineage,
        page,
    };
    if options.teacher {
        train_teacher(&mut bench, &work, &mut report)?;
    } else if let Some(seeds) = options.compare {
        report.comparison = Some(compare::compare(&bench, seeds, console)?);
    } else {
        if let Some(budget) = options.budget {
            let board = options.board.as_deref().map(search::board).transpose()?;
            let family = board.as_ref().map_or(Family::Portable, |board| board.family());
            let budget = board.as_ref().map_or(Ok(budget), |board| budget.on(board))?;
            let (student, tried) = search::search(&bench, budget, family, console)?;
            report.student = student.describe();
            (bench.config.student, report.tried) = (student, Some(tried));
        }
        teach(&bench, options, (teaching, &work), &mut report, console)?;
    }
    let html = page::html(&report);
    files::write_atomically(&report.page, |file| file.write_all(html.as_bytes()))?;
    console.say(format!("report: {}", report.page.display()));
    report.validation.as_ref().map_or(Ok(()), validate::missed)?;
    Ok(report)
}

/// Trains the teacher and writes it, and what it is, into the model's folder.
fn train_teacher(bench: &mut Bench, work: &Path, report: &mut Report) -> Result<()> {
    let folder = bench.model.folder().to_owned();
    let file = folder.join(FILE_NAME);
    let (Some(course), Some(entry)) = (bench.config.teacher.clone(), &bench.model.recipe().teacher) else {
        let what = "--teacher needs [distill.teacher], and [teacher] to say where the file belongs";
        return Err(Failure::Usage(format!("{}: {what}", file.display())));
    };
    let path = folder.join(&entry.file);
    bench.config.schedule = course.schedule;
    bench.config.quantization = None;
    let seed = bench.config.seed;
    let mut members = Vec::new();
    for (number, seed) in (1..=course.members).zip(seed..) {
        let work = if course.members > 1 { work.join(format!("member{number}")) } else { work.to_owned() };
        let trained = bench.train(&course.student, Teaching::Labels, Some(&work), seed)?;
        members.push(trained.float);
        // The log, and the curves in the report, are those of the last one.
        report.log = trained.log;
    }
    let teacher = committee(&members);
    let bytes = bench.onnx(&teacher, &metadata(bench, (Teaching::Labels, seed)));
    files::write_atomically(&path, |file| file.write_all(&bytes))?;
    edit(&file, &file, |document| state(&mut document["teacher"], &path, &teacher))?;
    report.student = course.student.describe();
    report.onnx = Some(path);
    (report.parameters, report.macs) = (teacher.parameters(), teacher.macs());
    Ok(())
}

/// Trains one student, writes and validates it.
fn teach(
    bench: &Bench,
    options: &Options,
    (teaching, work): (Teaching, &Path),
    report: &mut Report,
    console: Console,
) -> Result<()> {
    let in_place = options.out.is_none() && !options.quick && teaching == Teaching::Distilled;
    let home = if in_place { bench.model.folder() } else { work };
    let out = options.out.as_deref().unwrap_or(home);
    let seed = bench.config.seed;
    let trained = bench.train(&bench.config.student, teaching, Some(work), seed)?;
    let (folder, onnx, quantized) =
        write_student(bench, (teaching, seed), (&trained.float, trained.quantized.as_ref()), out, in_place)?;
    (report.onnx, report.quantized) = (Some(onnx), quantized);
    (report.parameters, report.macs) = (trained.float.parameters(), trained.float.macs());
    report.log = trained.log;
    report.validation = Some(validated(&folder, console)?);
    Ok(())
}

/// Whose work the student is made of.
fn lineage(bench: &Bench) -> Vec<String> {
    let recipe = bench.model.recipe();
    let teacher = recipe.teacher.iter().map(|teacher| {
        let permission = teacher.permits_distillation.as_deref().unwrap_or_default();
        format!(
            "teacher {}: {}; licence {}; distillation permitted: {permission}",
            teacher.sha256.as_str(),
            teacher.origin,
            teacher.licence
        )
    });
    let sources =
        recipe.sources.iter().map(|source| format!("data: {}; licence {}", source.name, source.licence));
    teacher.chain(sources).collect()
}

/// What the files of a student that was taught so, from this seed, say of where they came from.
fn metadata(bench: &Bench, (teaching, seed): (Teaching, u64)) -> Vec<(String, String)> {
    let recipe = bench.model.recipe();
    let table = recipe.distill.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut entries = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("seed", seed.to_string()),
        ("recipe_sha256", files::sha256_hex(table.as_bytes())),
    ];
    if let (Some(teacher), Teaching::Distilled) = (&recipe.teacher, teaching) {
        entries.push(("teacher_sha256", teacher.sha256.as_str().to_owned()));
        entries.push(("teacher_licence", teacher.licence.clone()));
        entries.push(("teacher_permits", teacher.permits_distillation.clone().unwrap_or_default()));
    }
    entries.push(("train_sha256", bench.train_sha256.clone()));
    let source = |source: &still8_validation::recipe::Source| {
        let date = source.date.as_deref().map_or_else(String::new, |date| format!(", {date}"));
        format!("{}{date} ({})", source.name, source.licence)
    };
    entries.push(("sources", recipe.sources.iter().map(source).collect::<Vec<_>>().join("; ")));
    entries.into_iter().map(|(key, value)| (format!("still8.{key}"), value)).collect()
}

/// Writes the student in float and, where it was trained so, in QDQ form, and a model.toml that names them. Returns the
/// folder and both files.
pub(crate) fn write_student(
    bench: &Bench,
    taught: (Teaching, u64),
    (float, quantized): (&Net, Option<&Net>),
    out: &Path,
    in_place: bool,
) -> Result<(PathBuf, PathBuf, Option<PathBuf>)> {
    let metadata = metadata(bench, taught);
    let write = |name: &str, net: &Net| {
        let path = out.join(name);
        let bytes = bench.onnx(net, &metadata);
        files::write_atomically(&path, |file| file.write_all(&bytes)).map(|()| path)
    };
    let onnx = write("student.onnx", float)?;
    let quantized = quantized.map(|net| write("student.qdq.onnx", net)).transpose()?;
    settle(bench, float, out, (&onnx, quantized.as_deref()), in_place)?;
    Ok((out.to_owned(), onnx, quantized))
}

/// Brings hashes and sizes into model.toml: the folder's own, or a copy beside the student that names the folder's data.
fn settle(
    bench: &Bench,
    student: &Net,
    out: &Path,
    (onnx, quantized): (&Path, Option<&Path>),
    in_place: bool,
) -> Result<()> {
    let from = bench.model.folder().join(FILE_NAME);
    let folder = std::path::absolute(bench.model.folder()).map_err(|error| Failure::data(&from, error))?;
    edit(&from, &out.join(FILE_NAME), |document| {
        state(&mut document["student"], onnx, student)?;
        document["student"]["file"] = toml_edit::value("student.onnx");
        if let Some(path) = quantized {
            let mut entry = toml_edit::Table::new();
            entry["file"] = toml_edit::value("student.qdq.onnx");
            entry["sha256"] = toml_edit::value(files::sha256_file(path)?);
            document["student"]["quantized"] = toml_edit::Item::Table(entry);
        } else if let Some(table) = document["student"].as_table_mut() {
            table.remove("quantized");
        }
        if let Student { family: Some(_), width, depth, .. } = bench.config.student {
            document["distill"]["student"]["width"] = toml_edit::value(width as i64);
            document["distill"]["student"]["depth"] = toml_edit::value(depth as i64);
        }
        if let Some(limits) = &bench.quick_thresholds {
            document["thresholds"] = parsed(&from, &limits.to_string())?.into_item();
        }
        let absolute = |item: Option<&mut toml_edit::Item>| {
            let Some(file) = item.and_then(|item| item.get_mut("file")).filter(|_| !in_place) else { return };
            if let Some(name) = file.as_str() {
                *file = toml_edit::value(folder.join(name).to_string_lossy().into_owned());
            }
        };
        absolute(document.get_mut("teacher"));
        for kind in ["calibration", "test", "full", "train", "holdout"] {
            // Asking an item for what it has not would add it.
            absolute(document["data"].as_table_like_mut().and_then(|data| data.get_mut(kind)));
        }
        Ok(())
    })
}

/// Hash and size of a network's file, into its table.
fn state(table: &mut toml_edit::Item, file: &Path, net: &Net) -> Result<()> {
    table["sha256"] = toml_edit::value(files::sha256_file(file)?);
    table["parameters"] = toml_edit::value(net.parameters() as i64);
    table["macs"] = toml_edit::value(net.macs() as i64);
    Ok(())
}

/// Writes the TOML file `from`, changed, to `to`; comments and order stay.
fn edit(
    from: &Path,
    to: &Path,
    change: impl FnOnce(&mut toml_edit::DocumentMut) -> Result<()>,
) -> Result<()> {
    let text = files::read(from)?;
    let text = String::from_utf8_lossy(&text);
    let mut document = parsed(from, &text)?;
    change(&mut document)?;
    files::write_atomically(to, |file| file.write_all(document.to_string().as_bytes()))
}

fn parsed(file: &Path, text: &str) -> Result<toml_edit::DocumentMut> {
    text.parse().map_err(|error: toml_edit::TomlError| Failure::data(file, error))
}

/// Teacher, float and int8 student on the shipped test data.
pub(crate) fn validated(folder: &Path, console: Console) -> Result<validation::Report> {
    let options = validate::Options {
        model: folder.to_owned(),
        of: None,
        on: Place::Host,
        samples: None,
        data: "shipped".to_owned(),
    };
    validate::run(&options, console)
}
