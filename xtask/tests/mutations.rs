//! What `fuzz/` does for hours, for seconds and on a stable toolchain: mutated models either import or give an error.

use std::path::Path;
use std::time::{Duration, Instant};

use still8_validation::onnx::blocks::BLOCKS;
use still8_validation::random::SplitMix64;
use xtask::import::import_bytes;
use xtask::simplify::simplify;

const MUTATIONS: usize = 40_000;
/// An import of a mutated file takes no longer; most take a millisecond.
const LIMIT: Duration = Duration::from_secs(5);

/// Changes some bytes, takes some out, or puts some in twice.
fn mutate(bytes: &mut Vec<u8>, random: &mut SplitMix64) {
    for _ in 0..1 + random.next_u64() % 6 {
        let at = (random.next_u64() >> 8) as usize % bytes.len();
        let length = 1 + (random.next_u64() >> 8) as usize % 16;
        let end = (at + length).min(bytes.len());
        match random.next_u64() >> 61 {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            2 => bytes[at] ^= 1 << (random.next_u64() >> 61),
            3 => bytes[at..end].fill(0xff),
            _ => bytes[at] = (random.next_u64() >> 56) as u8,
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn mutated_models_import_or_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let mut seeds: Vec<Vec<u8>> = BLOCKS.iter().map(|(_, block)| block().bytes()).collect();
    seeds.extend(["fashion", "motion"].map(|name| {
        let path = folder.join(name).join("student.onnx");
        std::fs::read(&path).unwrap()
    }));
    let mut random = SplitMix64::new(1);
    let (mut imported, mut refused) = (0, 0);
    for i in 0..MUTATIONS {
        let mut bytes = seeds[i % seeds.len()].clone();
        mutate(&mut bytes, &mut random);
        let start = Instant::now();
        match import_bytes(&bytes, Path::new("mutated.onnx"), &[]) {
            Ok(mut model) => {
                simplify(&mut model.graph);
                imported += 1;
            }
            Err(_) => refused += 1,
        }
        assert!(start.elapsed() < LIMIT, "mutation {i} took {:?}", start.elapsed());
    }
    // Else the test would show nothing about one of the two.
    assert!(imported > MUTATIONS / 20 && refused > MUTATIONS / 20, "{imported} imported, {refused} refused");
}
