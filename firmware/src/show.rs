//! What an application shows of an output, by the task of the plan's model: classes, the score of an anomaly, or quantities.
//!
//! The task is fixed when the image is built (`STILL8_TASK`), so that an image holds the code of its own task alone.

use heapless::Vec;
use still8::Session;
use still8::plan::Io;

use crate::{LOGS, log_line};

/// Classes that are logged.
pub const TOP: usize = 3;

/// Bytes of an anomaly model's input that are kept until its output is there.
pub const KEPT: usize = if LOGS && matches!(TASK, Task::Anomaly) { 1024 } else { 0 };

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The largest output is the class.
    Classification,
    /// The output is the input, given back; the mean squared error between the two is the score.
    Anomaly,
    /// The outputs are quantities.
    Regression,
}

/// The task of the plan inside this image.
pub const TASK: Task = if cfg!(task = "anomaly") {
    Task::Anomaly
} else if cfg!(task = "regression") {
    Task::Regression
} else {
    Task::Classification
};

/// A class with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// Index in the network's first output.
    pub class: usize,
    /// The int8 output.
    pub q: i8,
}

/// The input of one inference, as far as [`show`] needs it afterwards: running writes over it.
pub struct Given<const N: usize>(Vec<i8, N>);

impl<const N: usize> Given<N> {
    /// The first input, where it fits.
    pub fn new(session: &mut Session<'_, '_>) -> Self {
        if N == 0 {
            return Self(Vec::new());
        }
        Self(Vec::from_slice(session.input(0).unwrap_or_default()).unwrap_or_default())
    }
}

/// Logs what the output says, and returns how often the LED shall blink: once more than the index of the class, or once.
// Called once, and smaller as a part of the loop.
#[inline(always)]
pub fn show(session: &Session<'_, '_>, given: &Given<KEPT>) -> Option<usize> {
    let output = session.output(0).unwrap_or_default();
    // Without a log nothing of it is seen, and nothing shall be computed for it.
    if LOGS {
        log(session, given, output);
    }
    match TASK {
        Task::Classification => next_class(output, None).map(|best| best.class + 1),
        Task::Anomaly | Task::Regression => Some(1),
    }
}

fn log(session: &Session<'_, '_>, given: &Given<KEPT>, output: &[i8]) {
    let Some(port) = session.plan().output(0) else { return };
    match TASK {
        Task::Classification => log_classes(&port, output),
        Task::Anomaly => {
            let score = |from| score((&from, &given.0), (&port, output));
            match session.plan().input(0).and_then(score) {
                Some(score) => log_line!("score {}", score),
                None => {
                    log_line!("no score: input and output differ in size or order, or exceed {} bytes", KEPT)
                }
            }
        }
        Task::Regression => log_quantities(&port, output),
    }
}

/// The mean squared error between input and output in their own units; `None` where their elements differ in number or order.
pub fn score((from, given): (&Io<'_>, &[i8]), (to, output): (&Io<'_>, &[i8])) -> Option<f32> {
    let alike = given.len() == output.len() && !output.is_empty() && from.permutation == to.permutation;
    let difference = |(&x, &y): (&i8, &i8)| from.quantization.dequantize(x) - to.quantization.dequantize(y);
    let squares = given.iter().zip(output).map(difference).map(|difference| difference * difference);
    alike.then(|| squares.sum::<f32>() / output.len() as f32)
}

/// The class that comes behind `previous` in the order of outputs, largest first, the lower index first where two are
/// equal; the first of all behind `None`.
fn next_class(output: &[i8], previous: Option<Scored>) -> Option<Scored> {
    let mut best: Option<Scored> = None;
    for (class, &q) in output.iter().enumerate() {
        let behind = previous.is_none_or(|p| q < p.q || q == p.q && class > p.class);
        if behind && best.is_none_or(|best| q > best.q) {
            best = Some(Scored { class, q });
        }
    }
    best
}

/// Logs the best [`TOP`] classes.
fn log_classes(port: &Io<'_>, output: &[i8]) {
    let mut previous = None;
    for rank in 1..=TOP {
        let Some(scored) = next_class(output, previous) else { return };
        let score = port.quantization.dequantize(scored.q);
        log_line!("{}: class {} score {} (int8 {})", rank, scored.class, score, scored.q);
        previous = Some(scored);
    }
}

/// Logs every element of the output.
fn log_quantities(port: &Io<'_>, output: &[i8]) {
    for (i, &q) in output.iter().enumerate() {
        log_line!("quantity {}: {} (int8 {})", i, port.quantization.dequantize(q), q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_come_first_and_ties_by_index() {
        let output = [3, 9, -1, 9, 4];
        let mut classes = std::vec::Vec::new();
        let mut previous = None;
        while let Some(next) = next_class(&output, previous) {
            classes.push(next.class);
            previous = Some(next);
        }
        assert_eq!(classes, [1, 3, 4, 0, 2]);
        assert_eq!(next_class(&[], None), None);
    }
}
