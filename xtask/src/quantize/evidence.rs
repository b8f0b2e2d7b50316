//! Evidence of what each layer of a quantized network does by itself: the error that it alone adds, and what of its float
//! output its integers hold.

use still8::format::DataType;
use still8_validation::Result;
use still8_validation::data::Dataset;

use rayon::prelude::*;

use super::isolate::{self, layers};
use super::noise::Noise;
use super::{Progress, Quantized, Source, float_sample};
use crate::calibrate::{self, Histogram};
use crate::float::FloatRunner;
use crate::graph::ValueId;

/// Samples that layers are measured on, at most.
const SAMPLES: usize = 64;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Number of samples.
    pub samples: usize,
    /// One an op of the network; `None` for ops that only move data.
    pub layers: Vec<Option<LayerEvidence>>,
}

/// What was measured of a layer.
#[derive(Clone, Debug)]
pub struct LayerEvidence {
    /// SQNR in dB of the layer alone, fed with quantized floats, against the float run; `None` without a signal, and for
    /// layers whose values are not all int8.
    pub isolated_db: Option<f64>,
    /// The float output.
    pub histogram: Histogram,
    /// Share of the float output that lies further than half a step outside what the integers can say.
    pub clipped: f64,
    /// Bits of a weight; `None` for layers without weights.
    pub weight_bits: Option<u8>,
}

/// Of one layer on one sample.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    noise: Option<Noise>,
    clipped: u64,
    values: u64,
}

impl Source {
    /// Measures each layer of `quantized`, which was made of this source, alone, on the first samples of `data`.
    ///
    /// # Errors
    /// As [`Self::quantize`].
    pub fn evidence(
        &self,
        data: &Dataset,
        quantized: &Quantized,
        progress: &(impl Progress + Sync),
    ) -> Result<Evidence> {
        let graph = &quantized.float;
        let layers = layers(quantized)?;
        let outputs: Vec<ValueId> = layers.iter().map(|layer| layer.output).collect();
        let mut values = outputs.clone();
        values.extend(layers.iter().flat_map(|layer| &layer.inputs));
        values.sort_unstable();
        values.dedup();

        let samples = data.samples().min(SAMPLES);
        progress.start(3 * samples);
        let names: Vec<String> = outputs.iter().map(|&value| graph.values[value].name.clone()).collect();
        let float = FloatRunner::new(graph, &outputs);
        let run = |i: usize| Ok(float.run(&float_sample(data, i, graph)));
        let histograms = calibrate::observe(&names, samples, run, || progress.step())?;

        let float = FloatRunner::new(graph, &values);
        let of_sample = |i: usize| {
            let floats = float.run(&float_sample(data, i, graph));
            let floats: Vec<Vec<f32>> = floats.iter().map(|value| value.iter().copied().collect()).collect();
            let of = |value: ValueId| values.binary_search(&value).map_or(&[][..], |at| &floats[at]);
            let seen = layers.iter().map(|layer| seen(quantized, layer, of)).collect();
            progress.step();
            seen
        };
        let runs: Vec<Vec<Seen>> = (0..samples).into_par_iter().map(of_sample).collect::<Result<_>>()?;

        let mut evidence = vec![None; quantized.network.ops.len()];
        for (at, (layer, histogram)) in layers.iter().zip(histograms).enumerate() {
            // In the order of the samples, whatever the order of the threads.
            let mut total = Seen { noise: Some(Noise::default()), ..Seen::default() };
            for run in &runs {
                total.noise = total.noise.zip(run[at].noise).map(|(mut sum, noise)| {
                    sum.merge(noise);
                    sum
                });
                total.clipped += run[at].clipped;
                total.values += run[at].values;
            }
            // Taken apart, the network has conversions of its own between layers.
            let Some(op) = quantized.network.ops.iter().position(|op| op.name == layer.name) else {
                continue;
            };
            evidence[op] = Some(LayerEvidence {
                isolated_db: total.noise.and_then(|noise| noise.db()),
                histogram,
                clipped: total.clipped as f64 / total.values.max(1) as f64,
                weight_bits: quantized.scheme.weights.get(&layer.output).map(|weights| weights.bits),
            });
        }
        Ok(Evidence { samples, layers: evidence })
    }
}

/// The layer on the float values `of` one sample.
fn seen<'a>(
    quantized: &Quantized,
    layer: &isolate::Layer,
    of: impl Fn(ValueId) -> &'a [f32],
) -> Result<Seen> {
    let params = |value: ValueId| quantized.scheme.values[&value];
    let output = params(layer.output);
    let (low, high) = output.range();
    let slack = output.scale / 2.0;
    let floats = of(layer.output);
    let clipped = floats.iter().filter(|&&x| x < low - slack || x > high + slack).count();
    let mut seen = Seen { noise: None, clipped: clipped as u64, values: floats.len() as u64 };
    let all = layer.inputs.iter().chain([&layer.output]);
    if all.clone().all(|&value| params(value).dtype == DataType::Int8) {
        let inputs: Vec<Vec<i8>> = layer
            .inputs
            .iter()
            .map(|&value| of(value).iter().map(|&x| params(value).quantize_i8(x)).collect())
            .collect();
        let inputs: Vec<&[i8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut noise = Noise::default();
        for (&q, &real) in layer.run(&inputs)?.iter().zip(floats) {
            noise.add(real, output.dequantize(q.into()));
        }
        seen.noise = Some(noise);
    }
    Ok(seen)
}
