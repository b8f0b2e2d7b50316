//! The training loop: steps over shards, an evaluation after every epoch, a checkpoint that continues to the same result.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use still8_validation::random::SplitMix64;
use still8_validation::{Failure, Result, files};

use crate::augment::Augment;
use crate::config::Loss;
use crate::engine::batch::Batch;
use crate::engine::net::{Kind, Net, Param, Run, ValueId};
use crate::engine::optimizer::{Optimizer, Rates, cosine};
use crate::hints::{self, Given};
use crate::loss::{self, Target, largest};
use crate::samples::Samples;
use crate::teacher::{Answers, view_seed};
use crate::units::Units;

/// Samples that one thread runs at once, whatever the number of threads.
const SHARD: usize = 32;

/// Time between checkpoints inside an epoch.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// What the output stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// One logit a class.
    Classification,
    /// The input itself.
    Reconstruction,
    /// Quantities.
    Regression,
}

/// What is learnt, and from what.
#[derive(Clone)]
pub struct Lesson<'a> {
    /// What the output stands for.
    pub task: Task,
    /// Samples.
    pub train: &'a Samples,
    /// Held-out samples: evaluated after every epoch.
    pub holdout: &'a Samples,
    /// The teacher's answers, one a view; none: labels alone.
    pub answers: &'a [Answers],
    /// Whether every epoch has views of its own; the teacher's one answer then is for all views of a sample.
    pub fresh: bool,
    /// The teacher's answers for the held-out samples.
    pub holdout_answers: Option<&'a Answers>,
    /// Augmentations.
    pub augment: &'a Augment,
    /// What is minimized.
    pub loss: Loss,
    /// Inner values: the student's, what is compared, weight.
    pub hints: Vec<(String, hints::Kind, f32)>,
    /// What samples are multiplied by.
    pub scale: f32,
    /// In which units outputs are learned.
    pub units: &'a Units,
    /// Fixes order and views.
    pub seed: u64,
}

/// How long and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Largest learning rate.
    pub rate: f32,
    /// Epochs until it is reached.
    pub warm_up: f32,
    /// Weight decay.
    pub decay: f32,
    /// Share of the running average that a step keeps.
    pub average: f32,
    /// Epochs without a better score after which training stops.
    pub patience: Option<usize>,
}

/// What was measured after an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Which phase: `float` or `int8`.
    pub phase: String,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done.
    pub step: u64,
    /// Learning rate of the last step.
    pub rate: f32,
    /// Mean loss over the epoch's steps.
    pub train_loss: f64,
    /// Loss on held-out samples.
    pub holdout_loss: f64,
    /// Share of held-out samples whose class is right.
    pub accuracy: Option<f64>,
    /// Share of held-out samples on which student and teacher choose the same class.
    pub agreement: Option<f64>,
}

impl Epoch {
    /// The larger, the better: agreement with the teacher, else accuracy, else a small loss.
    fn score(&self) -> (f64, f64) {
        (self.agreement.or(self.accuracy).unwrap_or_default(), -self.holdout_loss)
    }
}

/// All of a training that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Hash of everything that decides on the result.
    key: String,
    params: Vec<Param>,
    optimizer: Optimizer,
    loss: f64,
    best: Option<(Epoch, Vec<Vec<f32>>)>,
    /// One entry an epoch.
    pub log: Vec<Epoch>,
}

/// Where the state is kept, and what is shown.
pub struct Desk<'a> {
    /// The checkpoint file.
    pub checkpoint: Option<PathBuf>,
    /// Called after every epoch, with all of them.
    pub epoch: &'a (dyn Fn(&[Epoch]) -> Result<()> + Sync),
    /// Called after every step with the steps done and their number.
    pub step: &'a (dyn Fn(u64, u64) + Sync),
    /// Stops after so many steps, as a kill would.
    pub stop_after: Option<u64>,
}

impl Desk<'_> {
    /// Shows nothing and keeps nothing.
    pub const SILENT: Desk<'static> =
        Desk { checkpoint: None, epoch: &|_| Ok(()), step: &|_, _| (), stop_after: None };
}

/// Trains `net` in place: its parameters become those of the best epoch. Returns the log.
///
/// # Errors
/// [`Failure::Data`] where the loss is no number any more, or a checkpoint belongs to another training or cannot be written.
pub fn train(
    net: &mut Net,
    lesson: &Lesson<'_>,
    course: &Course,
    phase: &str,
    desk: &Desk<'_>,
) -> Result<Vec<Epoch>> {
    let batch = course.batch.min(lesson.train.len());
    let steps = (lesson.train.len() / batch) as u64;
    let total = steps * course.epochs as u64;
    let warm_up = (course.warm_up * steps as f32) as u64;
    let key = key(net, lesson, course, phase);
    let mut state = match &desk.checkpoint {
        Some(path) if path.exists() => restore(path, &key)?,
        _ => State {
            key,
            params: net.params.clone(),
            optimizer: Optimizer::new(&net.params),
            loss: 0.0,
            best: None,
            log: Vec::new(),
        },
    };
    net.params.clone_from(&state.params);
    let hints = hint_values(net, lesson)?;
    let mut order = Vec::new();
    let mut saved = Instant::now();
    while state.optimizer.steps < total {
        if desk.stop_after.is_some_and(|stop| state.optimizer.steps >= stop) {
            return Ok(state.log);
        }
        let (epoch, place) = (state.optimizer.steps / steps, (state.optimizer.steps % steps) as usize);
        if order.is_empty() || place == 0 {
            order = shuffled(lesson.train.len(), lesson.seed, epoch);
        }
        let indices = &order[place * batch..][..batch];
        let (loss, gradients) = step(net, lesson, &hints, indices, epoch as usize);
        if !loss.is_finite() || gradients.iter().flatten().any(|g| !g.is_finite()) {
            let kept = match &desk.checkpoint {
                Some(path) if path.exists() => format!("; the last good state is in {}", path.display()),
                _ => String::new(),
            };
            return Err(Failure::Data(format!(
                "step {} (epoch {} of {}): the loss is {loss}, training stops{kept}. Lower `schedule.rate`, or look for \
                 outliers in the data",
                state.optimizer.steps + 1,
                epoch + 1,
                course.epochs
            )));
        }
        let rate = cosine(state.optimizer.steps, warm_up, total, course.rate);
        state.optimizer.step(
            &mut net.params,
            &gradients,
            Rates { rate, decay: course.decay, average: course.average },
        );
        state.loss += loss / steps as f64;
        (desk.step)(state.optimizer.steps, total);
        if state.optimizer.steps % steps == 0 {
            let mut averaged = net.clone();
            averaged
                .params
                .iter_mut()
                .zip(&state.optimizer.average)
                .for_each(|(p, data)| p.data.clone_from(data));
            let measured = evaluate(&averaged, lesson);
            let train_loss = std::mem::take(&mut state.loss);
            let phase = phase.to_owned();
            let done = Epoch {
                phase,
                epoch: epoch as usize + 1,
                step: state.optimizer.steps,
                rate,
                train_loss,
                ..measured
            };
            if state.best.as_ref().is_none_or(|(best, _)| done.score() >= best.score()) {
                state.best = Some((done.clone(), state.optimizer.average.clone()));
            }
            state.log.push(done);
            (desk.epoch)(&state.log)?;
        }
        let best = state.best.as_ref().map_or(0, |(best, _)| best.epoch);
        let given_up = course.patience.is_some_and(|patience| state.log.len() > best + patience);
        if state.optimizer.steps % steps == 0 || saved.elapsed() > CHECKPOINT {
            saved = Instant::now();
            state.params.clone_from(&net.params);
            save(desk.checkpoint.as_deref(), &state)?;
        }
        if given_up {
            break;
        }
    }
    if let Some((_, best)) = state.best {
        net.params.iter_mut().zip(best).for_each(|(param, data)| param.data = data);
    }
    Ok(state.log)
}

/// Everything that decides on the result, hashed.
fn key(net: &Net, lesson: &Lesson<'_>, course: &Course, phase: &str) -> String {
    let Lesson { augment, loss, hints, scale, units, seed, train, answers, fresh, .. } = lesson;
    let weights: Vec<u8> =
        net.params.iter().flat_map(|param| &param.data).flat_map(|x| x.to_le_bytes()).collect();
    let samples: Vec<u8> =
        (0..train.len()).step_by(97).flat_map(|i| train.get(i)).flat_map(f32::to_le_bytes).collect();
    let told: Vec<u8> = answers
        .iter()
        .flat_map(|view| (0..view.len()).step_by(97).flat_map(|i| view.get(i, 0)))
        .flat_map(f32::to_le_bytes)
        .collect();
    let labels: Vec<u8> = train.labels.iter().flatten().flat_map(|label| label.to_le_bytes()).collect();
    let targets = train.targets.iter().flatten().flatten();
    let targets: Vec<u8> = targets.flat_map(|y| y.to_le_bytes()).collect();
    let rest = format!(
        "{phase} {course:?} {augment:?} {loss:?} {hints:?} {scale} {units:?} {seed} {fresh} {} {:?}",
        answers.len(),
        net.nodes
    );
    files::sha256_of_parts([weights.as_slice(), &samples, &told, &labels, &targets, rest.as_bytes()])
}

fn restore(path: &Path, key: &str) -> Result<State> {
    let again = "delete it to begin again";
    let bytes = files::read(path)?;
    let state: State = postcard::from_bytes(&bytes)
        .map_err(|error| Failure::data(path, format!("this is no whole checkpoint ({error}); {again}")))?;
    if state.key != key {
        return Err(Failure::data(
            path,
            format!("the checkpoint is of another recipe, data or version; {again}"),
        ));
    }
    Ok(state)
}

fn save(path: Option<&Path>, state: &State) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let bytes = postcard::to_stdvec(state).map_err(|error| Failure::data(path, error))?;
    files::write_atomically(path, |file| file.write_all(&bytes))
}

/// The student's values that follow the teacher's.
fn hint_values(net: &Net, lesson: &Lesson<'_>) -> Result<Vec<ValueId>> {
    let find = |name: &String| {
        net.nodes.iter().position(|node| node.name == *name).map(|node| node + 1).ok_or_else(|| {
            let names: Vec<_> = net.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::Usage(format!(
                "a hint follows `{name}`, but the student has no such layer; it has {}",
                names.join(", ")
            ))
        })
    };
    lesson.hints.iter().map(|(name, ..)| find(name)).collect()
}

/// The samples in the order of an epoch.
fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = SplitMix64::new(view_seed(seed, epoch as usize, usize::MAX - 1));
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        order.swap(i, (random.next_u64() % (i as u64 + 1)) as usize);
    }
    order
}

/// Mean loss of a step, and its gradients.
fn step(
    net: &Net,
    lesson: &Lesson<'_>,
    hints: &[ValueId],
    indices: &[usize],
    epoch: usize,
) -> (f64, Vec<Vec<f32>>) {
    let shards: Vec<(f64, Vec<Vec<f32>>)> = indices
        .par_chunks(SHARD)
        .map(|shard| {
            let mut gradients = net.zeros();
            let loss = run_shard(net, lesson, hints, shard, (epoch, indices.len()), &mut gradients);
            (loss, gradients)
        })
        .collect();
    let mut sum = net.zeros();
    let mut loss = 0.0;
    for ((shard_loss, gradients), shard) in shards.iter().zip(indices.chunks(SHARD)) {
        loss += shard_loss;
        let share = shard.len() as f32 / indices.len() as f32;
        for ((sum, gradient), param) in sum.iter_mut().zip(gradients).zip(&net.params) {
            let factor = if param.kind == Kind::Statistics { share } else { 1.0 };
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g * factor);
        }
    }
    (loss, sum)
}

fn run_shard(
    net: &Net,
    lesson: &Lesson<'_>,
    hints: &[ValueId],
    shard: &[usize],
    (epoch, batch): (usize, usize),
    gradients: &mut [Vec<f32>],
) -> f64 {
    let told = epoch % lesson.answers.len().max(1);
    // Without a teacher, every view is new.
    let view = if lesson.fresh || lesson.answers.is_empty() { epoch } else { told };
    let mut x = Batch::zeros(0, lesson.train.shape);
    for &i in shard {
        let mut sample = lesson.train.get(i);
        lesson.augment.apply(&mut sample, lesson.train.shape, view_seed(lesson.seed, i, view));
        x.data.extend(sample.iter().map(|x| x * lesson.scale));
        x.n += 1;
    }
    let run = net.forward(x, true);
    let answers = lesson.answers.get(told);
    let output = run.output();
    let mut gradient = Batch::zeros(output.n, output.shape);
    let mut sum = 0f64;
    let size = output.image();
    for (row, (z, g)) in output.data.chunks_exact(size).zip(gradient.data.chunks_exact_mut(size)).enumerate()
    {
        let teacher: Option<Vec<f32>> = answers.map(|answers| answers.get(shard[row], 0).collect());
        let own = || given_back(&run, row, lesson.scale);
        let loss = loss_of(lesson, (lesson.train, shard[row]), own, teacher.as_deref(), z, g);
        sum += f64::from(loss) / batch as f64;
        g.iter_mut().for_each(|g| *g /= batch as f32);
    }
    let mut given = vec![(net.nodes.len(), gradient)];
    if let Some(answers) = answers {
        for (index, (&value, (_, kind, weight))) in hints.iter().zip(&lesson.hints).enumerate() {
            let rows = shard.iter().map(|&i| answers.get(i, index + 1).collect()).collect();
            let share = shard.len() as f32 / batch as f32;
            let (loss, gradient) =
                Given { value, kind: *kind, weight: weight * share, rows }.loss(&run.values[value]);
            sum += f64::from(loss);
            given.push((value, gradient));
        }
    }
    net.backward(&run, given, gradients);
    sum
}

/// Loss of a sample's output `z`, and its gradient; `own` is what a reconstruction gives back.
fn loss_of(
    lesson: &Lesson<'_>,
    (samples, i): (&Samples, usize),
    own: impl FnOnce() -> Vec<f32>,
    teacher: Option<&[f32]>,
    z: &[f32],
    gradient: &mut [f32],
) -> f32 {
    let (share, units) = (lesson.loss.teacher, lesson.units);
    match lesson.task {
        Task::Classification => {
            let label = samples.labels.as_ref().map(|labels| labels[i]);
            loss::classification(z, &Target { label, teacher }, lesson.loss, gradient)
        }
        Task::Reconstruction => loss::regression(z, (Some(&own()), teacher), share, &[], gradient),
        Task::Regression => {
            let [own, teacher] = [samples.targets.as_ref().map(|targets| &targets[i][..]), teacher]
                .map(|row| row.map(|row| units.scaled(row.iter().copied())));
            loss::regression(z, (own.as_deref(), teacher.as_deref()), share, &units.weights, gradient)
        }
    }
}

/// What a reconstruction is held to: the sample in its own units, in which teacher and student answer.
fn given_back(run: &Run, row: usize, scale: f32) -> Vec<f32> {
    let input = &run.values[0];
    input.data[row * input.image()..][..input.image()].iter().map(|x| x / scale).collect()
}

/// Loss, accuracy and agreement on the held-out samples.
pub fn evaluate(net: &Net, lesson: &Lesson<'_>) -> Epoch {
    let indices: Vec<usize> = (0..lesson.holdout.len()).collect();
    let parts: Vec<[f64; 3]> = indices
        .par_chunks(SHARD)
        .map(|shard| {
            let x = lesson.holdout.batch(shard, lesson.scale);
            let run = net.forward(x, false);
            let mut sums = [0f64; 3];
            let mut gradient = vec![0.0; run.output().image()];
            for (row, z) in loss::rows(run.output()).enumerate() {
                let teacher: Option<Vec<f32>> =
                    lesson.holdout_answers.map(|answers| answers.get(shard[row], 0).collect());
                let label = lesson.holdout.labels.as_ref().map(|labels| labels[shard[row]]);
                // Errors are those of what is known; the teacher stands in where nothing is.
                let known = match lesson.task {
                    Task::Classification => false,
                    Task::Reconstruction => true,
                    Task::Regression => lesson.holdout.targets.is_some(),
                };
                let own = || given_back(&run, row, lesson.scale);
                let to = teacher.as_deref().filter(|_| !known);
                let loss = loss_of(lesson, (lesson.holdout, shard[row]), own, to, z, &mut gradient);
                sums[0] += f64::from(loss);
                let chosen = largest(z.iter().copied());
                sums[1] += f64::from(u8::from(label == Some(chosen)));
                sums[2] += f64::from(u8::from(teacher.is_some_and(|t| largest(t.into_iter()) == chosen)));
            }
            sums
        })
        .collect();
    let mean = |at: usize| parts.iter().map(|part| part[at]).sum::<f64>() / indices.len().max(1) as f64;
    let classifies = lesson.task == Task::Classification;
    Epoch {
        holdout_loss: mean(0),
        accuracy: (classifies && lesson.holdout.labels.is_some()).then(|| mean(1)),
        agreement: (classifies && lesson.holdout_answers.is_some()).then(|| mean(2)),
        ..Epoch::default()
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
