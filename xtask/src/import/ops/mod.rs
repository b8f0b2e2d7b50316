//! One file per kind of ONNX operator: its shape rule, and what it becomes in the graph.

pub mod arithmetic;
pub mod batch;
pub mod clip;
pub mod concat;
pub mod conv;
pub mod conv_transpose;
pub mod dense;
pub mod depth;
pub mod map;
pub mod movement;
pub mod normalization;
pub mod pad;
pub mod pool;
pub mod qlinear;
pub mod reduce;
pub mod reshape;
pub mod resize;
pub mod softmax;
pub mod transpose;
