//! The `cargo xtask` command line: parses, calls one command, and turns its result into an exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use still8_validation::Result;
use xtask::commands::{
    bench, compare, demo, distill, flash, inspect, ops, quantize, run, setup, tables, test, validate,
};
use xtask::console::Console;

/// Quantize, run and prove distilled small models on microcontrollers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but errors and results that were asked for.
    #[arg(long, global = true)]
    quiet: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 a threshold or budget was missed, 2 usage, 3 model not supported, \
                          4 bad data or file, 5 a tool is missing (see `cargo xtask setup`).";

#[derive(Subcommand)]
enum Command {
    /// The main job, once: quantize, validate, build firmware, run it on an emulated Cortex-M4, validate there.
    Demo,
    /// Run every test there is, the emulated ones included.
    Test,
    /// Turn a float ONNX model and calibration data into an int8 plan.
    #[command(after_help = "Examples:\n  cargo xtask quantize models/fashion\n  \
        cargo xtask quantize net.onnx --calib samples.npz --out net.s8 --family dsp\n  \
        cargo xtask quantize models/fashion --report fashion.html --max-drop 0.5")]
    Quantize(quantize::Options),
    /// Train a student against a teacher, with the quantization it will run under in the loop.
    ///
    /// The trainer is a crate of its own, which is compiled when this is called first; its options are in
    /// `cargo xtask distill --help`.
    #[command(
        disable_help_flag = true,
        after_help = "Examples:\n  cargo xtask distill models/fashion --quick\n  \
        cargo xtask distill models/motion"
    )]
    Distill {
        /// What the trainer is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Run any plan on any input, on the host or in the firmware under the emulator.
    #[command(after_help = "Examples:\n  cargo xtask run net.s8 --input samples.npy --output out.npy\n  \
        cargo xtask run net.s8 --input samples.npz --on cortex-m4 --json")]
    Run(run::Options),
    /// Compare teacher, float student and int8 student, and judge by the model's thresholds.
    #[command(after_help = "Examples:\n  cargo xtask validate models/fashion\n  \
        cargo xtask validate models/motion --on cortex-m0 --samples 200")]
    Validate(validate::Options),
    /// Say what a plan holds: inputs, outputs, operators, and the model card.
    #[command(after_help = "Examples:\n  cargo xtask inspect target/still8/fashion.portable.s8\n  \
        cargo xtask inspect target/still8/fashion.portable.s8 --card fashion.html --card fashion.json")]
    Inspect(inspect::Options),
    /// Count instructions and estimate cycles on emulated cores, or measure cycles on a board; code, arena and stack.
    ///
    /// Cycles of an emulated core weigh each executed instruction by the timing that Arm publishes for the core
    /// (Cortex-M0+, M3 and M4). Flash wait states, caches and bus contention are not in them; --board measures.
    #[command(after_help = "Examples:\n  cargo xtask bench\n  \
        cargo xtask bench models/fashion --on cortex-m4 --on cortex-m0 --portable\n  \
        cargo xtask bench kws ic ad vww sww --on cortex-m4\n  \
        cargo xtask bench --json > before.json\n  \
        cargo xtask bench --against before.json\n  \
        cargo xtask bench models/fashion --board stm32f405")]
    Bench(bench::Options),
    /// Compare our quantizer with another one, on the same calibration data and other test data.
    #[command(subcommand)]
    Compare(Compare),
    /// List the ONNX operators that are taken, and which kernel runs each operator of a plan on each core.
    Ops,
    /// Measure every model again and write the tables of the READMEs.
    Tables,
    /// Build the application with a model inside and put it on a board, or into the board's emulator.
    #[command(after_help = "Examples:\n  cargo xtask flash models/motion --board microbit\n  \
        cargo xtask flash models/fashion --board stm32f405\n  \
        cargo xtask flash models/fashion --board mps2-an386 --no-log")]
    Flash(flash::Options),
    /// Find or install what the commands need beside Rust: Arm targets and the emulator.
    Setup {
        /// Only report.
        #[arg(long)]
        check: bool,
    },
}

/// With what.
#[derive(Subcommand)]
enum Compare {
    /// ONNX Runtime's static quantizer (QDQ, int8 per channel, the best of its calibration methods).
    ///
    /// Makes a Python environment of its own under target/still8/python.
    #[command(after_help = "Examples:\n  cargo xtask compare ort\n  cargo xtask compare ort models/fashion")]
    Ort(compare::Options),
    /// The operator cases of the `onnx` package: float results, and int8 results within a bound derived from the scales.
    #[command(after_help = "Example:\n  cargo xtask compare onnx --json > cases.json")]
    Onnx(compare::onnx::Options),
}

/// The JSON object of commands that have nothing else to report.
#[derive(serde::Serialize)]
struct Done {
    schema: u32,
    passed: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console { json: arguments.json, quiet: arguments.quiet };
    match dispatch(arguments.command, console) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(command: Command, console: Console) -> Result<ExitCode> {
    match command {
        Command::Distill { arguments } => return distill::run(&arguments, console),
        Command::Quantize(options) => {
            let report = quantize::run(&options, console)?;
            console.finish(&report);
            report.missed()?;
        }
        Command::Run(options) => console.finish(&run::run(&options, console)?),
        Command::Validate(options) => {
            let report = validate::run(&options, console)?;
            console.finish(&report);
            validate::missed(&report)?;
        }
        Command::Demo => {
            let report = demo::run(console)?;
            console.finish(&report);
            demo::missed(&report)?;
        }
        Command::Test => {
            test::run(console)?;
            console.finish(&Done { schema: 1, passed: true });
        }
        Command::Bench(options) => {
            let report = bench::run(&options, console)?;
            console.finish(&report);
            bench::missed(&report)?;
        }
        Command::Compare(Compare::Ort(options)) => {
            let report = compare::run(&options, console)?;
            console.finish(&report);
            compare::missed(&report)?;
        }
        Command::Compare(Compare::Onnx(options)) => {
            let report = compare::onnx::run(&options, console)?;
            console.finish(&report);
            compare::onnx::missed(&report)?;
        }
        Command::Ops => console.finish(&ops::run(console)),
        Command::Tables => {
            tables::run(console)?;
            console.finish(&Done { schema: 1, passed: true });
        }
        Command::Flash(options) => console.finish(&flash::run(&options, console)?),
        Command::Setup { check } => {
            let report = setup::run(check)?;
            console.finish(&report);
            console.say(setup::render(&report));
            report.complete()?;
        }
        Command::Inspect(options) => console.finish(&inspect::run(&options, console)?),
    }
    Ok(ExitCode::SUCCESS)
}
