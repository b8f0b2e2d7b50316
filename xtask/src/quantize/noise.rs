//! How far each layer of the int8 network is from the float run, errors of earlier layers included.

use ndarray::ArrayD;
use still8_validation::Result;
use still8_validation::data::Dataset;

use super::golden::Reference;
use super::lower::Lowered;
use crate::float::FloatRunner;
use crate::graph::ValueId;
use crate::network::Golden;

/// Energies of a signal and of its quantization error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noise {
    signal: f64,
    error: f64,
}

impl Noise {
    pub(super) fn add(&mut self, real: f32, quantized: f32) {
        self.signal += f64::from(real).powi(2);
        self.error += (f64::from(real) - f64::from(quantized)).powi(2);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.signal += other.signal;
        self.error += other.error;
    }

    /// 10 · log₁₀(signal ⁄ error), infinite without error; `None` without a signal to compare with.
    pub(super) fn db(&self) -> Option<f64> {
        (self.signal > 0.0).then(|| 10.0 * (self.signal / self.error).log10())
    }
}

/// Runs the first samples of `data` in int8, and `floats`, which are the same samples, in float; `values` are what
/// `float` returns. Returns for each op the signal to quantization noise of its output in dB (`None` for ops that only move
/// data), and the first sample as the golden self-test.
///
/// # Errors
/// Those of [`Reference`].
pub(super) fn measure(
    lowered: &Lowered,
    float: &FloatRunner<'_>,
    values: &[ValueId],
    data: &Dataset,
    floats: impl Iterator<Item = Vec<ArrayD<f32>>>,
) -> Result<(Vec<Option<f64>>, Option<Golden>)> {
    let network = &lowered.network;
    let reference = Reference::new(network)?;
    // For each op whose output is one of `values`: which one, and the source index of each element.
    let compared: Vec<Option<(usize, Vec<usize>)>> = lowered
        .op_values
        .iter()
        .map(|op| {
            let (value, layout) = op.as_ref()?;
            Some((values.iter().position(|other| other == value)?, layout.source_indices()))
        })
        .collect();
    let mut noise = vec![Noise::default(); network.ops.len()];
    let mut golden = None;
    let transfer = reference.transfer();
    let device = transfer.to_device(data)?;
    for (sample, int8) in floats.zip(device.bytes.chunks_exact(transfer.input_bytes())) {
        let floats = float.run(&sample);
        let outputs = reference.run(int8)?;
        for (op, bytes) in outputs.ops.iter().enumerate() {
            let Some((value, indices)) = &compared[op] else {
                continue;
            };
            let real: Vec<f32> = floats[*value].iter().copied().collect();
            let tensor = &network.tensors[network.ops[op].output];
            for (&source, q) in indices.iter().zip(tensor.quantization.integers(bytes)) {
                noise[op].add(real[source], tensor.quantization.dequantize(q));
            }
        }
        if golden.is_none() {
            golden = Some(reference.golden(int8)?);
        }
    }
    let sqnr_db =
        noise.iter().zip(&compared).map(|(noise, compared)| compared.as_ref().and(noise.db())).collect();
    Ok((sqnr_db, golden))
}
