//! Times one plan on a board, by the board's own counter.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use still8::Align16;
    use still8_firmware::cycles::Counter;
    use still8_firmware::{measure, stop};

    still8::include_plan!(mod network = env!(
        "STILL8_PLAN",
        "set STILL8_PLAN to the absolute path of the plan (.s8) that the image shall hold"
    ));

    #[cortex_m_rt::entry]
    fn main() -> ! {
        // `entry` turns a static of `main` into a `&mut`.
        static mut ARENA: [Align16; Align16::count(network::ARENA_BYTES)] =
            [Align16::ZERO; Align16::count(network::ARENA_BYTES)];

        let plan = match network::plan() {
            Ok(plan) => plan,
            Err(error) => {
                defmt::error!("the plan is refused: {}", error);
                stop(1)
            }
        };
        let Some(mut counter) = cortex_m::Peripherals::take().and_then(Counter::start) else {
            defmt::error!("no counter of cycles advances here");
            stop(1)
        };
        match measure::run(&plan, ARENA, &mut counter) {
            Ok(passed) => stop(i32::from(!passed)),
            Err(error) => {
                defmt::error!("{}", error);
                stop(1)
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this image is for boards; on Linux use the runner");
}
