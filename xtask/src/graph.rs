//! The float graph: the compiler's own operators on values in the source's layout.
//!
//! Import builds it, simplify rewrites it, calibrate attaches ranges to its values, quantize lowers it. It knows
//! nothing of ONNX, of int8 or of the device's layout.

use ndarray::ArrayD;

use crate::expression::Expression;
use crate::quantization::Quantization;

/// Index of a [`Value`].
pub type ValueId = usize;

/// A tensor that flows between nodes, or a constant. The batch axis, where there is one, is pinned to 1.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name in the source; unique.
    pub name: String,
    /// Shape in the source's layout.
    pub shape: Vec<usize>,
    /// The contents of a constant.
    pub constant: Option<ArrayD<f32>>,
    /// The quantization that the source file gives the value, which is kept as it is.
    pub given: Option<Given>,
}

/// A quantization out of the source file (QDQ form).
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Of an activation.
    Activation(Quantization),
    /// Of constant weights, symmetric. The constant holds scale · integer.
    Weights {
        /// 8, or 4 where they fit.
        bits: u8,
        /// One an output channel.
        scales: Vec<f32>,
    },
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the source, or the name of its first output.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands. Weights and biases are constant values.
    pub inputs: Vec<ValueId>,
    /// The result: every operator has one.
    pub output: ValueId,
}

/// Spatial window. One-dimensional operators have height 1. Order: `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Dilation.
    pub dilation: [usize; 2],
    /// Padding above, left, below, right.
    pub padding: [usize; 4],
}

/// The operators.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// x `[n, c_in, (h,) w]`, weights `[c_out, c_in/groups, (kh,) kw]`, optional bias `[c_out]`. Depthwise where
    /// groups = c_in.
    Conv {
        /// The window.
        window: Window,
        /// Groups.
        groups: usize,
    },
    /// x `[.., k]` × constant weights `[k, m]`, optional constant bias `[m]`. Gemm is brought into this form.
    MatMul,
    /// x with per-channel (axis 1) scale and offset, two constants `[c]`: BatchNormalization that could not be
    /// folded, or arithmetic with per-channel constants.
    ScaleOffset,
    /// An expression of each element.
    Map(Expression),
    /// x where it is positive, else x times the channel's (axis 1) slope, a constant `[c]`.
    PRelu,
    /// min(max(x, low), high); Relu is low = 0, high = ∞.
    Clip {
        /// Lowest value.
        low: f32,
        /// Highest value.
        high: f32,
    },
    /// Sum of two values, at least one not constant. Shapes are broadcast as numpy does it, from the last axis on.
    Add,
    /// Difference of two values, broadcast like [`Self::Add`].
    Sub,
    /// Product of two values by elements, broadcast like [`Self::Add`].
    Mul,
    /// a `[.., m, k]` × b `[.., k, p]`, both not constant, with equal leading axes.
    BatchMatMul,
    /// Over the window, padding ignored.
    MaxPool {
        /// The window; dilation 1.
        window: Window,
    },
    /// Over the window.
    AveragePool {
        /// The window; dilation 1.
        window: Window,
        /// Padding counts as zeros.
        count_padding: bool,
        /// Halves are rounded up though a file gives the output its integers; else those are TensorFlow Lite's, away from 0.
        half_up: bool,
    },
    /// Over axes; the output's shape says whether they were kept. Global average pools are brought into this form,
    /// global max pools into [`Op::MaxPool`] over everything.
    Reduce {
        /// What is made of the elements.
        reduction: Reduction,
        /// Axes, ascending.
        axes: Vec<usize>,
    },
    /// Index of the largest element along an axis; the output's shape says whether the axis was kept.
    ArgMax {
        /// The axis.
        axis: usize,
        /// Of equal elements the last one counts, not the first.
        last: bool,
    },
    /// Same elements in the same order, the output's shape.
    Reshape,
    /// Output axis i is input axis `permutation[i]`.
    Transpose {
        /// The permutation.
        permutation: Vec<usize>,
    },
    /// A constant value around x.
    Pad {
        /// Elements before each axis.
        before: Vec<usize>,
        /// Elements behind each axis.
        after: Vec<usize>,
        /// The value.
        value: f32,
    },
    /// Of all inputs.
    Concat {
        /// Along this axis.
        axis: usize,
    },
    /// Element i along an axis is the input's element `indices[i]`: slices, splits, repetitions, nearest neighbours.
    Gather {
        /// Along this axis.
        axis: usize,
        /// Places in the input.
        indices: Vec<usize>,
    },
    /// x `[n, c, h, w]` (or `[n, c, w]` with one row) interpolated linearly between rows and between columns.
    Resize {
        /// One entry an output row.
        rows: Vec<Tap>,
        /// One entry an output column.
        columns: Vec<Tap>,
    },
    /// (x − mean) ⁄ √(variance + ε) over the last axis, times a constant `[c]`, plus a constant `[c]`.
    LayerNorm {
        /// ε.
        epsilon: f32,
    },
    /// exp(x) / Σ exp(x).
    Softmax {
        /// Along this axis.
        axis: usize,
    },
}

/// What [`Op::Reduce`] makes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// Where an interpolated element lies between two of the input: low + fraction · (high − low).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// Index of the one before.
    pub low: usize,
    /// Index of the one behind.
    pub high: usize,
    /// In [0, 1].
    pub fraction: f32,
}

impl Op {
    /// Name for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "Conv",
            Self::MatMul => "MatMul",
            Self::ScaleOffset => "ScaleOffset",
            Self::Map(expression) => expression.name(),
            Self::PRelu => "PRelu",
            Self::Clip { .. } => "Clip",
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::BatchMatMul => "BatchMatMul",
            Self::MaxPool { .. } => "MaxPool",
            Self::AveragePool { .. } => "AveragePool",
            Self::Reduce { reduction: Reduction::Mean, .. } => "Mean",
            Self::Reduce { reduction: Reduction::Sum, .. } => "Sum",
            Self::Reduce { reduction: Reduction::Max, .. } => "Max",
            Self::ArgMax { .. } => "ArgMax",
            Self::Reshape => "Reshape",
            Self::Transpose { .. } => "Transpose",
            Self::Pad { .. } => "Pad",
            Self::Concat { .. } => "Concat",
            Self::Gather { .. } => "Gather",
            Self::Resize { .. } => "Resize",
            Self::LayerNorm { .. } => "LayerNorm",
            Self::Softmax { .. } => "Softmax",
        }
    }
}

/// A float graph. Nodes are in execution order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    /// All values.
    pub values: Vec<Value>,
    /// All nodes, every node behind those that it reads from.
    pub nodes: Vec<Node>,
    /// Graph inputs.
    pub inputs: Vec<ValueId>,
    /// Graph outputs.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// Indices of the nodes that read `value`, in order, one entry a use.
    pub fn readers(&self, value: ValueId) -> Vec<usize> {
        let uses = |node: &Node| node.inputs.iter().filter(|&&input| input == value).count();
        self.nodes.iter().enumerate().flat_map(|(i, node)| std::iter::repeat_n(i, uses(node))).collect()
    }

    /// The node that writes `value`, `None` for inputs and constants.
    pub fn writer(&self, value: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.output == value)
    }

    /// The constant contents of a value.
    pub fn constant(&self, value: ValueId) -> Option<&ArrayD<f32>> {
        self.values[value].constant.as_ref()
    }

    /// Adds a constant and returns its id.
    pub fn add_constant(&mut self, name: impl Into<String>, contents: ArrayD<f32>) -> ValueId {
        self.values.push(Value {
            name: name.into(),
            shape: contents.shape().to_vec(),
            constant: Some(contents),
            given: None,
        });
        self.values.len() - 1
    }
}
