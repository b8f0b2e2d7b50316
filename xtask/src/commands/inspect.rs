//! `cargo xtask inspect`: what a plan holds, and its model card.

use std::path::{Path, PathBuf};

use serde::Serialize;
use still8::plan::Io;
use still8_validation::host::HostRunner;
use still8_validation::{Failure, Result, files};

use crate::card;
use crate::console::{Console, table};

/// Options of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The plan file.
    pub plan: PathBuf,
    /// Also write the model card: a self-contained page (.html), one object (.json) or Markdown (.md). May be given several
    /// times.
    #[arg(long, value_name = "FILE", value_parser = parse_card)]
    pub card: Vec<PathBuf>,
}

fn parse_card(path: &str) -> std::result::Result<PathBuf, String> {
    card::Form::of(Path::new(path)).map(|_| PathBuf::from(path))
}

/// The command's report; field names are those of the command contract.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub plan: PathBuf,
    pub format_version: u16,
    pub name: String,
    /// Of the plan file.
    pub sha256: String,
    /// Of the ONNX file that it was made from.
    pub source_sha256: String,
    pub family: &'static str,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Of the file.
    pub plan_bytes: usize,
    /// Those of them that are flashed: all but the model card behind the plan.
    pub flash_bytes: usize,
    pub arena_bytes: usize,
    pub golden: bool,
    pub ops: Vec<Op>,
    /// The model card, or what the plan itself says of where it came from.
    pub lineage: Option<toml::Table>,
}

/// A graph input or output.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Port {
    pub name: String,
    /// In the source graph.
    pub shape: Vec<u32>,
    /// Source axes in the order in which the device nests them.
    pub layout: Vec<u8>,
    pub dtype: &'static str,
    pub scale: f32,
    pub zero_point: i32,
}

/// An op.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Op {
    pub index: usize,
    pub name: String,
    pub op: &'static str,
    /// Device layout.
    pub output_shape: Vec<u32>,
}

impl Port {
    fn new(io: Io<'_>) -> Self {
        Self {
            name: io.name.to_owned(),
            shape: io.shape.to_vec(),
            layout: io.permutation.to_vec(),
            dtype: io.dtype.name(),
            scale: io.quantization.scale,
            zero_point: io.quantization.zero_point,
        }
    }

    /// The range and a worked example.
    fn describe(&self, kind: &str) -> String {
        let params = still8::QuantParams { scale: self.scale, zero_point: self.zero_point };
        let (low, high) = (params.dequantize(-128), params.dequantize(127));
        format!(
            "{kind} `{}` {:?} {}, device order of its axes {:?}: real = {} * (q - {}), from {low} to {high}; for example {high} is 127",
            self.name, self.shape, self.dtype, self.layout, self.scale, self.zero_point
        )
    }
}

/// Reads a plan and reports what it holds.
///
/// # Errors
/// [`Failure::Data`] where it is not a valid plan, or a card cannot be written.
pub fn run(options: &Options, console: Console) -> Result<Report> {
    let path = &options.plan;
    let bytes = files::read(path)?;
    let runner = HostRunner::new(&bytes).map_err(|error| Failure::data(path, error))?;
    let plan = runner.plan();
    let output_shape = |op: &still8::format::OpRecord| {
        let output = plan.operands_of(op).and_then(|operands| operands.get(usize::from(op.inputs)));
        output.map_or_else(Vec::new, |&tensor| plan.tensors()[usize::from(tensor)].shape.to_vec())
    };
    let found = card::file::read(&bytes, &plan);
    let report = Report {
        schema: 1,
        plan: path.to_owned(),
        format_version: plan.header().version,
        name: plan.name().to_owned(),
        sha256: files::sha256_hex(&bytes),
        source_sha256: plan.header().source_sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        family: plan.family().name(),
        inputs: (0..plan.input_count()).filter_map(|i| plan.input(i)).map(Port::new).collect(),
        outputs: (0..plan.output_count()).filter_map(|i| plan.output(i)).map(Port::new).collect(),
        plan_bytes: bytes.len(),
        flash_bytes: plan.file_bytes(),
        arena_bytes: plan.arena_bytes(),
        golden: plan.golden().is_some(),
        ops: plan
            .ops()
            .iter()
            .enumerate()
            .map(|(index, op)| Op {
                index,
                name: plan.text(op.name).to_owned(),
                op: plan.operator_name(op),
                output_shape: output_shape(op),
            })
            .collect(),
        lineage: found.text.and_then(|text| text.parse().ok()),
    };
    found.warnings.iter().for_each(|warning| console.warn(warning));
    console.say(render(&report));
    console.say(format!("\n{}", card::text(&card::document::document(&found.card))));
    options.card.iter().try_for_each(|path| card::write(&found.card, path))?;
    Ok(report)
}

fn render(report: &Report) -> String {
    let mut lines = vec![format!(
        "{}: format {}, {} order, {} bytes, arena {} bytes, golden self-test {}",
        report.name,
        report.format_version,
        report.family,
        report.flash_bytes,
        report.arena_bytes,
        if report.golden { "inside" } else { "absent" }
    )];
    lines.push(format!("sha256 {}\nmade from ONNX sha256 {}", report.sha256, report.source_sha256));
    lines.extend(report.inputs.iter().map(|port| port.describe("input")));
    lines.extend(report.outputs.iter().map(|port| port.describe("output")));
    let mut ops = table(&["op", "name", "operator", "output n,h,w,c"]);
    for op in &report.ops {
        let shape: Vec<String> = op.output_shape.iter().map(u32::to_string).collect();
        ops.add_row([op.index.to_string(), op.name.clone(), op.op.to_owned(), shape.join(",")]);
    }
    lines.push(ops.to_string());
    lines.join("\n")
}
