//! The command line of `cargo xtask distill`.

use std::process::ExitCode;

use clap::Parser;
use still8_distill::command::{self, Options};
use xtask::console::Console;

/// Train a student against a teacher, with the quantization it will run under in the loop.
#[derive(Parser)]
#[command(name = "cargo xtask distill", bin_name = "cargo xtask distill", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    /// Print nothing but errors and results that were asked for.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let Arguments { options, json, quiet } = Arguments::parse();
    let console = Console { json, quiet };
    match command::run(&options, console) {
        Ok(report) => {
            console.finish(&report);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
