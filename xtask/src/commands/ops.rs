//! `cargo xtask ops`: which operators run where, out of the code.

use serde::Serialize;
use still8::format::{DataType, OpCode};
use still8::kernels;

use crate::boards::Core;
use crate::console::{Console, table};
use crate::import::{MICROSOFT, OPERATORS};

/// The command's report.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    /// ONNX operators that import takes.
    pub onnx: Vec<&'static str>,
    /// Those of the domain `com.microsoft`.
    pub microsoft: Vec<&'static str>,
    /// Operators of a plan.
    pub plan: Vec<Operator>,
}

/// An operator of a plan.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Operator {
    pub op: &'static str,
    pub dtype: &'static str,
    /// Kernel variant on each core.
    pub kernels: Vec<Kernel>,
}

/// The kernel of an operator on a core.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Kernel {
    pub on: &'static str,
    pub kernels: &'static str,
}

/// Collects the table and prints it.
pub fn run(console: Console) -> Report {
    let report = report();
    console.say(render(&report));
    report
}

fn report() -> Report {
    let operator = |entry: &still8::OpEntry| {
        let kernel = |core: Core| {
            let own = kernels::variants(core.family()).contains(&kernel_of(entry.code()));
            Kernel { on: core.name(), kernels: if own { core.family().name() } else { "portable" } }
        };
        Operator { op: entry.name(), dtype: format(entry.code()), kernels: Core::ALL.map(kernel).to_vec() }
    };
    Report {
        schema: 1,
        onnx: OPERATORS.iter().map(|operator| operator.name).collect(),
        microsoft: MICROSOFT.iter().map(|operator| operator.name).collect(),
        plan: still8::ops::ALL.iter().map(operator).collect(),
    }
}

/// Types of activations and, where they are others, of weights.
fn format(code: OpCode) -> &'static str {
    match code {
        OpCode::Conv2dInt4 | OpCode::DepthwiseConv2dInt4 | OpCode::FullyConnectedInt4 => "int8, weights int4",
        OpCode::Conv2d16 => "int16, weights int8",
        OpCode::Add16 | OpCode::Mean16 | OpCode::Table16 => DataType::Int16.name(),
        OpCode::Convert => "int8, int16",
        _ => DataType::Int8.name(),
    }
}

/// The kernel that an operator runs: with weights of four bits that for eight.
fn kernel_of(code: OpCode) -> OpCode {
    match code {
        OpCode::Conv2dInt4 => OpCode::Conv2d,
        OpCode::DepthwiseConv2dInt4 => OpCode::DepthwiseConv2d,
        OpCode::FullyConnectedInt4 => OpCode::FullyConnected,
        code => code,
    }
}

/// The report as text, also for the README.
fn render(report: &Report) -> String {
    let mut header = vec!["operator of a plan", "format"];
    header.extend(Core::ALL.map(Core::name));
    let mut operators = table(&header);
    for operator in &report.plan {
        let mut row = vec![operator.op, operator.dtype];
        row.extend(operator.kernels.iter().map(|kernel| kernel.kernels));
        operators.add_row(row);
    }
    let (onnx, microsoft) = (report.onnx.join(", "), report.microsoft.join(", "));
    format!("ONNX operators: {onnx}.\n\nOf the domain `com.microsoft`: {microsoft}.\n\n{operators}")
}

/// The table as Markdown.
pub fn markdown() -> String {
    render(&report())
}
