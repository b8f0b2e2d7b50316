//! The command: teacher and data in, student out, with what was measured on the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use still8_validation::data::Dataset;
use still8_validation::model::{DataKind, FILE_NAME, Model};
use still8_validation::recipe::{self, Precision};
use still8_validation::{Failure, Result, files};
use xtask::commands::target_dir;
use xtask::console::Console;
use xtask::quantize::Progress;

use crate::augment::Augment;
use crate::checks::{permitted, require_classes};
use crate::config::{Config, Schedule};
use crate::engine::net::{Layer, Net};
use crate::export::{self, Edge};
use crate::hints::Hint;
use crate::quantized::{folded, input_scale, unscaled, with_fake};
use crate::samples::{Order, Samples, geometry};
use crate::student::{Student, build};
use crate::teacher::{Answers, Teacher};
use crate::train::{Course, Desk, Epoch, Lesson, Task, train};
use crate::units::Units;

/// Share of the training samples that are held out where the recipe names no others.
const HOLDOUT: usize = 20;

/// Everything that a training reads, open and checked.
pub struct Bench {
    /// The recipe.
    pub model: Model,
    /// `[distill]`.
    pub config: Config,
    /// Samples.
    pub train: Samples,
    /// Held-out samples.
    pub holdout: Samples,
    /// `[h, w, c]` of a sample.
    pub shape: [usize; 3],
    order: Order,
    /// What samples are multiplied by.
    pub scale: f32,
    task: Task,
    units: Units,
    teacher: Option<Teacher>,
    answers: Vec<Answers>,
    holdout_answers: Option<Answers>,
    /// Hash of the file of training samples.
    pub train_sha256: String,
    /// Limits that a student of `--quick` is judged by.
    pub quick_thresholds: Option<toml::Table>,
    /// Folder of checkpoints, logs and, where they do not go to the model's own, students.
    pub work: PathBuf,
    /// Whether earlier checkpoints are forgotten.
    pub restart: bool,
    console: Console,
}

/// How a student is taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Teaching {
    /// On labels alone, in float: what distilling is compared with.
    Labels,
    /// By the teacher, then with fake quantization where the recipe says so.
    Distilled,
}

impl Teaching {
    /// In reports, and in names of folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Distilled => "distilled",
        }
    }
}

/// What a teacher is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: it is trained itself.
    Nothing,
    /// The held-out samples, by which a student of labels alone is compared with it.
    HeldOut,
    /// The training samples as well, in all their views.
    Everything,
}

/// A trained student.
pub struct Trained {
    /// After training in float: folded, for samples that are not scaled.
    pub before: Net,
    /// In float, after all of it.
    pub float: Net,
    /// The same with fake quantization, where it was fine-tuned so.
    pub quantized: Option<Net>,
    /// One entry an epoch.
    pub log: Vec<Epoch>,
}

impl Bench {
    /// Opens a model's folder and asks the teacher.
    ///
    /// # Errors
    /// By the exit codes of the command contract: recipe 2, data 4, what must be fetched first 5.
    pub fn open(path: &Path, quick: bool, asked: Asked, console: Console) -> Result<Self> {
        let model = Model::open(path)?;
        let recipe = model.recipe();
        let file = model.folder().join(FILE_NAME);
        let Some(table) = &recipe.distill else {
            return Err(Failure::Usage(format!(
                "{}: there is no [distill]; models/README.md says what belongs there",
                file.display()
            )));
        };
        let config = Config::parse(&file, table)?;
        let config = if quick { config.quick() } else { config };
        permitted(&file, recipe)?;
        let (shape, order) = geometry(&recipe.input.shape, config.layout)?;
        let (data, train_sha256) = match (&config.quick.data, &recipe.data.train) {
            (Some(short), _) if quick => {
                let path = model.folder().join(short);
                (Dataset::load(&path, &[model.input()])?, files::sha256_file(&path)?)
            }
            (_, entry) => {
                let data = model.dataset(DataKind::Train)?;
                (data, entry.as_ref().map_or_else(String::new, |entry| entry.sha256.as_str().to_owned()))
            }
        };
        let train = Samples::new(&data, shape, order)?;
        let (train, holdout) = match (&recipe.data.holdout, quick && config.quick.data.is_some()) {
            (Some(_), false) => {
                let held = Samples::new(&model.dataset(DataKind::Holdout)?, shape, order)?;
                (train, held)
            }
            _ => split(&train),
        };
        let task = match recipe.task {
            recipe::Task::Classification => Task::Classification,
            recipe::Task::Anomaly => Task::Reconstruction,
            recipe::Task::Regression => Task::Regression,
        };
        // What is read after training is looked at before it.
        let [test, calibration] = [DataKind::Test, DataKind::Calibration].map(|kind| model.dataset(kind));
        let (test, _) = (test?, calibration?);
        if task == Task::Classification {
            for (split, labels) in
                [("training", &train.labels), ("held-out", &holdout.labels), ("test", &test.labels)]
            {
                require_classes(&file, recipe, split, labels.as_deref())?;
            }
        }
        let range = model.input().range;
        let largest = range.map_or_else(|| largest_of(&train), |[low, high]| low.abs().max(high.abs()));
        let suffix = if quick { "-quick" } else { "" };
        let mut bench = Self {
            restart: false,
            train_sha256,
            quick_thresholds: config.quick.thresholds.clone().filter(|_| quick),
            work: target_dir().join("distill").join(format!("{}{suffix}", recipe.name)),
            scale: input_scale(largest),
            train,
            holdout,
            shape,
            order,
            task,
            units: Units::NONE,
            teacher: None,
            answers: Vec::new(),
            holdout_answers: None,
            console,
            config,
            model,
        };
        if asked != Asked::Nothing {
            bench.ask(asked)?;
        }
        let labelled = match task {
            Task::Classification => bench.train.labels.is_some(),
            Task::Reconstruction => true,
            Task::Regression => bench.train.targets.is_some(),
        };
        if !labelled && bench.answers.is_empty() {
            return Err(Failure::Usage(
                "there are neither answers of a teacher nor labels: nothing to learn from".into(),
            ));
        }
        if task == Task::Regression {
            bench.units = bench.learned_units()?;
        }
        Ok(bench)
    }

    /// In which units quantities are learned: by the labels, else by what the teacher says.
    fn learned_units(&self) -> Result<Units> {
        let told = |answers: &Answers| (0..answers.len()).map(|i| answers.get(i, 0).collect()).collect();
        let rows = self.train.targets.clone().or_else(|| self.answers.first().map(told)).unwrap_or_default();
        if let Some(sample) = rows.iter().position(|row| row.iter().any(|y| !y.is_finite())) {
            return Err(Failure::Data(format!(
                "the teacher's answer for training sample {sample} is no number, or beyond ±65,504"
            )));
        }
        Ok(Units::of(&rows))
    }

    /// Asks the teacher, if there is one.
    fn ask(&mut self, asked: Asked) -> Result<()> {
        let recipe = self.model.recipe();
        let Some(first) = self.model.teacher()? else {
            return Ok(());
        };
        let folder = self.model.folder();
        let others = self.config.committee.iter().map(|file| folder.join(file));
        let paths: Vec<PathBuf> = std::iter::once(first).chain(others).collect();
        let hints: Vec<String> = self.config.hints.iter().map(|hint| hint.teacher.clone()).collect();
        let teacher = Teacher::load(&paths, &recipe.output.name, &hints, &recipe.input.shape)?;
        let outputs = self.outputs();
        if teacher.sizes[0] != outputs {
            return Err(Failure::data(
                &paths[0],
                match self.task {
                    Task::Classification => format!(
                        "the teacher gives {} elements, but the model has {outputs} classes",
                        teacher.sizes[0]
                    ),
                    Task::Regression => format!(
                        "the teacher gives {} elements, but the model has {outputs} quantities",
                        teacher.sizes[0]
                    ),
                    Task::Reconstruction => format!(
                        "the teacher gives {} elements, but an anomaly model gives back its input, which has {outputs}",
                        teacher.sizes[0]
                    ),
                },
            ));
        }
        let cache = target_dir().join("distill/answers");
        let ask = |samples: &Samples, view: usize, augment: &Augment| {
            let hash = content_hash(samples);
            teacher.answers(samples, &hash, (augment, self.config.seed, view), &cache, self.console)
        };
        let views = if asked == Asked::Everything { self.config.views } else { 0 };
        let mut answers: Vec<Answers> =
            (0..views).map(|view| ask(&self.train, view, &self.config.augment)).collect::<Result<_>>()?;
        if self.config.fresh && !answers.is_empty() {
            answers = vec![Answers::mean(&answers)];
        }
        let holdout = ask(&self.holdout, 0, &Augment::default())?;
        (self.answers, self.holdout_answers, self.teacher) = (answers, Some(holdout), Some(teacher));
        Ok(())
    }

    /// Elements of the output.
    pub fn outputs(&self) -> usize {
        match self.task {
            Task::Classification | Task::Regression => self.model.recipe().names().len(),
            Task::Reconstruction => self.shape.iter().product(),
        }
    }

    /// Bits of a layer's weights.
    fn bits(&self, layer: &str) -> u8 {
        let pins = &self.model.recipe().quantize.layer;
        match pins.iter().find(|pin| pin.name == layer).map(|pin| pin.bits) {
            Some(Precision::Int4) => 4,
            _ => 8,
        }
    }

    /// The network of a student, untrained.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the layers do not fit.
    pub fn student(&self, student: &Student, seed: u64) -> Result<Net> {
        let made = student
            .layers(self.shape, self.outputs())
            .and_then(|layers| build(&layers, self.shape, self.outputs(), seed));
        let mut net = made.map_err(|why| {
            Failure::Usage(format!("{}: {why}", self.model.folder().join(FILE_NAME).display()))
        })?;
        // The last layer is dense, with a bias.
        if let Some(Layer::Conv { bias: Some(bias), .. }) = net.nodes.last().map(|node| &node.layer)
            && !self.units.means.is_empty()
        {
            net.params[*bias].data.clone_from(&self.units.means);
        }
        Ok(net)
    }

    fn lesson(&self, teaching: Teaching, seed: u64) -> Lesson<'_> {
        let distilled = teaching == Teaching::Distilled;
        let hint = |hint: &Hint| (hint.student.clone(), hint.kind, hint.weight);
        let hints = if distilled { self.config.hints.iter().map(hint).collect() } else { Vec::new() };
        Lesson {
            task: self.task,
            train: &self.train,
            holdout: &self.holdout,
            answers: if distilled { &self.answers } else { &[] },
            holdout_answers: self.holdout_answers.as_ref(),
            fresh: self.config.fresh,
            augment: &self.config.augment,
            loss: self.config.loss,
            hints,
            scale: self.scale,
            units: &self.units,
            seed,
        }
    }

    /// Where a training keeps its checkpoints: a later one that is the same takes them up.
    pub fn folder(&self, teaching: Teaching, seed: u64) -> PathBuf {
        match (teaching, seed == self.config.seed) {
            (Teaching::Distilled, true) => self.work.clone(),
            _ => self.work.join(format!("{}-{seed}", teaching.name())),
        }
    }

    fn course(&self) -> Course {
        let Schedule { epochs, batch, rate, warm_up, decay, average, patience } = self.config.schedule;
        Course { epochs, batch, rate, warm_up, decay, average, patience }
    }

    /// Trains a student: in float, then with fake quantization. Its checkpoints are in `folder`.
    ///
    /// # Errors
    /// Those of [`train`].
    pub fn train(
        &self,
        student: &Student,
        teaching: Teaching,
        folder: Option<&Path>,
        seed: u64,
    ) -> Result<Trained> {
        let (lesson, course) = (self.lesson(teaching, seed), self.course());
        let mut net = self.student(student, seed)?;
        let log_file = folder.map(|folder| folder.join("log.jsonl"));
        let run = |net: &mut Net, lesson: &Lesson<'_>, course: &Course, phase: &str, before: &[Epoch]| {
            let bar = self.console.progress(&format!("training, {phase}"));
            bar.start(course.epochs * (self.train.len() / course.batch.min(self.train.len())));
            let epoch = |log: &[Epoch]| {
                if let Some(last) = log.last() {
                    self.console.note(line(last, course.epochs));
                }
                let all: Vec<&Epoch> = before.iter().chain(log).collect();
                log_file.as_deref().map_or(Ok(()), |file| write_log(file, &all))
            };
            let checkpoint = folder.map(|folder| folder.join(format!("{phase}.checkpoint")));
            if let (Some(path), true) = (&checkpoint, self.restart) {
                let _ = std::fs::remove_file(path);
            }
            let desk = Desk { checkpoint, epoch: &epoch, step: &|_, _| bar.step(), stop_after: None };
            train(net, lesson, course, phase, &desk)
        };
        let mut log = run(&mut net, &lesson, &course, "float", &[])?;
        let net = folded(&net);
        let fine = self.config.quantization.filter(|fine| fine.epochs > 0 && teaching == Teaching::Distilled);
        let Some(fine) = fine else {
            let float = unscaled(&net, self.scale, self.units.scale);
            return Ok(Trained { before: float.clone(), float, quantized: None, log });
        };
        let before = unscaled(&net, self.scale, self.units.scale);
        let range = self.model.input().range;
        let mut net = with_fake(&net, &self.train, self.scale, range, |layer| self.bits(layer));
        let course = Course {
            epochs: fine.epochs,
            rate: fine.rate,
            warm_up: 0.0,
            decay: 0.0,
            patience: None,
            ..course
        };
        log.extend(run(&mut net, &lesson, &course, "int8", &log)?);
        let net = unscaled(&net, self.scale, self.units.scale);
        Ok(Trained { before, float: export::float(&net), quantized: Some(net), log })
    }

    /// What a student reaches on held-out samples after a few epochs: agreement with the teacher, else accuracy, else a
    /// small loss.
    ///
    /// # Errors
    /// Those of [`train`].
    pub fn trial(&self, student: &Student, teaching: Teaching, epochs: usize) -> Result<f64> {
        let lesson = self.lesson(teaching, self.config.seed);
        let mut net = self.student(student, self.config.seed)?;
        let course = Course { epochs, ..self.course() };
        let bar = self.console.progress(&student.describe());
        bar.start(epochs * (self.train.len() / course.batch.min(self.train.len())));
        let desk = Desk { step: &|_, _| bar.step(), ..Desk::SILENT };
        let log = train(&mut net, &lesson, &course, "float", &desk)?;
        Ok(log.last().map_or(0.0, |last| last.agreement.or(last.accuracy).unwrap_or(-last.holdout_loss)))
    }

    /// The ONNX file of a network.
    pub fn onnx(&self, net: &Net, metadata: &[(String, String)]) -> Vec<u8> {
        let metadata: Vec<(&str, &str)> =
            metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let recipe = self.model.recipe();
        let edge = Edge {
            name: &recipe.name,
            input: &recipe.input.name,
            shape: &recipe.input.shape,
            layout: self.config.layout,
            output: &recipe.output.name,
        };
        debug_assert!(self.order == Order::Same || self.config.layout == crate::config::Layout::Nchw);
        export::onnx(net, &edge, &metadata)
    }
}

/// Training samples and held-out ones: every twentieth of each class, beginning with its first.
fn split(samples: &Samples) -> (Samples, Samples) {
    let mut seen: HashMap<Option<usize>, usize> = HashMap::new();
    let (held, kept): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(|&i| {
        let count = seen.entry(samples.labels.as_ref().map(|labels| labels[i])).or_default();
        *count += 1;
        *count % HOLDOUT == 1
    });
    (samples.pick(&kept), samples.pick(&held))
}

fn largest_of(samples: &Samples) -> f32 {
    (0..samples.len().min(1000)).flat_map(|i| samples.get(i)).fold(0.0, |most, x| most.max(x.abs()))
}

/// Hash of the samples' values.
fn content_hash(samples: &Samples) -> String {
    let rows: Vec<u8> =
        (0..samples.len()).flat_map(|i| samples.get(i)).flat_map(|x| x.to_le_bytes()).collect();
    files::sha256_hex(&rows)
}

/// An epoch in one line.
pub fn line(epoch: &Epoch, of: usize) -> String {
    let percent = |value: Option<f64>| xtask::console::percent(value);
    let Epoch { phase, epoch: number, train_loss, holdout_loss, accuracy, agreement, .. } = epoch;
    let mut line = format!("{phase} epoch {number}/{of}: loss {train_loss:.4}, held out {holdout_loss:.4}");
    // A reconstruction has neither.
    if accuracy.or(*agreement).is_some() {
        line += &format!(", accuracy {}, agreement {}", percent(*accuracy), percent(*agreement));
    }
    line
}

fn write_log(file: &Path, log: &[&Epoch]) -> Result<()> {
    files::write_atomically(file, |file| {
        for epoch in log {
            serde_json::to_writer(&mut *file, epoch)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
