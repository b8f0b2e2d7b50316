//! What is flashed: one plan, the operators that it names, and the application around it.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use still8::Align16;
    use still8_firmware::app::{self, GoldenSensor};
    use still8_firmware::{board, log_line, stop};

    still8::include_plan!(mod network = env!(
        "STILL8_PLAN",
        "set STILL8_PLAN to the absolute path of the plan (.s8) that the image shall hold"
    ));

    #[cortex_m_rt::entry]
    fn main() -> ! {
        // `entry` turns a static of `main` into a `&mut`.
        static mut ARENA: [Align16; Align16::count(network::ARENA_BYTES)] =
            [Align16::ZERO; Align16::count(network::ARENA_BYTES)];

        let Some(mut board) = board::take() else { stop(1) };
        let passed = match network::plan() {
            Ok(plan) => match app::run(&mut board, &plan, ARENA, &mut GoldenSensor::new(&plan)) {
                Ok(passed) => passed,
                Err(error) => {
                    log_line!("{}", error);
                    false
                }
            },
            Err(error) => {
                log_line!("the plan is refused: {}", error);
                false
            }
        };
        if !passed {
            app::show_failure(&mut board);
        }
        stop(i32::from(!passed))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the application is for boards; on Linux use the runner");
}
