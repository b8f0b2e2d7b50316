//! Layers of other precisions than int8: pinned, and searched for.

use std::path::{Path, PathBuf};

use still8::format::{Family, OpCode};
use still8_validation::data::Dataset;
use still8_validation::model::{DataKind, Model};
use still8_validation::recipe::Precision;
use xtask::emit::emit;
use xtask::quantize::pins::Pin;
use xtask::quantize::search::Bounds;
use xtask::quantize::trial::Trial;
use xtask::quantize::{Quantized, Settings, Silent, Source};

const USAGE: u8 = 2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/motion")
}

fn motion() -> (Source, Dataset) {
    let model = Model::open(&folder()).unwrap();
    let source = Source::open(&model.student().unwrap(), &[]).unwrap();
    (source, model.dataset(DataKind::Calibration).unwrap())
}

fn settings(pins: Vec<Pin>) -> Settings {
    Settings { pins, ..Settings::default() }
}

/// The layers of the network that have weights, by name.
fn weighted(quantized: &Quantized) -> Vec<String> {
    let ops = quantized.network.ops.iter().filter(|op| !op.kind.weights().is_empty());
    ops.map(|op| op.name.clone()).collect()
}

fn bytes(quantized: &Quantized) -> usize {
    emit(&quantized.network, Family::Portable).unwrap().bytes.len()
}

#[test]
fn pins_change_the_operators_and_what_they_cost() {
    let (source, data) = motion();
    let plain = source.quantize(&data, &settings(vec![]), &Silent).unwrap();
    let names = weighted(&plain);
    let all = |precision| names.iter().map(|name| (name.clone(), precision)).collect();
    let narrow = source.quantize(&data, &settings(all(Precision::Int4)), &Silent).unwrap();
    let wide = source.quantize(&data, &settings(all(Precision::Int16)), &Silent).unwrap();

    let weights = |q: &Quantized| {
        let emitted = emit(&q.network, Family::Portable).unwrap();
        emitted.ops.iter().map(|op| op.weights).sum::<usize>()
    };
    // Half, but for what fills up the last block of eight of each layer.
    assert!(weights(&narrow) <= weights(&plain) / 2 + 4 * names.len());
    let int4 = [OpCode::Conv2dInt4, OpCode::DepthwiseConv2dInt4, OpCode::FullyConnectedInt4];
    let ops = narrow.network.ops.iter().filter(|op| int4.contains(&op.kind.code()));
    assert_eq!(ops.count(), names.len());

    let convolutions = wide.network.ops.iter().filter(|op| op.kind.code() == OpCode::Conv2d16);
    assert_eq!(convolutions.count(), names.len());
    let graph = source.graph();
    let trial = Trial::new(graph, &data, &(0..64).collect::<Vec<_>>());
    let steps = xtask::quantize::steps(graph);
    let error = |q: &Quantized| trial.error(&q.graph, &steps, &q.scheme).unwrap();
    let [narrow, plain, wide] = [&narrow, &plain, &wide].map(error);
    assert!(wide < plain && plain < narrow, "{wide:e} {plain:e} {narrow:e}");
}

#[test]
fn layers_that_are_not_there_are_named_with_those_that_are() {
    let (source, data) = motion();
    let first = weighted(&source.quantize(&data, &settings(vec![]), &Silent).unwrap()).remove(0);
    let wrong = format!("{first}x");
    let failure =
        source.quantize(&data, &settings(vec![(wrong.clone(), Precision::Int4)]), &Silent).unwrap_err();
    assert_eq!(failure.exit_code(), USAGE);
    let text = failure.to_string();
    assert!(text.contains(&wrong) && text.contains(&format!("similar ones: {first}")), "{text}");
}

#[test]
fn a_search_keeps_the_bounds_and_its_pins_give_the_same_plan() {
    let (source, data) = motion();
    let plain = source.quantize(&data, &settings(vec![]), &Silent).unwrap();
    let bounds = Bounds { flash: Some(bytes(&plain) - 3000), drop: Some(2.0), ..Bounds::default() };
    let find = || source.search(&data, &settings(vec![]), (bounds, Family::Portable), &Silent).unwrap();
    let searched = find();
    assert!(searched.found.holds, "{:?}", searched.found.outcome);
    assert_eq!(searched.found.sensitivity.len(), searched.layers.len());
    let pinned = source.quantize(&data, &settings(searched.pins()), &Silent).unwrap();
    assert!(bytes(&pinned) <= bounds.flash.unwrap(), "{}", bytes(&pinned));
    assert_eq!(find().pins(), searched.pins(), "same inputs, same choice");

    let pin = searched.pins().remove(0);
    let other = settings(vec![(pin.0.clone(), Precision::Int8)]);
    let other = source.search(&data, &other, (bounds, Family::Portable), &Silent).unwrap();
    assert!(!other.pins().iter().any(|(name, _)| *name == pin.0), "a pinned layer stays");
}
