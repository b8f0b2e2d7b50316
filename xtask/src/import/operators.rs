//! The operators that import knows, one entry each.

use still8_validation::Result;
use still8_validation::onnx::pb::NodeProto;

use super::call::Call;
use super::microsoft::MICROSOFT;
use super::model::is_default_domain;
use super::{ops, quantized, sums};

/// An ONNX operator.
#[derive(Debug)]
pub struct Operator {
    /// Its name in its domain.
    pub name: &'static str,
    /// Attributes that are read, in any version of the operator.
    pub attributes: &'static [&'static str],
    /// Attributes with one supported value.
    pub fixed: &'static [(&'static str, Fixed)],
    /// Inputs that must be constant.
    pub constants: &'static [usize],
    /// Adds the operator to the graph.
    pub(super) build: fn(&mut Call<'_>) -> Result<()>,
}

/// The one value of an attribute that is supported.
#[derive(Clone, Copy, Debug)]
pub enum Fixed {
    /// This integer.
    Int(i64),
    /// Integers, all 1.
    Ones,
    /// This text.
    Text(&'static str),
}

pub(super) const fn operator(
    name: &'static str,
    attributes: &'static [&'static str],
    constants: &'static [usize],
    build: fn(&mut Call<'_>) -> Result<()>,
) -> Operator {
    Operator { name, attributes, fixed: &[], constants, build }
}

impl Operator {
    pub(super) const fn fixed(self, fixed: &'static [(&'static str, Fixed)]) -> Self {
        Self { fixed, ..self }
    }
}

/// What the node is in its domain, where import knows it.
pub fn find(node: &NodeProto) -> Option<&'static Operator> {
    let known = match node.domain.as_str() {
        domain if is_default_domain(domain) => OPERATORS,
        "com.microsoft" => MICROSOFT,
        _ => &[],
    };
    known.iter().find(|operator| operator.name == node.op_type)
}

/// Those of the default domain, by name.
pub const OPERATORS: &[Operator] = &[
    operator("Abs", &[], &[], ops::map::abs),
    operator("Add", &[], &[], ops::arithmetic::add),
    operator("ArgMax", &["axis", "keepdims", "select_last_index"], &[], ops::reduce::arg_max),
    operator(
        "AveragePool",
        &["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"],
        &[],
        ops::pool::average,
    )
    .fixed(&[("dilations", Fixed::Ones)]),
    operator(
        "BatchNormalization",
        &["epsilon", "momentum", "spatial", "training_mode"],
        &[1, 2, 3, 4],
        ops::normalization::batch,
    )
    .fixed(&[("spatial", Fixed::Int(1)), ("training_mode", Fixed::Int(0))]),
    operator("Cast", &["round_mode", "saturate", "to"], &[], ops::reshape::cast),
    operator("Clip", &["max", "min"], &[1, 2], ops::clip::clip),
    operator("Concat", &["axis"], &[], ops::concat::concat),
    operator(
        "Conv",
        &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        &[1, 2],
        ops::conv::conv,
    ),
    operator(
        "ConvInteger",
        &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        &[1, 2, 3],
        sums::conv_integer,
    ),
    operator(
        "ConvTranspose",
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "output_padding",
            "output_shape",
            "pads",
            "strides",
        ],
        &[1, 2],
        ops::conv_transpose::conv_transpose,
    ),
    operator("DepthToSpace", &["blocksize", "mode"], &[], ops::depth::to_space),
    operator(
        "DequantizeLinear",
        &["axis", "block_size", "output_dtype"],
        &[1, 2],
        quantized::dequantize_linear,
    )
    .fixed(&[("block_size", Fixed::Int(0))]),
    operator("Div", &[], &[], ops::arithmetic::div),
    operator("Dropout", &["ratio", "seed"], &[1, 2], ops::reshape::dropout),
    operator("Elu", &["alpha"], &[], ops::map::elu),
    operator("Erf", &[], &[], ops::map::erf),
    operator("Exp", &[], &[], ops::map::exp),
    operator("Expand", &[], &[1], ops::movement::expand),
    operator("Flatten", &["axis"], &[], ops::reshape::flatten),
    operator("Gather", &["axis"], &[1], ops::movement::gather),
    operator("Gelu", &["approximate"], &[], ops::map::gelu),
    operator("Gemm", &["alpha", "beta", "transA", "transB"], &[], ops::dense::gemm),
    operator("GlobalAveragePool", &[], &[], ops::pool::global_average),
    operator("GlobalMaxPool", &[], &[], ops::pool::global_max),
    operator("HardSigmoid", &["alpha", "beta"], &[], ops::map::hard_sigmoid),
    operator("HardSwish", &[], &[], ops::map::hard_swish),
    operator("Identity", &[], &[], ops::reshape::identity),
    operator("LayerNormalization", &["axis", "epsilon", "stash_type"], &[1, 2], ops::normalization::layer),
    operator("LeakyRelu", &["alpha"], &[], ops::map::leaky_relu),
    operator("MatMul", &[], &[], ops::dense::mat_mul),
    operator("MatMulInteger", &[], &[1, 2, 3], sums::mat_mul_integer),
    operator("Max", &[], &[], ops::clip::max),
    operator(
        "MaxPool",
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"],
        &[],
        ops::pool::max,
    )
    .fixed(&[("storage_order", Fixed::Int(0))]),
    operator("Min", &[], &[], ops::clip::min),
    operator("Mul", &[], &[], ops::arithmetic::mul),
    operator("Neg", &[], &[], ops::arithmetic::neg),
    operator("PRelu", &[], &[1], ops::arithmetic::prelu),
    operator("Pad", &["mode", "pads", "value"], &[1, 2, 3], ops::pad::pad),
    operator("Pow", &[], &[1], ops::map::pow),
    operator(
        "QLinearConv",
        &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        &[1, 2, 3, 4, 5, 6, 7, 8],
        ops::qlinear::conv,
    ),
    operator("QLinearMatMul", &[], &[1, 2, 3, 4, 5, 6, 7], ops::qlinear::mat_mul),
    operator(
        "QuantizeLinear",
        &["axis", "block_size", "output_dtype", "precision", "saturate"],
        &[1, 2],
        quantized::quantize_linear,
    )
    .fixed(&[("block_size", Fixed::Int(0))]),
    operator("Reciprocal", &[], &[], ops::map::reciprocal),
    operator("ReduceMax", &["axes", "keepdims", "noop_with_empty_axes"], &[1], ops::reduce::max),
    operator("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], &[1], ops::reduce::mean),
    operator("ReduceSum", &["axes", "keepdims", "noop_with_empty_axes"], &[1], ops::reduce::sum),
    operator("Relu", &[], &[], ops::clip::relu),
    operator("Reshape", &["allowzero"], &[1], ops::reshape::reshape),
    operator(
        "Resize",
        &[
            "antialias",
            "axes",
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "mode",
            "nearest_mode",
        ],
        &[1, 2, 3],
        ops::resize::resize,
    )
    .fixed(&[
        ("antialias", Fixed::Int(0)),
        ("exclude_outside", Fixed::Int(0)),
        ("keep_aspect_ratio_policy", Fixed::Text("stretch")),
    ]),
    operator("Sigmoid", &[], &[], ops::map::sigmoid),
    operator("Slice", &["axes", "ends", "starts"], &[1, 2, 3, 4], ops::movement::slice),
    operator("Softmax", &["axis"], &[], ops::softmax::softmax),
    operator("Softplus", &[], &[], ops::map::softplus),
    operator("SpaceToDepth", &["blocksize"], &[], ops::depth::to_depth),
    operator("Split", &["axis", "num_outputs", "split"], &[1], ops::movement::split),
    operator("Sqrt", &[], &[], ops::map::sqrt),
    operator("Squeeze", &["axes"], &[1], ops::reshape::squeeze),
    operator("Sub", &[], &[], ops::arithmetic::sub),
    operator("Sum", &[], &[], ops::arithmetic::sum),
    operator("Swish", &["alpha"], &[], ops::map::swish),
    operator("Tanh", &[], &[], ops::map::tanh),
    operator("Tile", &[], &[1], ops::movement::tile),
    operator("Transpose", &["perm"], &[], ops::transpose::transpose),
    operator("Upsample", &["mode", "scales"], &[1], ops::resize::resize),
    operator("Unsqueeze", &["axes"], &[1], ops::reshape::unsqueeze),
];
