//! Fills a report from what the stages of a quantization leave behind.

use std::path::PathBuf;

use bytemuck::cast_slice;
use sha2::{Digest, Sha256};
use still8::format::{DataType, FORMAT_VERSION, Family};
use still8_validation::data::{Dataset, Sample, Tensor};
use still8_validation::{files, recipe, validate};

use super::{
    Alone, Arena, Block, BlockKind, DataHash, Distribution, Flash, FlashPart, Hashes, Layer, Limits, Port,
    Recovered, Report, SCHEMA, Sensitivity, Tried, Versions,
};
use crate::calibrate::Method;
use crate::commands::operator_name;
use crate::emit::Emitted;
use crate::network::{self, Kind, Network};
use crate::plan;
use crate::quantize::Quantized;
use crate::quantize::evidence::{Evidence, LayerEvidence};
use crate::quantize::mixed::Searched;
use crate::quantize::search::{self, Bounds, Outcome};
use crate::quantize::trial::decibels;

/// Bins of a distribution.
const BINS: usize = 64;

/// Everything that a report is made of.
pub struct Parts<'a> {
    /// The network, and how it was made.
    pub quantized: &'a Quantized,
    /// The plan.
    pub emitted: &'a Emitted,
    /// The plan's file: the plan, and its card behind it.
    pub file: &'a [u8],
    /// The family that it is packed for.
    pub family: Family,
    /// The plan's path.
    pub plan: PathBuf,
    /// Where the QDQ form was written.
    pub qdq: Option<PathBuf>,
    /// The layers one by one; empty where they were not measured.
    pub evidence: &'a Evidence,
    /// The calibration data, or those of it that are held.
    pub calibration: &'a Dataset,
    /// Number of calibration samples.
    pub samples: usize,
    /// The three networks on the model's test data, and the data.
    pub validation: Option<(validate::Report, DataHash)>,
    /// Whether calibration chose ranges; false where the source brought them all.
    pub calibrated: bool,
    /// The search for precisions.
    pub searched: Option<Searched>,
    /// What must be kept.
    pub bounds: Bounds,
    /// Seed of random calibration samples.
    pub seed: Option<u64>,
}

/// The report.
pub fn gather(parts: Parts<'_>) -> Report {
    let Parts { quantized, emitted, evidence, .. } = parts;
    let network = &quantized.network;
    let layers: Vec<Layer> = (0..network.ops.len()).map(|index| layer(&parts, index)).collect();
    let configuration = configuration(&parts, &layers);
    let (validation, test) = parts.validation.unzip();
    let tried = |&(method, db): &(Method, f64)| Tried { method: method.to_string(), sqnr_db: finite(db) };
    Report {
        schema: SCHEMA,
        name: network.name.clone(),
        plan_bytes: parts.file.len(),
        flash_bytes: emitted.bytes.len(),
        weights_bytes: layers.iter().map(|layer| layer.weights_bytes).sum(),
        arena_bytes: emitted.memory.arena_bytes,
        arena_lower_bound: emitted.memory.lower_bound,
        arena_peak_layer: network.ops.get(emitted.memory.peak_op).map(|op| op.name.clone()),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        parameters: network.parameters(),
        family: parts.family.name().to_owned(),
        calibration: quantized.calibration.method.to_string(),
        calibration_samples: parts.samples,
        calibration_tried: quantized.calibration.errors.iter().map(tried).collect(),
        recovery: quantized
            .recovery
            .iter()
            .map(|step| Recovered {
                step: step.recovery.name().to_owned(),
                before_db: finite(step.before_db),
                after_db: finite(step.after_db),
                kept: step.kept,
            })
            .collect(),
        layers,
        folded: quantized.folded.clone(),
        warnings: quantized.warnings.clone(),
        measured_samples: evidence.samples,
        validation,
        limits: Limits {
            max_drop: parts.bounds.drop,
            max_flash: parts.bounds.flash,
            max_ram: parts.bounds.ram,
        },
        arena: arena(network, &emitted.memory),
        flash_rest: rest(emitted, parts.file),
        sensitivity: parts.searched.iter().flat_map(sensitivity).collect(),
        inputs: network.inputs.iter().map(|io| port(network, io)).collect(),
        outputs: network.outputs.iter().map(|io| port(network, io)).collect(),
        hashes: Hashes {
            model: hex(&network.source_sha256),
            calibration: data_hash(parts.calibration),
            test,
            configuration: files::sha256_hex(configuration.as_bytes()),
            plan: files::sha256_hex(parts.file),
        },
        configuration,
        seed: parts.seed,
        versions: Versions { still8: env!("CARGO_PKG_VERSION").to_owned(), plan_format: FORMAT_VERSION },
        plan: parts.plan,
        qdq: parts.qdq,
    }
}

/// What in the plan's file belongs to no layer.
fn rest(emitted: &Emitted, file: &[u8]) -> Vec<FlashPart> {
    let card = ("model card, not flashed", file.len() - emitted.bytes.len());
    let rest = emitted.rest.iter().copied().chain((card.1 > 0).then_some(card));
    rest.map(|(name, bytes)| FlashPart { name: name.to_owned(), bytes }).collect()
}

fn layer(parts: &Parts<'_>, index: usize) -> Layer {
    let network = &parts.quantized.network;
    let op = &network.ops[index];
    let output = &network.tensors[op.output];
    let bytes = parts.emitted.ops[index];
    let evidence = parts.evidence.layers.get(index).and_then(Option::as_ref);
    let sqnr_db = parts.quantized.sqnr_db[index].and_then(finite);
    let quantization = output.quantization;
    Layer {
        index,
        name: op.name.clone(),
        op: operator_name(op.kind.code()).to_owned(),
        dtype: quantization.dtype.name().to_owned(),
        weight_bits: evidence.and_then(|evidence| evidence.weight_bits),
        macs: network.macs(op),
        weights_bytes: parts.emitted.ops[index].weights,
        flash: Flash { weights: bytes.weights, constants: bytes.constants, records: bytes.records },
        input_shapes: op.inputs.iter().map(|&input| network.tensors[input].shape).collect(),
        output_shape: output.shape,
        scale: quantization.scale,
        zero_point: quantization.zero_point,
        accumulator_bound: network.accumulator_bound(op),
        sqnr_db,
        sqnr_isolated_db: evidence.and_then(|evidence| evidence.isolated_db).and_then(finite),
        distribution: evidence.map(|evidence| distribution(evidence, quantization.range())),
        // What the file holds as integers stays as it is.
        widen: sqnr_db.filter(|_| parts.calibrated && has_int16(&op.kind)).and_then(|_| pin(&op.name, 16)),
    }
}

fn distribution(evidence: &LayerEvidence, (clip_low, clip_high): (f32, f32)) -> Distribution {
    let (low, high) = evidence.histogram.extremes();
    Distribution {
        low,
        high,
        counts: evidence.histogram.counts(BINS),
        zeros: evidence.histogram.zeros(),
        clip_low,
        clip_high,
        clipped: evidence.clipped,
    }
}

/// Whether an op on int8 has a form on int16.
fn has_int16(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Conv2d { .. }
            | Kind::DepthwiseConv2d { .. }
            | Kind::FullyConnected { .. }
            | Kind::Add(_)
            | Kind::Mean(_)
            | Kind::Table { .. }
    )
}

/// The sensitivity table.
fn sensitivity(searched: &Searched) -> Vec<Sensitivity> {
    let alone = |outcome: Outcome| Alone {
        drop: outcome.drop,
        sqnr_db: finite(decibels(outcome.error)),
        plan_bytes: outcome.flash,
        arena_bytes: outcome.ram,
    };
    let row = |row: &search::Sensitivity| Sensitivity {
        layer: searched.layers[row.layer].clone(),
        narrow: row.narrow.map(alone),
        wide: row.wide.map(alone),
    };
    searched.found.sensitivity.iter().map(row).collect()
}

/// Lines of a `model.toml` that give the layer so many bits, where this version's recipes can say so.
fn pin(name: &str, bits: u8) -> Option<String> {
    let lines = format!("name = {}\nbits = {bits}\n", toml::Value::from(name));
    toml::from_str::<recipe::Quantize>(&format!("[[layer]]\n{lines}")).ok()?;
    Some(format!("[[quantize.layer]]\n{lines}"))
}

/// The choices that were made, as the `[quantize]` section of a recipe.
fn configuration(parts: &Parts<'_>, layers: &[Layer]) -> String {
    let mut text = String::from("[quantize]\n");
    if parts.calibrated {
        text += &format!("calibration = \"{}\"\n", parts.quantized.calibration.method);
    }
    // A step that was undone left nothing behind.
    let kept = parts.quantized.recovery.iter().filter(|step| step.kept);
    let kept: Vec<_> = kept.map(|step| format!("\"{}\"", step.recovery.name())).collect();
    text += &format!("recover = [{}]\n", kept.join(", "));
    for layer in layers {
        let bits = match (layer.dtype == DataType::Int16.name(), layer.weight_bits) {
            (true, _) => 16,
            (_, Some(4)) => 4,
            _ => continue,
        };
        text.extend(pin(&layer.name, bits));
    }
    text
}

fn arena(network: &Network, memory: &plan::MemoryPlan) -> Arena {
    let live = |op: usize| {
        let live = memory.blocks.iter().filter(|block| block.first <= op && op <= block.last);
        live.map(|block| block.bytes).sum()
    };
    Arena {
        peak_layer: (!network.ops.is_empty()).then_some(memory.peak_op),
        live_bytes: (0..network.ops.len()).map(live).collect(),
        blocks: memory.blocks.iter().map(|taken| block(network, taken)).collect(),
    }
}

fn block(network: &Network, block: &plan::Block) -> Block {
    let written = network.ops.iter().filter(|op| block.tensors.contains(&op.output));
    let mut names: Vec<&str> = written.map(|op| op.name.as_str()).collect();
    let input = network.inputs.iter().find(|port| block.tensors.contains(&port.tensor));
    let kind = match (block.tensors.is_empty(), input) {
        (true, _) => {
            names.extend(network.ops.get(block.first).map(|op| op.name.as_str()));
            BlockKind::Scratch
        }
        (_, Some(port)) => {
            names.insert(0, &port.name);
            BlockKind::Input
        }
        _ => BlockKind::Activation,
    };
    let plan::Block { offset, bytes, first, last, .. } = *block;
    Block { name: names.join(", "), kind, offset, bytes, first, last }
}

fn port(network: &Network, port: &network::Port) -> Port {
    let quantization = network.tensors[port.tensor].quantization;
    Port {
        name: port.name.clone(),
        shape: port.shape.clone(),
        dtype: quantization.dtype.name().to_owned(),
        scale: quantization.scale,
        zero_point: quantization.zero_point,
    }
}

/// The hash of the file that a data set came from, or of its values where there is none.
pub fn data_hash(data: &Dataset) -> DataHash {
    let path = std::path::Path::new(&data.origin);
    let of_file = if path.is_file() { files::sha256_file(path).ok() } else { None };
    let sha256 = of_file.unwrap_or_else(|| {
        let mut hash = Sha256::new();
        for (_, tensor) in &data.inputs {
            (0..tensor.samples()).for_each(|i| hash_sample(&mut hash, tensor, i));
        }
        hex(&hash.finalize())
    });
    DataHash { origin: data.origin.clone(), sha256 }
}

fn hash_sample(hash: &mut Sha256, tensor: &Tensor, i: usize) {
    match tensor.sample(i) {
        Sample::Float(values) => values.iter().for_each(|x| hash.update(x.to_le_bytes())),
        Sample::Int8(values) => hash.update(cast_slice::<i8, u8>(values)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What JSON can say: no infinity.
fn finite(db: f64) -> Option<f64> {
    Some(db).filter(|db| db.is_finite())
}
