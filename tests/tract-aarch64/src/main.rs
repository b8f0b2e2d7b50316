//! `tract-aarch64 MODEL.onnx RUNS`: loads and optimizes a network, then runs it on one thread, so that the difference of
//! two counts of instructions is that of the inferences alone.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, Factoid};

fn main() -> TractResult<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(runs)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: tract-aarch64 MODEL.onnx RUNS");
        std::process::exit(2);
    };
    let mut model = tract_onnx::onnx().model_for_path(path)?;
    let fact = model.input_fact(0)?.clone();
    let rank = fact.shape.rank().concretize().expect("the input has a rank") as usize;
    // A symbolic axis is the batch: one sample.
    let size =
        |axis| fact.shape.dim(axis).and_then(|dim| dim.concretize()).and_then(|dim| dim.to_usize().ok());
    let shape: TVec<usize> = (0..rank).map(|axis| size(axis).unwrap_or(1)).collect();
    let datum_type = fact.datum_type.concretize().expect("the input has an element type");
    model.set_input_fact(0, InferenceFact::dt_shape(datum_type, shape.clone()))?;
    let plan = model.into_optimized()?.into_runnable()?;

    // Bytes that look random, or as many steps of 0 to 1.
    let bytes: Vec<i8> = (0..shape.iter().product()).map(|i: usize| (i * 7919) as i8).collect();
    let floats: Vec<f32> = bytes.iter().map(|&byte| (f32::from(byte) + 128.0) / 256.0).collect();
    let input: TValue = if datum_type == f32::datum_type() {
        Tensor::from_shape(&shape, &floats)?.into()
    } else {
        Tensor::from_shape(&shape, &bytes)?.into()
    };
    for _ in 0..runs.parse::<usize>()? {
        std::hint::black_box(plan.run(tvec!(input.clone()))?);
    }
    Ok(())
}
