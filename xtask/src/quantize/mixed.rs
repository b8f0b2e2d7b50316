//! The search for precisions on a model: which layers are free, and what a network of some precisions costs and loses.

use std::collections::HashMap;

use still8::format::Family;
use still8_validation::Result;
use still8_validation::data::Dataset;
use still8_validation::recipe::Precision;

use super::pins::{self, Pin, layer_name};
use super::search::{Bounds, Found, Freedom, Outcome, search};
use super::trial::Trial;
use super::{Progress, Quantized, Settings, Silent, Source, fuse, lower, spread};
use crate::emit::emit;
use crate::graph::ValueId;
use crate::recover::Recovery;

/// Samples that networks are judged on while it is searched, at most.
const SAMPLES: usize = 256;

/// What was found, and how.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The layers, in order.
    pub layers: Vec<String>,
    /// The result of the search, precisions in the order of the layers.
    pub found: Found,
}

impl Searched {
    /// The layers that have another precision than int8.
    pub fn pins(&self) -> Vec<Pin> {
        let pins = self.layers.iter().zip(&self.found.precisions);
        pins.filter(|(_, precision)| **precision != Precision::Int8)
            .map(|(name, &precision)| (name.clone(), precision))
            .collect()
    }
}

impl Source {
    /// Looks for the cheapest precisions that keep `bounds`, for a plan of `family`. Layers that `settings` pin stay so.
    ///
    /// Two whole quantizations, one with int8 weights and one with int4 weights wherever there are any, give every layer's
    /// recovered weights and bias in either precision. Of these, networks of mixed precisions are put together and run.
    /// Points lost are those of samples whose largest output is another than the float network's.
    ///
    /// # Errors
    /// As [`Self::quantize`].
    pub fn search(
        &self,
        data: &Dataset,
        settings: &Settings,
        (bounds, family): (Bounds, Family),
        progress: &(impl Progress + Sync),
    ) -> Result<Searched> {
        if let Some((step, balanced)) = self.balanced(data, settings)? {
            // One graph for all that is mixed.
            let settings = settings.without(Recovery::Equalize);
            let source = if step.kept { &balanced } else { self };
            return source.search(data, &settings, (bounds, family), progress);
        }
        let graph = &self.imported.graph;
        let steps = fuse::fuse_activations(graph);
        let pinned = pins::precisions(graph, &steps, &settings.pins)?;
        let layers: Vec<_> = steps
            .iter()
            .filter(|step| {
                pins::has(graph, step, Precision::Int4) || pins::has(graph, step, Precision::Int16)
            })
            .collect();
        progress.start(3 * layers.len() + 2);
        let base = self.quantize(data, settings, &Silent)?;
        progress.step();
        let narrow = |step: &&&fuse::Fused| {
            !pinned.contains_key(&step.output) && pins::has(graph, step, Precision::Int4)
        };
        let narrow = layers.iter().filter(narrow);
        let narrow = narrow.map(|step| (layer_name(graph, step).to_owned(), Precision::Int4));
        let pins = settings.pins.iter().cloned().chain(narrow).collect();
        let narrow = self.quantize(data, &Settings { pins, ..settings.clone() }, &Silent)?;
        progress.step();

        // Self-test and lineage, which a lowered network has not got.
        let bare = lower::lower(&base.graph, &steps, &base.scheme)?.network;
        let rest = emit(&base.network, family)?.bytes.len() - emit(&bare, family)?.bytes.len();
        let samples = spread(&(0..data.samples()).collect::<Vec<_>>(), SAMPLES);
        let trial = Trial::new(graph, data, &samples).of(settings.task);
        let freedoms: Vec<Freedom> = layers
            .iter()
            .map(|step| pinned.get(&step.output).map_or(Freedom::Free, |&pin| Freedom::Pinned(pin)))
            .collect();
        let mut known: HashMap<Vec<Precision>, Option<Outcome>> = HashMap::new();
        let measure = |precisions: &[Precision]| {
            if let Some(&outcome) = known.get(precisions) {
                return Ok(outcome);
            }
            progress.step();
            let chosen = layers.iter().zip(precisions);
            let possible = chosen.clone().all(|(step, &precision)| pins::has(graph, step, precision));
            let outcome = if possible {
                let chosen = chosen.map(|(step, &precision)| (step.node, step.output, precision));
                let mixed = mix(&base, &narrow, chosen);
                let judged = trial.judge(&mixed.graph, &steps, &mixed.scheme)?;
                let network = lower::lower(&mixed.graph, &steps, &mixed.scheme)?.network;
                let emitted = emit(&network, family)?;
                Some(Outcome {
                    drop: 100.0 * judged.disagreement,
                    error: judged.error,
                    flash: emitted.bytes.len() + rest,
                    ram: emitted.memory.arena_bytes,
                })
            } else {
                None
            };
            known.insert(precisions.to_vec(), outcome);
            Ok(outcome)
        };
        let found = search(&freedoms, bounds, measure)?;
        let found = found.ok_or_else(|| {
            still8_validation::Failure::Unsupported(
                "the network has no form with its own precisions".to_owned(),
            )
        })?;
        let layers = layers.iter().map(|step| layer_name(graph, step).to_owned()).collect();
        Ok(Searched { layers, found })
    }
}

/// The network whose layers have these precisions, each with the weights and the bias that it has in `base` or in `narrow`.
fn mix(
    base: &Quantized,
    narrow: &Quantized,
    layers: impl Iterator<Item = (usize, ValueId, Precision)>,
) -> Quantized {
    let mut mixed = base.clone();
    for (node, output, precision) in layers {
        match precision {
            Precision::Int8 => {}
            Precision::Int16 => {
                mixed.scheme.wide.insert(output);
            }
            Precision::Int4 => {
                if let Some(weights) = narrow.scheme.weights.get(&output) {
                    mixed.scheme.weights.insert(output, weights.clone());
                }
                let bias = narrow.graph.nodes[node].inputs.get(2);
                if let Some(contents) = bias.and_then(|&bias| narrow.graph.constant(bias)) {
                    let id = mixed.graph.add_constant("bias", contents.clone());
                    let inputs = &mut mixed.graph.nodes[node].inputs;
                    inputs.truncate(2);
                    inputs.push(id);
                }
            }
        }
    }
    mixed
}
