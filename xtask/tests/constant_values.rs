//! Calibration data on which a value never changes.

use still8_validation::data::{Dataset, InputSpec};
use still8_validation::onnx::build::{ModelBuilder, node};
use xtask::quantize::{Settings, Silent, Source};

/// The warnings of x → Relu → y with x in `range`.
fn warnings(range: [f32; 2]) -> Vec<String> {
    let model = ModelBuilder::new(17).input("x", &[1, 4]).node(node("Relu", &["x"], "y")).output("y").bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relu.onnx");
    std::fs::write(&path, model).unwrap();
    let source = Source::open(&path, &[]).unwrap();
    let spec = InputSpec { name: "x".into(), shape: vec![1, 4], range: Some(range) };
    let data = Dataset::random(1, &[spec], 40);
    source.quantize(&data, &Settings::default(), &Silent).unwrap().warnings
}

#[test]
fn values_that_never_change_are_named() {
    for value in [3.5, -2.0, 1e-20] {
        let found = warnings([value, value]);
        let text = "the same number on all calibration data";
        let named = found.iter().find(|warning| warning.contains(text));
        let named = named.unwrap_or_else(|| panic!("{value}: {found:?}"));
        assert!(named.contains(&format!("`x` ({value})")), "{named}");
        // What Relu makes of a negative number is 0, which has a warning of its own.
        assert_eq!(named.contains("`y`"), value > 0.0, "{named}");
        assert_eq!(found.iter().any(|warning| warning.contains("`y` is 0 on all")), value < 0.0);
    }
}

#[test]
fn values_that_change_are_not() {
    for range in [[3.4, 3.5], [-1.0, 1.0], [0.0, 1.0]] {
        let found = warnings(range);
        assert!(!found.iter().any(|warning| warning.contains("the same number")), "{range:?}: {found:?}");
    }
}
