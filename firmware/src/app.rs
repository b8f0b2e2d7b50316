//! The application around one plan: sensor windows in, class and score out, by log and by LED.
//!
//! Written over `embedded-hal` alone: a [`Board`] gives LED and delay, a [`Sensor`] gives samples. Where no sensor is
//! wired, [`GoldenSensor`] replays the plan's golden input.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use heapless::Deque;
use still8::plan::GoldenInput;
use still8::session::SelfTest;
use still8::{Align16, Plan, Session};

use crate::{LOGS, boot, log_line};

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
    rest: Option<GoldenInput<'a>>,
}

impl<'a> GoldenSensor<'a> {
    /// Replays the plan's golden input; nothing where it has none.
    pub fn new(plan: &Plan<'a>) -> Self {
        Self { rest: plan.golden().map(|golden| golden.input()) }
    }
}

impl Sensor for GoldenSensor<'_> {
    fn poll(&mut self, queue: &mut Deque<i8, QUEUE>) -> bool {
        while !queue.is_full()
            && let Some(sample) = self.rest.as_mut().and_then(Iterator::next)
        {
            // There is room.
            let _ = queue.push_back(sample);
        }
        !queue.is_empty()
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

/// Classifies every window of the sensor and shows the class on the LED; returns when the sensor ends. False, before
/// any window, where the network does not compute here what it computed on the host.
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
    if !matches!(boot::self_test(&mut session), SelfTest::Passed | SelfTest::Absent) {
        // A network that computes otherwise than on the host decides nothing.
        return Ok(false);
    }
    let mut queue = Deque::new();
    while fill_inputs(&mut session, sensor, &mut queue) {
        session.run();
        let output = session.output(0).unwrap_or_default();
        log_classes(plan, output);
        if let Some(best) = next_class(output, None) {
            blink(board, best.class + 1);
        }
    }
    Ok(true)
}

/// Turns the LED on for good: the plan is refused, or the network does not compute here what it did on the host.
pub fn show_failure(board: &mut impl Board) {
    let _ = board.parts().0.set_high();
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
fn log_classes(plan: &Plan<'_>, output: &[i8]) {
    // Without a log nothing below is seen, and nothing shall be computed for it.
    if !LOGS {
        return;
    }
    let Some(port) = plan.output(0) else { return };
    let mut previous = None;
    for rank in 1..=TOP {
        let Some(scored) = next_class(output, previous) else { return };
        let score = port.quantization.dequantize(scored.q);
        log_line!("{}: class {} score {} (int8 {})", rank, scored.class, score, scored.q);
        previous = Some(scored);
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
