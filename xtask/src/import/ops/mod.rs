//! One file per kind of ONNX operator: its shape rule, and what it becomes in the graph.

pub mod arithmetic;
pub mod clip;
pub mod concat;
pub mod conv;
pub mod dense;
pub mod depth;
pub mod map;
pub mod normalization;
pub mod pad;
pub mod pool;
pub mod reduce;
pub mod reshape;
pub mod softmax;
pub mod transpose;
