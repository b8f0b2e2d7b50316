//! A report against an earlier one.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use still8_validation::{Failure, Result, files};

use super::Measurement;

/// How much worse a figure may be.
const TOLERANCE: f64 = 0.01;

/// An earlier report of `bench --json`, as far as it is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Baseline {
    results: Vec<Earlier>,
}

/// One of its results. What was not measured is `null`, what was not known to that report is absent.
#[derive(Clone, Debug, Deserialize)]
struct Earlier {
    model: String,
    on: String,
    #[serde(default)]
    board: String,
    kernels: String,
    instructions: Option<f64>,
    cycles: Option<f64>,
    code_bytes: Option<f64>,
    plan_bytes: Option<f64>,
    arena_bytes: Option<f64>,
    static_bytes: Option<f64>,
    stack_bytes: Option<f64>,
    #[serde(default)]
    ops: Vec<EarlierOp>,
}

#[derive(Clone, Debug, Deserialize)]
struct EarlierOp {
    name: String,
    instructions: Option<f64>,
}

/// A figure that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The model, the core or board, and the kernels.
    pub of: String,
    /// The total, or the op's name.
    pub figure: String,
    /// Earlier.
    pub before: f64,
    /// Now.
    pub after: f64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Results that both reports have.
    pub compared: usize,
    /// Totals that are more than 1 % worse.
    pub regressions: Vec<Change>,
    /// Totals that are better.
    pub improvements: Vec<Change>,
    /// Ops that need more than 1 % more instructions, which fails nothing.
    pub slower_ops: Vec<Change>,
    /// Results that only one of the reports has, and figures that only the earlier one has.
    pub missing: Vec<String>,
}

/// What a result is recognized by. Boards of one microcontroller core count the same, Linux machines do not.
fn key(model: &str, on: &str, board: &str, kernels: &str) -> String {
    let place = if on == "aarch64" && !board.is_empty() { board } else { on };
    format!("{model} on {place}, {kernels} kernels")
}

impl Baseline {
    /// Reads a report.
    ///
    /// # Errors
    /// [`Failure::Data`] where the file cannot be read or is no report of `bench --json`.
    pub fn read(path: &Path) -> Result<Self> {
        serde_json::from_slice(&files::read(path)?)
            .map_err(|error| Failure::data(path, format_args!("no report of `bench --json`: {error}")))
    }

    /// Compares every result that both have.
    pub fn compare(&self, results: &[Measurement]) -> Comparison {
        let mut comparison = Comparison::default();
        let key_of = |earlier: &Earlier| key(&earlier.model, &earlier.on, &earlier.board, &earlier.kernels);
        for result in results {
            let of = key(&result.model, result.on, &result.board, &result.kernels);
            match self.results.iter().find(|earlier| key_of(earlier) == of) {
                None => comparison.missing.push(format!("{of}: not in the earlier report")),
                Some(earlier) => comparison.add(&of, earlier, result),
            }
        }
        for earlier in &self.results {
            let of = key_of(earlier);
            if !results
                .iter()
                .any(|result| key(&result.model, result.on, &result.board, &result.kernels) == of)
            {
                comparison.missing.push(format!("{of}: only in the earlier report"));
            }
        }
        comparison
    }
}

impl Comparison {
    fn add(&mut self, of: &str, earlier: &Earlier, result: &Measurement) {
        self.compared += 1;
        let bytes = |value: Option<u64>| value.map(|value| value as f64);
        let totals = [
            ("instructions", earlier.instructions, result.instructions),
            ("cycles", earlier.cycles, result.cycles),
            ("code_bytes", earlier.code_bytes, bytes(result.code_bytes)),
            ("plan_bytes", earlier.plan_bytes, Some(result.plan_bytes as f64)),
            ("arena_bytes", earlier.arena_bytes, Some(result.arena_bytes as f64)),
            ("static_bytes", earlier.static_bytes, bytes(result.static_bytes)),
            ("stack_bytes", earlier.stack_bytes, bytes(result.stack_bytes)),
        ];
        for (figure, before, after) in totals {
            match (before, after) {
                (Some(before), Some(after)) => {
                    let change = Change { of: of.into(), figure: figure.into(), before, after };
                    if change.is_worse() {
                        self.regressions.push(change);
                    } else if after < before {
                        self.improvements.push(change);
                    }
                }
                (Some(_), None) => self.missing.push(format!("{of}: {figure} only in the earlier report")),
                (None, _) => (),
            }
        }
        let slower = result.ops.iter().filter_map(|op| {
            let earlier = earlier.ops.iter().find(|earlier| earlier.name == op.name)?;
            let (before, after) = (earlier.instructions?, op.instructions? as f64);
            let change = Change { of: of.into(), figure: op.name.clone(), before, after };
            change.is_worse().then_some(change)
        });
        self.slower_ops.extend(slower);
    }

    /// The failure that a regression is.
    ///
    /// # Errors
    /// [`Failure::Missed`] names every total that is more than 1 % worse.
    pub fn missed(&self) -> Result<()> {
        if self.regressions.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self.regressions.iter().map(|change| format!("\n  {change}")).collect();
        Err(Failure::Missed(format!("more than 1 % worse than the earlier report:{}", lines.concat())))
    }
}

impl Change {
    fn is_worse(&self) -> bool {
        self.after > self.before * (1.0 + TOLERANCE)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, figure, before, after } = self;
        write!(f, "{of}: {figure} {before:.0} -> {after:.0}")?;
        if *before > 0.0 {
            write!(f, " ({:+.1} %)", 100.0 * (after / before - 1.0))?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compared {} results with the earlier report", self.compared)?;
        for (what, changes) in [
            ("worse", &self.regressions),
            ("better", &self.improvements),
            ("an op with more instructions", &self.slower_ops),
        ] {
            for change in changes {
                write!(f, "\n{what}: {change}")?;
            }
        }
        for missing in &self.missing {
            write!(f, "\nnot compared: {missing}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::Op;
    use super::*;

    fn measurement(on: &'static str, board: &str, instructions: f64, arena_bytes: usize) -> Measurement {
        Measurement {
            model: "kws".into(),
            on,
            board: board.into(),
            family: "dsp",
            kernels: "dsp".into(),
            counter: "plugin",
            instructions: Some(instructions),
            cycles: None,
            macs: 100,
            code_bytes: Some(1000),
            code_log_bytes: None,
            weights_bytes: 50,
            plan_bytes: 100,
            arena_bytes,
            static_bytes: Some(0),
            stack_bytes: Some(200),
            ops: vec![Op {
                index: 0,
                name: "conv".into(),
                op: "Conv2d",
                instructions: Some(instructions as u64),
                cycles: None,
                macs: 100,
            }],
        }
    }

    fn compare(before: &[Measurement], after: &[Measurement]) -> Comparison {
        let report = super::super::Report { schema: 1, results: before.to_vec(), against: None };
        let baseline: Baseline = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        baseline.compare(after)
    }

    #[test]
    fn equal_reports_and_changes_within_one_percent_pass() {
        let before = measurement("cortex-m4", "mps2-an386", 1000.0, 300);
        let found = compare(from_ref(&before), from_ref(&before));
        assert_eq!(found, Comparison { compared: 1, ..Comparison::default() });
        let found = compare(&[before], &[measurement("cortex-m4", "mps2-an386", 1010.0, 303)]);
        assert!(found.missed().is_ok() && found.slower_ops.is_empty());
    }

    #[test]
    fn a_regression_names_model_core_figure_and_values() {
        let before = measurement("cortex-m4", "mps2-an386", 1000.0, 300);
        let found = compare(&[before], &[measurement("cortex-m4", "netduinoplus2", 1011.0, 200)]);
        let error = found.missed().unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(
            error.to_string().contains("kws on cortex-m4, dsp kernels: instructions 1000 -> 1011 (+1.1 %)"),
            "{error}"
        );
        assert_eq!(found.slower_ops.len(), 1);
        assert_eq!(found.improvements[0].figure, "arena_bytes");
        assert!(found.to_string().contains("better: kws on cortex-m4, dsp kernels: arena_bytes 300 -> 200"));
    }

    #[test]
    fn nothing_may_grow_from_zero() {
        let before = measurement("cortex-m4", "mps2-an386", 1000.0, 300);
        let after = Measurement { static_bytes: Some(8), ..before.clone() };
        assert_eq!(compare(&[before], &[after]).regressions[0].figure, "static_bytes");
    }

    #[test]
    fn what_only_one_report_has_is_said() {
        let (m4, m0) =
            (measurement("cortex-m4", "mps2-an386", 9.0, 3), measurement("cortex-m0", "microbit", 9.0, 3));
        let found = compare(from_ref(&m4), &[m0]);
        assert_eq!(found.compared, 0);
        assert_eq!(
            found.missing,
            [
                "kws on cortex-m0, dsp kernels: not in the earlier report",
                "kws on cortex-m4, dsp kernels: only in the earlier report",
            ]
        );
        let unmeasured = Measurement { instructions: None, ..m4.clone() };
        let found = compare(&[m4], &[unmeasured]);
        assert_eq!(found.missing, ["kws on cortex-m4, dsp kernels: instructions only in the earlier report"]);
    }

    #[test]
    fn linux_machines_are_told_apart() {
        let of = |board| measurement("aarch64", board, 9.0, 3);
        let found = compare(&[of("aarch64-linux"), of("aarch64-linux-a72")], &[of("aarch64-linux-a72")]);
        assert_eq!((found.compared, found.missing.len()), (1, 1));
    }
}
