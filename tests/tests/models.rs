//! Accuracy regression: every model that ships must hold the thresholds of its recipe, and give the same bytes on the
//! emulated cores as on the host.

mod support;

use std::path::PathBuf;

use still8_validation::Failure;
use still8_validation::model::{DataKind, Model};
use still8_validation::validate::Report;
use xtask::boards::Core;
use xtask::commands::validate::{self, Options};
use xtask::console::Console;
use xtask::engine::Place;

const QUIET: Console = Console { json: false, quiet: true };

fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models")).join(name)
}

fn validated(name: &str, on: Place, samples: Option<usize>) -> Report {
    validate::run(&Options { model: folder(name), of: None, on, samples, data: "shipped".to_owned() }, QUIET)
        .unwrap()
}

/// Whether the model's data are there; those of some are fetched by a recipe, and one that was not run is told loudly.
fn has_data(name: &str) -> bool {
    let model = Model::open(&folder(name)).unwrap();
    match model.dataset(DataKind::Calibration).and(model.dataset(DataKind::Test)) {
        Err(Failure::Missing(why)) => {
            println!("SKIPPED, {name}: {why}");
            false
        }
        data => data.is_ok() || panic!("{:?}", data.err()),
    }
}

fn holds_its_thresholds(name: &str) {
    if !has_data(name) {
        return;
    }
    let report = validated(name, Place::Host, None);
    validate::missed(&report).unwrap();
    // Recipes may ask for more; this is what the project promises of each.
    assert!(report.loss.quantization.unwrap() <= 0.01, "{:?}", report.loss);
    assert!(report.agreement.float_int8.unwrap() >= 0.95, "{:?}", report.agreement);
}

#[test]
fn anomaly_holds_its_thresholds() {
    let report = validated("anomaly", Place::Host, None);
    validate::missed(&report).unwrap();
    assert!(report.loss.total().unwrap() <= 0.005, "{:?}", report.loss);
    let correlation = report.anomaly.unwrap().correlation;
    assert!(correlation.float_int8.unwrap() >= 0.99, "{correlation:?}");
}

fn equals_the_host(name: &str, core: Core, samples: usize) {
    if !support::emulator_available(core) {
        return;
    }
    let report = validated(name, Place::Core(core), Some(samples));
    assert_eq!((report.samples, report.byte_mismatches), (samples, Some(0)));
}

#[test]
fn fashion_holds_its_thresholds() {
    holds_its_thresholds("fashion");
}

#[test]
fn motion_holds_its_thresholds() {
    holds_its_thresholds("motion");
}

#[test]
fn anomaly_equals_the_host_on_cortex_m4() {
    equals_the_host("anomaly", Core::CortexM4, 200);
}

#[test]
fn fashion_tiny_holds_its_thresholds() {
    holds_its_thresholds("fashion-tiny");
}

#[test]
fn digits_holds_its_thresholds() {
    holds_its_thresholds("digits");
}

#[test]
fn cifar_holds_its_thresholds() {
    holds_its_thresholds("cifar");
}

#[test]
fn cifar_equals_the_host_on_cortex_m4() {
    equals_the_host("cifar", Core::CortexM4, 40);
}

#[test]
fn fashion_equals_the_host_on_cortex_m4() {
    equals_the_host("fashion", Core::CortexM4, 200);
}

#[test]
fn motion_equals_the_host_on_cortex_m4() {
    equals_the_host("motion", Core::CortexM4, 200);
}

#[test]
fn motion_equals_the_host_on_cortex_m0() {
    equals_the_host("motion", Core::CortexM0, 200);
}

#[test]
fn fashion_equals_the_host_on_every_other_core() {
    for core in
        [Core::CortexM0, Core::CortexM3, Core::CortexM7, Core::CortexM33, Core::CortexM55, Core::Aarch64]
    {
        equals_the_host("fashion", core, 200);
    }
}
