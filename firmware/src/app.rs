//! The application around one plan: sensor windows in, class and score out, by log and by LED.
//!
//! Written over `embedded-hal` alone: a [`Board`] gives LED and delay, a [`Sensor`] gives samples. Where no sensor is
//! wired, [`GoldenSensor`] replays the plan's golden input.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use heapless::{Deque, Vec};
use still8::session::SelfTest;
use still8::{Align16, Plan, Session};

use crate::{boot, log_line};

/// Classes that are logged.
pub const TOP: usize = 3;

/// Bytes that wait between the sensor and the network.
pub const QUEUE: usize = 256;

/// On and off time of the LED, in ms.
const BLINK_MS: u32 = 60;

/// What an application asks of a board.
pub trait Board {
    /// The LED; high is on.
    type Led: OutputPin;
    /// The delay.
    type Delay: DelayNs;

    /// Splits the board into its parts.
    fn parts(&mut self) -> (&mut Self::Led, &mut Self::Delay);
}

/// A source of int8 samples, as the network's input takes them.
pub trait Sensor {
    /// Moves what is there into the queue, as much as it takes. False where no sample will ever come again.
    fn poll(&mut self, queue: &mut Deque<i8, QUEUE>) -> bool;
}

/// Replays bytes once.
pub struct GoldenSensor<'a> {
    rest: &'a [i8],
}

impl<'a> GoldenSensor<'a> {
    /// Replays the plan's golden input; nothing where it has none.
    pub fn new(plan: &Plan<'a>) -> Self {
        Self { rest: plan.golden().map_or(&[], |golden| golden.input) }
    }
}

impl Sensor for GoldenSensor<'_> {
    fn poll(&mut self, queue: &mut Deque<i8, QUEUE>) -> bool {
        while let [first, rest @ ..] = self.rest
            && queue.push_back(*first).is_ok()
        {
            self.rest = rest;
        }
        !(self.rest.is_empty() && queue.is_empty())
    }
}

/// A class with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// Index in the network's first output.
    pub class: usize,
    /// The int8 output.
    pub q: i8,
}

/// Classifies every window of the sensor and shows the class on the LED; returns when the sensor ends. False where
/// the network does not compute here what it computed on the host.
///
/// # Errors
/// [`still8::ArenaTooSmall`] with the bytes needed and given.
pub fn run(
    board: &mut impl Board,
    plan: &Plan<'_>,
    arena: &mut [Align16],
    sensor: &mut impl Sensor,
) -> Result<bool, still8::ArenaTooSmall> {
    boot::log_plan(plan);
    let mut session = Session::new(plan, arena)?;
    let passed = matches!(boot::self_test(&mut session), SelfTest::Passed | SelfTest::Absent);
    let mut queue = Deque::new();
    while fill_inputs(&mut session, sensor, &mut queue) {
        session.run();
        let best = top_classes(session.output(0).unwrap_or_default());
        log_classes(plan, &best);
        if let Some(best) = best.first() {
            blink(board, best.class + 1);
        }
    }
    Ok(passed)
}

/// Fills the inputs from the queue; false where the sensor ends before they are full.
fn fill_inputs(
    session: &mut Session<'_, '_>,
    sensor: &mut impl Sensor,
    queue: &mut Deque<i8, QUEUE>,
) -> bool {
    for i in 0..session.plan().input_count() {
        for element in session.input(i).unwrap_or_default() {
            *element = loop {
                match queue.pop_front() {
                    Some(sample) => break sample,
                    None if sensor.poll(queue) => (),
                    None => return false,
                }
            };
        }
    }
    true
}

/// The classes with the largest outputs, best first, the lower index first where two are equal.
fn top_classes(output: &[i8]) -> Vec<Scored, TOP> {
    let mut best: Vec<Scored, TOP> = Vec::new();
    for (class, &q) in output.iter().enumerate() {
        let place = best.iter().position(|other| other.q < q).unwrap_or(best.len());
        if place < TOP {
            best.truncate(TOP - 1);
            // There is room after the truncation.
            let _ = best.insert(place, Scored { class, q });
        }
    }
    best
}

fn log_classes(plan: &Plan<'_>, best: &[Scored]) {
    let Some(output) = plan.output(0) else { return };
    for (rank, scored) in best.iter().enumerate() {
        let score = output.quantization.dequantize(scored.q);
        log_line!("{}: class {} score {} (int8 {})", rank + 1, scored.class, score, scored.q);
    }
}

/// Blinks `times` times.
fn blink(board: &mut impl Board, times: usize) {
    let (led, delay) = board.parts();
    for _ in 0..times {
        // A pin that cannot fail on these boards; a board whose pin can has nobody to tell.
        let _ = led.set_high();
        delay.delay_ms(BLINK_MS);
        let _ = led.set_low();
        delay.delay_ms(BLINK_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_come_first_and_ties_by_index() {
        let classes: std::vec::Vec<usize> =
            top_classes(&[3, 9, -1, 9, 4]).iter().map(|scored| scored.class).collect();
        assert_eq!(classes, [1, 3, 4]);
        assert_eq!(top_classes(&[7]).len(), 1);
    }
}
