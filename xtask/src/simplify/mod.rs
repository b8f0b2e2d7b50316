//! Rewrites that leave the graph's outputs as they are and its nodes fewer.
//!
//! A value that remains keeps its name, and what is computed under that name keeps its meaning: the calibrator reads the
//! tensors of the source file by these names. Of a chain that becomes one node, the last value remains. Activations are
//! not fused here: that is the quantizer's decision.

mod dead;
mod edit;
mod elementwise;
mod identity;
mod layer_norm;
mod merge;
mod pad;
mod passes;
mod scale_offset;

pub use passes::simplify;
