//! Functions of one element, in f64.

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// x, or α · x below 0.
    LeakyRelu {
        /// α.
        alpha: f32,
    },
    /// x, or α · (exp(x) − 1) below 0.
    Elu {
        /// α.
        alpha: f32,
    },
    /// 1 ⁄ (1 + exp(−x)).
    Sigmoid,
    /// tanh(x).
    Tanh,
    /// min(1, max(0, α · x + β)).
    HardSigmoid {
        /// α.
        alpha: f32,
        /// β.
        beta: f32,
    },
    /// x · min(1, max(0, x ⁄ 6 + ½)).
    HardSwish,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x) with the normal distribution's Φ (Hendrycks and Gimpel, 2016).
    Gelu,
    /// ½ · x · (1 + tanh(√(2⁄π) · (x + 0.044715 · x³))), the usual approximation of [`Self::Gelu`].
    GeluTanh,
    /// exp(x).
    Exp,
    /// √x, 0 below 0.
    Sqrt,
    /// |x|.
    Abs,
    /// erf(x).
    Erf,
    /// ln(1 + exp(x)).
    Softplus,
    /// 1 ⁄ x.
    Reciprocal,
    /// xᵖ.
    Power {
        /// p.
        exponent: f32,
    },
}

impl Function {
    /// The function's value.
    pub fn apply(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::LeakyRelu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x
                } else {
                    x
                }
            }
            Self::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Silu => x * sigmoid(x),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Exp => x.exp(),
            Self::Sqrt => x.max(0.0).sqrt(),
            Self::Abs => x.abs(),
            Self::Erf => libm::erf(x),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Reciprocal => x.recip(),
            Self::Power { exponent } => x.powf(exponent.into()),
        }
    }

    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Elu { .. } => "Elu",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Silu => "Silu",
            Self::Gelu | Self::GeluTanh => "Gelu",
            Self::Exp => "Exp",
            Self::Sqrt => "Sqrt",
            Self::Abs => "Abs",
            Self::Erf => "Erf",
            Self::Softplus => "Softplus",
            Self::Reciprocal => "Reciprocal",
            Self::Power { .. } => "Pow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn functions_have_their_known_values() {
        let near = |function: Function, x: f64, y: f64| {
            assert!((function.apply(x) - y).abs() < 1e-6, "{}({x}) = {}", function.name(), function.apply(x));
        };
        near(Function::LeakyRelu { alpha: 0.5 }, -2.0, -1.0);
        near(Function::Elu { alpha: 2.0 }, -1.0, 2.0 * ((-1f64).exp() - 1.0));
        near(Function::Sigmoid, 0.0, 0.5);
        near(Function::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7);
        near(Function::HardSwish, -3.5, 0.0);
        near(Function::HardSwish, 1.0, 4.0 / 6.0);
        near(Function::Silu, 1.0, 0.731_058_6);
        near(Function::Gelu, 1.0, 0.841_344_7);
        near(Function::GeluTanh, 1.0, 0.841_192_0);
        near(Function::Erf, 0.5, 0.520_499_9);
        near(Function::Softplus, 100.0, 100.0);
        near(Function::Softplus, -100.0, 0.0);
        near(Function::Power { exponent: 2.0 }, -3.0, 9.0);
    }
}
