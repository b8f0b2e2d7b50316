//! Expressions of one element: what becomes one table, whatever an exporter made of it.

use crate::function::Function;

/// An expression of x, in f64.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// x.
    X,
    /// A function of an expression.
    Function(Function, Box<Expression>),
    /// min(max(e, low), high).
    Clip(f32, f32, Box<Expression>),
    /// scale · e + offset.
    Affine(f32, f32, Box<Expression>),
    /// a + b.
    Sum(Box<Expression>, Box<Expression>),
    /// a − b.
    Difference(Box<Expression>, Box<Expression>),
    /// a · b.
    Product(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// A function of x.
    pub fn of(function: Function) -> Self {
        Self::Function(function, Box::new(Self::X))
    }

    /// The value at x.
    pub fn apply(&self, x: f64) -> f64 {
        match self {
            Self::X => x,
            Self::Function(function, e) => function.apply(e.apply(x)),
            Self::Clip(low, high, e) => e.apply(x).max(f64::from(*low)).min(f64::from(*high)),
            Self::Affine(scale, offset, e) => f64::from(*scale) * e.apply(x) + f64::from(*offset),
            Self::Sum(a, b) => a.apply(x) + b.apply(x),
            Self::Difference(a, b) => a.apply(x) - b.apply(x),
            Self::Product(a, b) => a.apply(x) * b.apply(x),
        }
    }

    /// This expression of another one's value.
    pub fn after(&self, inner: &Self) -> Self {
        let within = |e: &Self| Box::new(e.after(inner));
        match self {
            Self::X => inner.clone(),
            Self::Function(function, e) => Self::Function(*function, within(e)),
            Self::Clip(low, high, e) => Self::Clip(*low, *high, within(e)),
            Self::Affine(scale, offset, e) => Self::Affine(*scale, *offset, within(e)),
            Self::Sum(a, b) => Self::Sum(within(a), within(b)),
            Self::Difference(a, b) => Self::Difference(within(a), within(b)),
            Self::Product(a, b) => Self::Product(within(a), within(b)),
        }
    }

    /// Number of operations.
    pub fn size(&self) -> usize {
        match self {
            Self::X => 0,
            Self::Function(_, e) | Self::Clip(_, _, e) | Self::Affine(_, _, e) => 1 + e.size(),
            Self::Sum(a, b) | Self::Difference(a, b) | Self::Product(a, b) => 1 + a.size() + b.size(),
        }
    }

    /// Name for reports: the function's where it is one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Function(function, e) if **e == Self::X => function.name(),
            _ => "Map",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_swish_and_gelu_of_exporters_are_the_functions() {
        let x = || Box::new(Expression::X);
        let clipped = Expression::Clip(0.0, 6.0, Box::new(Expression::Affine(1.0, 3.0, x())));
        let product = Expression::Product(x(), Box::new(clipped));
        let hard_swish = Expression::Affine(1.0 / 6.0, 0.0, Box::new(product));
        let root = std::f32::consts::FRAC_1_SQRT_2;
        let erf = Expression::Function(Function::Erf, Box::new(Expression::Affine(root, 0.0, x())));
        let gelu = Expression::Product(x(), Box::new(Expression::Affine(0.5, 0.5, Box::new(erf))));
        for i in -50..50 {
            let at = f64::from(i) / 8.0;
            assert!((hard_swish.apply(at) - Function::HardSwish.apply(at)).abs() < 1e-6);
            assert!((gelu.apply(at) - Function::Gelu.apply(at)).abs() < 1e-6);
        }
        assert_eq!((hard_swish.size(), gelu.size(), gelu.name()), (4, 4, "Map"));
        let twice = Expression::of(Function::Abs).after(&Expression::Affine(-2.0, 0.0, x()));
        assert_eq!((twice.apply(3.0), Expression::of(Function::Abs).name()), (6.0, "Abs"));
    }
}
