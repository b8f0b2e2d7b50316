//! The application around one plan: sensor windows in, what the network says of them out, by log and by LED.
//!
//! Written over `embedded-hal` alone: a [`Board`] gives LED and delay, a [`Sensor`] gives samples. Where no sensor is
//! wired, [`GoldenSensor`] replays the plan's golden input.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use heapless::Deque;
use still8::plan::GoldenInput;
use still8::session::SelfTest;
use still8::{Align16, Plan, Session};

use crate::boot;
use crate::show::{Given, show};

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

/// Runs the network on every window of the sensor, and logs and blinks what it says ([`show`]); returns when the sensor
/// ends. False, before any window, where the network does not compute here what it computed on the host.
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
        let given = Given::new(&mut session);
        session.run();
        if let Some(times) = show(&session, &given) {
            blink(board, times);
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
