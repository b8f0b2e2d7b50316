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

        let plan = match network::plan() {
            Ok(plan) => plan,
            Err(error) => {
                log_line!("the plan is refused: {}", error);
                stop(1)
            }
        };
        let Some(mut board) = board::take() else { stop(1) };
        match app::run(&mut board, &plan, ARENA, &mut GoldenSensor::new(&plan)) {
            Ok(passed) => stop(i32::from(!passed)),
            Err(error) => {
                log_line!("{}", error);
                stop(1)
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the application is for boards; on Linux use the runner");
}
