//! The float truth: an ONNX file run by tract-onnx, one sample at a time, every named value within reach.
//!
//! The file's own declarations of intermediate and output shapes are ignored: exporters get them wrong, and the inputs'
//! shapes determine them.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use ndarray::ArrayD;
use tract_onnx::onnx;
use tract_onnx::prelude::*;

use crate::onnx::{locate, pb, pin_inputs, read};
use crate::{Failure, Result};

/// A float model, ready to run. Shared by reference between threads.
#[derive(Debug)]
pub struct Oracle {
    path: PathBuf,
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(String, Vec<usize>)>,
    outputs: Vec<String>,
}

impl Oracle {
    /// Loads the model at `path` to compute the values called `outputs`, in that order; none means the graph's outputs.
    ///
    /// A batch without a size is pinned to 1.
    ///
    /// # Errors
    /// [`Failure::Data`] for a file that is no ONNX model and for unknown names, [`Failure::Unsupported`] for what tract
    /// cannot run.
    pub fn load(path: &Path, outputs: &[String]) -> Result<Self> {
        Self::load_with_dims(path, outputs, &[])
    }

    /// [`Oracle::load`] with sizes for the symbols in the inputs' shapes.
    ///
    /// # Errors
    /// As for [`Oracle::load`], and [`Failure::Usage`] if a symbol has no size.
    pub fn load_with_dims(path: &Path, outputs: &[String], dims: &[(String, usize)]) -> Result<Self> {
        let (_, mut model, mut graph) = read(path)?;
        pin_inputs(&mut graph, dims).map_err(|failure| locate(path, failure))?;
        let inputs = graph.input.iter().map(|input| (input.name.clone(), fixed_shape(input))).collect();
        let outputs = match outputs {
            [] => graph.output.iter().map(|output| output.name.clone()).collect(),
            names => names.to_vec(),
        };
        model.graph = Some(graph);
        let folder = path.parent().and_then(Path::to_str);
        let plan = quietly(|| prepare(&model, folder, &outputs))
            .map_err(|text| Failure::Unsupported(format!("{}: tract cannot run it: {text}", path.display())))?
            .map_err(|name| Failure::data(path, format!("it has no value called `{name}`")))?;
        Ok(Self { path: path.to_owned(), plan, inputs, outputs })
    }

    /// Names and shapes of the inputs, with a batch of 1.
    pub fn inputs(&self) -> &[(String, Vec<usize>)] {
        &self.inputs
    }

    /// Shapes of the inputs, with a batch of 1.
    pub fn input_shapes(&self) -> Vec<Vec<usize>> {
        self.inputs.iter().map(|(_, shape)| shape.clone()).collect()
    }

    /// Names of the values that [`Oracle::run`] returns.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Runs one sample: one array for each input, in the inputs' shapes.
    ///
    /// # Errors
    /// [`Failure::Data`] if number or shapes of the inputs do not fit or tract fails.
    pub fn run(&self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>> {
        let given: Vec<_> = inputs.iter().map(ArrayD::shape).collect();
        if !self.inputs.iter().map(|(_, shape)| shape.as_slice()).eq(given.iter().copied()) {
            let need = self.input_shapes();
            return Err(Failure::data(
                &self.path,
                format!("inputs of shapes {need:?} are needed, not {given:?}"),
            ));
        }
        let tensors = inputs.iter().map(|input| Tensor::from(input.clone()).into()).collect();
        quietly(|| {
            let outputs = self.plan.run(tensors)?;
            outputs.iter().map(|output| to_array(output)).collect::<TractResult<Vec<_>>>()
        })
        .map_err(|text| Failure::data(&self.path, format!("tract failed: {text}")))
    }
}

/// The plan that computes `outputs`, or the first of them that does not exist.
fn prepare(
    model: &pb::ModelProto,
    folder: Option<&str>,
    outputs: &[String],
) -> TractResult<std::result::Result<Arc<TypedRunnableModel>, String>> {
    let framework = onnx().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let parsed = framework.parse(model, folder)?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        return Ok(Err(name.clone()));
    }
    let names: HashMap<_, _> = parsed.outlets_by_name;
    if let Some(name) = outputs.iter().find(|name| !names.contains_key(*name)) {
        return Ok(Err(name.clone()));
    }
    let outlets: Vec<_> = outputs.iter().map(|name| names[name]).collect();
    // Before optimizing, which fuses and renames.
    parsed.model.with_output_outlets(&outlets)?.into_optimized()?.into_runnable().map(Ok)
}

fn to_array(tensor: &Tensor) -> TractResult<ArrayD<f32>> {
    let tensor = tensor.cast_to::<f32>()?;
    Ok(tensor.to_plain_array_view::<f32>()?.to_owned())
}

/// The shape of an input that [`pin_inputs`] went over.
fn fixed_shape(input: &pb::ValueInfoProto) -> Vec<usize> {
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Vec::new();
    };
    let size = |dim: &pb::tensor_shape_proto::Dimension| match dim.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(size)) => usize::try_from(size).unwrap_or(0),
        _ => 0,
    };
    tensor.shape.iter().flat_map(|shape| &shape.dim).map(size).collect()
}

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and turns its errors, and its panics, into text. A panic inside prints nothing.
fn quietly<T>(work: impl FnOnce() -> TractResult<T>) -> std::result::Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                previous(info);
            }
        }));
    });
    let before = SILENT.replace(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(work));
    SILENT.set(before);
    match outcome {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            Err(text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::testing::{ModelBuilder, With, ints, node};

    fn model() -> ModelBuilder {
        ModelBuilder::new(17)
            .symbolic_input("x", &["N", "2", "T"])
            .floats("w", &[1, 2, 1], &[1.0, 10.0])
            .node(node("Conv", &["x", "w"], "c"))
            .node(node("Relu", &["c"], "r"))
            .node(node("Squeeze", &["r", "axes"], "y"))
            .integers("axes", &[1])
            .output("y")
    }

    fn dims() -> Vec<(String, usize)> {
        vec![("T".to_owned(), 2)]
    }

    #[test]
    fn any_value_can_be_read_from_several_threads() {
        let path = model().write("oracle_values");
        let names = ["c", "y", "x", "r", "c"].map(str::to_owned);
        let oracle = Oracle::load_with_dims(&path, &names, &dims()).unwrap();
        assert_eq!(
            (oracle.inputs(), oracle.input_shapes()),
            (&[("x".to_owned(), vec![1, 2, 2])][..], vec![vec![1, 2, 2]])
        );
        let x = ArrayD::from_shape_vec(vec![1, 2, 2], vec![1.0, -2.0, 0.5, 0.1]).unwrap();
        let run = || oracle.run(std::slice::from_ref(&x)).unwrap();
        let runs =
            std::thread::scope(|scope| [scope.spawn(run), scope.spawn(run)].map(|run| run.join().unwrap()));
        assert_eq!(runs[0], runs[1]);
        let flat: Vec<_> = runs[0].iter().map(|value| value.iter().copied().collect::<Vec<_>>()).collect();
        assert_eq!(
            flat,
            [vec![6.0, -1.0], vec![6.0, 0.0], vec![1.0, -2.0, 0.5, 0.1], vec![6.0, 0.0], vec![6.0, -1.0]]
        );
        assert_eq!(runs[0][1].shape(), [1, 2]);
    }

    #[test]
    fn initializers_listed_as_inputs_are_not_inputs() {
        let mut model = model().input("w", &[1, 2, 1]);
        model.graph.input.rotate_right(1);
        let oracle = Oracle::load_with_dims(&model.write("oracle_initializers"), &[], &dims()).unwrap();
        assert_eq!((oracle.inputs().len(), oracle.outputs()), (1, &["y".to_owned()][..]));
    }

    #[test]
    fn failures_name_the_file_and_print_no_panic() {
        let path = model().write("oracle_failures");
        let text = |failure: Failure| (failure.exit_code(), failure.to_string());
        let (code, unknown) = text(Oracle::load_with_dims(&path, &["z".to_owned()], &dims()).unwrap_err());
        assert!(
            code == 4 && unknown.contains("oracle_failures.onnx") && unknown.contains("`z`"),
            "{unknown}"
        );
        let (code, open) = text(Oracle::load(&path, &[]).unwrap_err());
        assert!(code == 2 && open.contains("--dim T=N"), "{open}");
        let oracle = Oracle::load_with_dims(&path, &[], &dims()).unwrap();
        let (code, shape) = text(oracle.run(&[ArrayD::zeros(vec![1, 2, 3])]).unwrap_err());
        assert!(code == 4 && shape.contains("[1, 2, 2]"), "{shape}");
        let odd = ModelBuilder::new(17).input("x", &[1, 4]).node(node("Frobnicate", &["x"], "y")).output("y");
        let (code, odd) = text(Oracle::load(&odd.write("oracle_odd"), &[]).unwrap_err());
        assert!(code == 3 && odd.contains("oracle_odd.onnx"), "{odd}");
        let bad = node("Transpose", &["x"], "y").with(ints("perm", &[0, 7]));
        let bad = ModelBuilder::new(17).input("x", &[1, 4]).node(bad).output("y");
        let (code, bad) = text(Oracle::load(&bad.write("oracle_bad"), &[]).unwrap_err());
        assert!(code == 3 && bad.contains("oracle_bad.onnx"), "{bad}");
        assert_eq!(quietly::<()>(|| panic!("inside")), Err("inside".to_owned()));
        assert_eq!(Oracle::load(Path::new("/nowhere/absent.onnx"), &[]).unwrap_err().exit_code(), 4);
    }
}
