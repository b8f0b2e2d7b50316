//! The report as tables.

use super::{Measurement, Report};
use crate::console::table;

/// Everything: one table of ops for each measurement, then all totals, then what a comparison found.
pub(super) fn render(report: &Report) -> String {
    let mut text: String = report.results.iter().map(by_op).collect();
    text += &totals(&report.results).to_string();
    if let Some(comparison) = &report.against {
        text += &format!("\n\n{comparison}");
    }
    text
}

fn by_op(result: &Measurement) -> String {
    let mut ops = table(&[
        "layer",
        "operator",
        "MACs",
        "instructions",
        "per MAC",
        cycles_title(result),
        "per MAC",
        "share",
    ]);
    // Cycles tell where the time goes; where they are not known, instructions do.
    let (total, by_cycles) = match result.cycles {
        Some(cycles) => (Some(cycles), true),
        None => (result.instructions, false),
    };
    for op in &result.ops {
        let (instructions, cycles) = (op.instructions.map(|n| n as f64), op.cycles.map(|n| n as f64));
        let part = if by_cycles { cycles } else { instructions };
        let share = part.zip(total).filter(|(_, total)| *total > 0.0);
        ops.add_row([
            op.name.clone(),
            op.op.to_owned(),
            op.macs.to_string(),
            whole(instructions),
            per_mac(instructions, op.macs),
            whole(cycles),
            per_mac(cycles, op.macs),
            share.map_or_else(dash, |(part, total)| format!("{:.1} %", 100.0 * part / total)),
        ]);
    }
    format!(
        "{} on {} ({} kernels, board {}, counted by {})\n{ops}\n",
        result.model, result.on, result.kernels, result.board, result.counter
    )
}

/// Cycles of the emulator are an estimate, a board's are measured.
fn cycles_title(result: &Measurement) -> &'static str {
    if result.counter == "plugin" { "est. cycles" } else { "cycles" }
}

/// One row for each measurement, also for the README.
pub fn totals(results: &[Measurement]) -> comfy_table::Table {
    let mut totals = table(&[
        "model",
        "core",
        "kernels",
        "instructions",
        "per MAC",
        "cycles",
        "per MAC",
        "code",
        "with log",
        "weights",
        "plan",
        "arena",
        "statics",
        "stack",
    ]);
    for result in results {
        let bytes = |value: Option<u64>| value.map_or_else(dash, |value| value.to_string());
        // A name by which Linux machines differ; the first of a core is the core itself.
        let place = if result.board.starts_with(result.on) { &result.board } else { result.on };
        totals.add_row([
            result.model.clone(),
            place.to_owned(),
            result.kernels.clone(),
            whole(result.instructions),
            per_mac(result.instructions, result.macs),
            whole(result.cycles),
            per_mac(result.cycles, result.macs),
            bytes(result.code_bytes),
            bytes(result.code_log_bytes),
            result.weights_bytes.to_string(),
            result.plan_bytes.to_string(),
            result.arena_bytes.to_string(),
            bytes(result.static_bytes),
            bytes(result.stack_bytes),
        ]);
    }
    totals
}

fn dash() -> String {
    "-".into()
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.0}"))
}

fn per_mac(value: Option<f64>, macs: u64) -> String {
    value.filter(|_| macs > 0).map_or_else(dash, |value| format!("{:.2}", value / macs as f64))
}
