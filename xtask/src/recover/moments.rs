//! First and second moments of what a layer multiplies: as the int8 network has it, and as the float graph does.

use ndarray::{Array1, Array2, ArrayD, Axis, s};

use crate::float::columns;
use crate::graph::{Graph, Node, Op};

/// Output positions of a sample that count: more of them say little that is new.
const POSITIONS: usize = 192;

/// Moments of one group of a layer's inputs, one element for each weight of an output channel.
#[derive(Clone, Debug)]
pub struct Group {
    /// Positions that were seen.
    pub count: f64,
    /// Mean of the float inputs.
    pub mean: Array1<f64>,
    /// Mean of the inputs that the int8 network has.
    pub int8_mean: Array1<f64>,
    /// Covariance of the inputs that the int8 network has.
    pub covariance: Array2<f64>,
    /// Covariance of the float inputs (rows) with those of the int8 network (columns).
    pub cross: Array2<f64>,
}

/// Sums over positions.
#[derive(Clone, Debug)]
pub struct Sums {
    count: f64,
    float: Array1<f64>,
    int8: Array1<f64>,
    products: Array2<f64>,
    cross: Array2<f64>,
}

impl Sums {
    /// Of the columns of both inputs, `[k, positions]`.
    fn of(float: &Array2<f32>, int8: &Array2<f32>) -> Self {
        let sum = |x: &Array2<f32>| x.map_axis(Axis(1), |row| row.iter().map(|&x| f64::from(x)).sum());
        Self {
            count: float.ncols() as f64,
            float: sum(float),
            int8: sum(int8),
            products: int8.dot(&int8.t()).mapv(f64::from),
            cross: float.dot(&int8.t()).mapv(f64::from),
        }
    }

    /// Adds sums of other positions.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.float += &other.float;
        self.int8 += &other.int8;
        self.products += &other.products;
        self.cross += &other.cross;
    }

    /// The moments.
    pub fn moments(&self) -> Group {
        let n = self.count.max(1.0);
        let (mean, int8_mean) = (&self.float / n, &self.int8 / n);
        let outer = |a: &Array1<f64>, b: &Array1<f64>| {
            Array2::from_shape_fn((a.len(), b.len()), |(i, j)| a[i] * b[j])
        };
        Group {
            count: n,
            covariance: &self.products / n - outer(&int8_mean, &int8_mean),
            cross: &self.cross / n - outer(&mean, &int8_mean),
            mean,
            int8_mean,
        }
    }
}

/// Whether a node has weights that the source file does not fix.
pub fn rounds(graph: &Graph, node: &Node) -> bool {
    let one_image = match node.op {
        Op::Conv { .. } => graph.values[node.inputs[0]].shape[0] == 1,
        Op::MatMul => true,
        _ => false,
    };
    one_image && graph.values[node.inputs[1]].given.is_none()
}

/// Sums over one sample, one for each group of the layer: of its float input and of the int8 network's.
pub fn sums(graph: &Graph, node: &Node, float: &ArrayD<f32>, int8: &ArrayD<f32>) -> Vec<Sums> {
    let weights = &graph.values[node.inputs[1]].shape;
    match &node.op {
        Op::Conv { window, groups } => {
            let k: usize = weights[1..].iter().product();
            let shape = &graph.values[node.output].shape;
            let [float, int8] = [float, int8].map(|x| {
                let all = columns(x, window, shape);
                let kept = every(all.ncols());
                all.select(Axis(1), &kept)
            });
            let of_group = |x: &Array2<f32>, g: usize| x.slice(s![g * k..(g + 1) * k, ..]).to_owned();
            (0..*groups).map(|g| Sums::of(&of_group(&float, g), &of_group(&int8, g))).collect()
        }
        _ => {
            let k = weights[0];
            let [float, int8] = [float, int8].map(|x| {
                let rows = x.as_standard_layout();
                let rows = rows.view().into_shape_with_order((x.len() / k, k)).expect("rows of k elements");
                let kept = every(rows.nrows());
                rows.select(Axis(0), &kept).reversed_axes().as_standard_layout().into_owned()
            });
            vec![Sums::of(&float, &int8)]
        }
    }
}

/// At most [`POSITIONS`] of so many positions, spread evenly.
fn every(positions: usize) -> Vec<usize> {
    let kept = positions.min(POSITIONS);
    (0..kept).map(|i| i * positions / kept).collect()
}
