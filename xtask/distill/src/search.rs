//! The best student that fits a budget: sizes from the compiler, then successive halving (Jamieson and Talwalkar,
//! arXiv:1502.07943).

use std::str::FromStr;

use serde::Serialize;
use still8::format::Family as Kernels;
use still8_validation::data::Dataset;
use still8_validation::{Failure, Result};
use xtask::boards::{self, Board};
use xtask::console::{Console, percent, table};
use xtask::emit::emit;
use xtask::quantize::{Progress, Settings, Source};

use crate::quantized::{folded, unscaled};
use crate::run::{Bench, Teaching};
use crate::student::{Family, Student};

/// Widths and depths that are tried.
const WIDTHS: [usize; 10] = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96];
const DEPTHS: [usize; 6] = [2, 3, 4, 5, 6, 8];

/// Candidates of the first round, at most: those with the most multiply-accumulates among those that fit.
const FIRST: usize = 8;

/// What the application around a plan takes, with its log: see the measured sizes in the README.
const CODE: usize = 32 * 1024;
/// Statics, stack and buffers around the arena.
const AROUND_ARENA: usize = 4 * 1024;

/// Limits, in bytes and multiply-accumulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Of the plan.
    pub flash: Option<usize>,
    /// Of the arena.
    pub ram: Option<usize>,
    /// Of one inference.
    pub macs: Option<usize>,
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut budget = Self::default();
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}`: expected flash=64K,ram=16K,macs=2M"))?;
            let (digits, unit) = match value.strip_suffix(['K', 'k']) {
                Some(digits) => (digits, if key == "macs" { 1000 } else { 1024 }),
                None => match value.strip_suffix('M') {
                    Some(digits) => (digits, if key == "macs" { 1_000_000 } else { 1024 * 1024 }),
                    None => (value, 1),
                },
            };
            let number = digits.parse::<f64>().ok().filter(|n| *n > 0.0);
            let number = number.ok_or_else(|| format!("`{value}` is no number, such as 64K or 2.5M"))?;
            let place = match key {
                "flash" => &mut budget.flash,
                "ram" => &mut budget.ram,
                "macs" => &mut budget.macs,
                _ => return Err(format!("unknown budget `{key}`; known: flash, ram, macs")),
            };
            *place = Some((number * f64::from(unit)) as usize);
        }
        Ok(budget)
    }
}

impl Budget {
    /// Also fits a board, beside an application.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a board without a memory map.
    pub fn on(self, board: &Board) -> Result<Self> {
        let Some(memory) = &board.memory else {
            return Err(Failure::Usage(format!("board {} has no memory map to fit", board.name)));
        };
        let rest =
            |region: u64, around: usize| usize::try_from(region).unwrap_or(usize::MAX).saturating_sub(around);
        let least = |own: Option<usize>, board: usize| Some(own.map_or(board, |own| own.min(board)));
        Ok(Self {
            flash: least(self.flash, rest(memory.flash.length, CODE)),
            ram: least(self.ram, rest(memory.ram.length, AROUND_ARENA)),
            macs: self.macs,
        })
    }

    fn fits(&self, candidate: &Candidate) -> bool {
        let within = |limit: Option<usize>, found: usize| limit.is_none_or(|limit| found <= limit);
        within(self.flash, candidate.plan_bytes)
            && within(self.ram, candidate.arena_bytes)
            && within(self.macs, candidate.macs)
    }
}

/// A student that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Width.
    pub width: usize,
    /// Depth.
    pub depth: usize,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiply-accumulates.
    pub macs: usize,
    /// Of the plan.
    pub plan_bytes: usize,
    /// Of the arena.
    pub arena_bytes: usize,
    /// For each round that it took part in: epochs, and agreement with the teacher (or accuracy, or the loss below 0) on
    /// held-out samples.
    pub rounds: Vec<(usize, f64)>,
}

/// The best student within the budget, and everything that was tried.
///
/// # Errors
/// [`Failure::Missed`] where nothing fits, [`Failure::Usage`] where the recipe lists layers and so names no family.
pub fn search(
    bench: &Bench,
    budget: Budget,
    kernels: Kernels,
    console: Console,
) -> Result<(Student, Vec<Candidate>)> {
    let Some(family) = bench.config.student.family else {
        return Err(Failure::Usage(
            "--budget needs `distill.student.family`; listed layers have no width and depth".into(),
        ));
    };
    let bar = console.progress("sizing students");
    bar.start(WIDTHS.len() * DEPTHS.len());
    let mut smallest: Option<Candidate> = None;
    let mut candidates = Vec::new();
    for (width, depth) in WIDTHS.into_iter().flat_map(|width| DEPTHS.map(|depth| (width, depth))) {
        bar.step();
        let Some(candidate) = size(bench, family, (width, depth), budget.macs, kernels)? else { continue };
        if smallest.as_ref().is_none_or(|known| candidate.plan_bytes < known.plan_bytes) {
            smallest = Some(candidate.clone());
        }
        if budget.fits(&candidate) {
            candidates.push(candidate);
        }
    }
    drop(bar);
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.macs));
    candidates.truncate(FIRST);
    if candidates.is_empty() {
        let beyond = || format!(": every one has more than {} macs", budget.macs.unwrap_or_default());
        let least = smallest.map_or_else(beyond, |least| {
            format!(
                ": the smallest, width {} and depth {}, needs {} bytes of plan, {} of arena and {} MACs",
                least.width, least.depth, least.plan_bytes, least.arena_bytes, least.macs
            )
        });
        return Err(Failure::Missed(format!("no {} fits the budget{least}", family.name())));
    }
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut epochs = (bench.config.schedule.epochs / 8).max(1);
    while left.len() > 1 {
        console.say(format!("{} students, {epochs} epochs each", left.len()));
        for &i in &left {
            let student = Student::of(family, candidates[i].width, candidates[i].depth);
            let score = bench.trial(&student, Teaching::Distilled, epochs)?;
            candidates[i].rounds.push((epochs, score));
        }
        let score = |i: &usize| candidates[*i].rounds.last().map_or(0.0, |round| round.1);
        left.sort_by(|a, b| score(b).total_cmp(&score(a)));
        left.truncate(left.len().div_ceil(2));
        epochs *= 2;
    }
    let best = &candidates[left[0]];
    let student = Student::of(family, best.width, best.depth);
    console.say(render(&candidates));
    console.say(format!("chosen: {}", student.describe()));
    Ok((student, candidates))
}

/// What a student takes, by the compiler's own plan of it; `None` beyond so many multiply-accumulates, or where the family
/// has no such member for the input.
fn size(
    bench: &Bench,
    family: Family,
    (width, depth): (usize, usize),
    macs: Option<usize>,
    kernels: Kernels,
) -> Result<Option<Candidate>> {
    let Ok(net) = bench.student(&Student::of(family, width, depth), 1) else { return Ok(None) };
    if macs.is_some_and(|limit| net.macs() > limit) {
        return Ok(None);
    }
    let folder =
        tempfile::tempdir().map_err(|error| Failure::Data(format!("no temporary folder: {error}")))?;
    let file = folder.path().join("student.onnx");
    let bytes = bench.onnx(&unscaled(&folded(&net), bench.scale, 1.0), &[]);
    std::fs::write(&file, bytes).map_err(|error| Failure::data(&file, error))?;
    let source = Source::open(&file, &[])?;
    let mut settings = Settings {
        recover: Vec::new(),
        method: Some(still8_validation::recipe::Calibration::MinMax),
        ..Settings::default()
    };
    if let Some([low, high]) = bench.model.input().range {
        settings.input_ranges.insert(bench.model.recipe().input.name.clone(), (low, high));
    }
    let data = Dataset::random(1, &source.inputs(&settings.input_ranges), 4);
    let quantized = source.quantize(&data, &settings, &Silent)?;
    let emitted = emit(&quantized.network, kernels)?;
    let runner = still8_validation::host::HostRunner::new(&emitted.bytes)
        .map_err(|error| Failure::data(&file, error))?;
    Ok(Some(Candidate {
        width,
        depth,
        parameters: net.parameters(),
        macs: net.macs(),
        plan_bytes: emitted.bytes.len(),
        arena_bytes: runner.plan().arena_bytes(),
        rounds: Vec::new(),
    }))
}

struct Silent;

impl Progress for Silent {
    fn start(&self, _: usize) {}
    fn step(&self) {}
}

/// The table of what was tried.
pub fn render(candidates: &[Candidate]) -> String {
    let mut text = table(&["width", "depth", "parameters", "MACs", "plan", "arena", "held out, by epochs"]);
    for c in candidates {
        let rounds: Vec<String> =
            c.rounds.iter().map(|&(epochs, score)| format!("{epochs}: {}", held_out(score))).collect();
        let sizes =
            [c.width, c.depth, c.parameters, c.macs, c.plan_bytes, c.arena_bytes].map(|n| n.to_string());
        text.add_row(sizes.into_iter().chain([rounds.join(", ")]));
    }
    text.to_string()
}

/// The score of a trial: a share, or below 0 a loss.
fn held_out(score: f64) -> String {
    if score < 0.0 { format!("loss {:.4}", -score) } else { percent(Some(score)) }
}

/// The board of this name.
///
/// # Errors
/// [`Failure::Usage`] that lists the boards.
pub fn board(name: &str) -> Result<Board> {
    boards::find(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_have_units() {
        let budget: Budget = "flash=64K,ram=16K,macs=2.5M".parse().unwrap();
        assert_eq!(budget, Budget { flash: Some(65_536), ram: Some(16_384), macs: Some(2_500_000) });
        assert!("flash=x".parse::<Budget>().unwrap_err().contains("no number"));
        assert!("size=1".parse::<Budget>().unwrap_err().contains("known: flash, ram, macs"));
    }

    #[test]
    fn boards_leave_room_for_the_application() {
        let board = board("microbit").unwrap();
        let budget = Budget { flash: Some(usize::MAX), ..Budget::default() }.on(&board).unwrap();
        assert_eq!((budget.flash, budget.ram), (Some(256 * 1024 - CODE), Some(16 * 1024 - AROUND_ARENA)));
    }
}
