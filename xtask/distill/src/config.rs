//! `[distill]` of `model.toml`: what is trained, on which losses, how long.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use still8_validation::{Failure, Result};

use crate::augment::Augment;
use crate::hints::Hint;
use crate::student::Student;

/// The table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Fixes everything random.
    #[serde(default = "one")]
    pub seed: u64,
    /// Axes of a 4-dimensional input behind the batch.
    #[serde(default)]
    pub layout: Layout,
    /// Further teachers beside `[teacher]`, of the same input and output: a committee, whose outputs are averaged.
    #[serde(default)]
    pub committee: Vec<PathBuf>,
    /// The student.
    pub student: Student,
    /// What is minimized.
    #[serde(default)]
    pub loss: Loss,
    /// Inner values that follow the teacher's.
    #[serde(default, rename = "hint")]
    pub hints: Vec<Hint>,
    /// Augmentations.
    #[serde(default)]
    pub augment: Augment,
    /// Augmented views of each sample, for each of which the teacher is asked once.
    #[serde(default = "one_view")]
    pub views: usize,
    /// Whether the student sees a new view of each sample in every epoch, held to the mean of what the teacher says about the
    /// sample's views.
    #[serde(default)]
    pub fresh: bool,
    /// Training in float.
    pub schedule: Schedule,
    /// The teacher that `--teacher` trains on labels alone.
    pub teacher: Option<TeacherCourse>,
    /// Fine-tuning with fake quantization behind it; absent, the student stays float.
    pub quantization: Option<Quantization>,
    /// What `--quick` changes.
    #[serde(default)]
    pub quick: Quick,
}

/// Axes of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channels first.
    #[default]
    Nchw,
    /// Channels last.
    Nhwc,
}

/// `[distill.loss]`: (1 − teacher) · loss against the labels + teacher · loss against the teacher.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// Share of the teacher.
    pub teacher: f32,
    /// Softens the logits of both (Hinton, Vinyals, Dean, arXiv:1503.02531).
    pub temperature: f32,
    /// Whether the logits of both have their mean taken off and are divided by their deviation first, so that a small student
    /// need not reach the size of its teacher's (Sun, Ren, Li, Wang, Cao, arXiv:2403.01427).
    pub standardize: bool,
}

impl Default for Loss {
    fn default() -> Self {
        Self { teacher: 0.9, temperature: 4.0, standardize: false }
    }
}

/// `[distill.schedule]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a step.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Largest learning rate.
    #[serde(default = "rate")]
    pub rate: f32,
    /// Epochs until the rate is reached.
    #[serde(default = "warm_up")]
    pub warm_up: f32,
    /// Weight decay.
    #[serde(default = "decay")]
    pub decay: f32,
    /// Share of the running average of the weights that a step keeps.
    #[serde(default = "average")]
    pub average: f32,
    /// Epochs without better agreement on held-out samples after which training stops.
    pub patience: Option<usize>,
}

/// `[distill.teacher]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherCourse {
    /// Its layers, as a student's.
    pub student: Student,
    /// Networks of these layers, trained from one seed after the other, of whose outputs it gives the mean.
    #[serde(default = "one_member")]
    pub members: usize,
    /// How each is trained.
    pub schedule: Schedule,
}

/// `[distill.quantization]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// Passes over the data.
    pub epochs: usize,
    /// Largest learning rate.
    #[serde(default = "fine_rate")]
    pub rate: f32,
}

/// `[distill.quick]`: what `--quick` takes instead.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Data instead of `[data.train]`, by its path.
    pub data: Option<PathBuf>,
    /// Epochs in float.
    pub epochs: Option<usize>,
    /// Epochs with fake quantization.
    pub quantization_epochs: Option<usize>,
    /// Views.
    pub views: Option<usize>,
    /// What `validate` judges such a student by, in the place of `[thresholds]`.
    pub thresholds: Option<toml::Table>,
}

fn one() -> u64 {
    1
}
fn one_view() -> usize {
    1
}
fn one_member() -> usize {
    1
}
fn batch() -> usize {
    128
}
fn rate() -> f32 {
    3e-3
}
fn warm_up() -> f32 {
    1.0
}
fn decay() -> f32 {
    0.02
}
fn average() -> f32 {
    0.998
}
fn fine_rate() -> f32 {
    3e-4
}

impl Config {
    /// From the table of a recipe; `path` is for messages.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the key and what is allowed.
    pub fn parse(path: &Path, table: &toml::Table) -> Result<Self> {
        let fail = |what: String| Failure::Usage(format!("{}: [distill]: {what}", path.display()));
        let config: Self =
            table.clone().try_into().map_err(|error: toml::de::Error| fail(error.to_string()))?;
        let positive = |key: &str, value: f32| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(fail(format!("`{key}` must be more than 0, not {value}")))
            }
        };
        let share = |key: &str, value: f32| {
            if (0.0..=1.0).contains(&value) {
                Ok(())
            } else {
                Err(fail(format!("`{key}` is a share from 0 to 1, not {value}")))
            }
        };
        positive("loss.temperature", config.loss.temperature)?;
        share("loss.teacher", config.loss.teacher)?;
        positive("schedule.rate", config.schedule.rate)?;
        share("schedule.average", config.schedule.average)?;
        let members = config.teacher.as_ref().map_or(1, |course| course.members);
        for (key, value) in [
            ("views", config.views),
            ("teacher.members", members),
            ("schedule.epochs", config.schedule.epochs),
            ("schedule.batch", config.schedule.batch),
        ] {
            if value == 0 {
                return Err(fail(format!("`{key}` must be 1 or more")));
            }
        }
        for hint in &config.hints {
            positive("hint.weight", hint.weight)?;
        }
        if config.fresh && !config.hints.is_empty() {
            return Err(fail("hints follow inner values of one view: they need `fresh = false`".into()));
        }
        Ok(config)
    }

    /// With what `--quick` changes.
    #[must_use]
    pub fn quick(mut self) -> Self {
        let Quick { epochs, quantization_epochs, views, .. } = self.quick;
        self.schedule.epochs = epochs.unwrap_or(self.schedule.epochs.min(6));
        self.views = views.unwrap_or(self.views.min(2));
        if let Some(quantization) = &mut self.quantization {
            quantization.epochs = quantization_epochs.unwrap_or(quantization.epochs.min(2));
        }
        self
    }
}
