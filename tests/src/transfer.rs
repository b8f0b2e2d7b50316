//! The edge of a plan: quantizes samples and brings them into the device's layout, and brings outputs back
//! into the source graph's. Whoever runs a plan, on the host or elsewhere, stands between the two halves of a
//! [`Transfer`].

use still8::plan::Io;
use still8::{InputReport, Plan, QuantParams};

use crate::data::{self, Dataset, InputSpec, Sample, Tensor, Values};
use crate::layout::Permutation;
use crate::{Failure, Result, files};

/// Inputs and outputs of a plan, at the boundary between source graph and device.
#[derive(Clone, Debug)]
pub struct Transfer {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// One input or output.
#[derive(Clone, Debug)]
struct Port {
    name: String,
    shape: Vec<usize>,
    quantization: QuantParams,
    permutation: Permutation,
}

/// Quantized samples in the device's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInputs {
    /// Samples outermost, then inputs in the plan's order.
    pub bytes: Vec<i8>,
    /// Number of samples.
    pub samples: usize,
    /// What quantization had to change.
    pub report: InputReport,
}

/// Outputs of a plan in the source graph's layout.
#[derive(Clone, Debug)]
pub struct PlanOutputs {
    /// Int8 tensors, in the plan's order.
    pub quantized: Vec<(String, Tensor)>,
    quantization: Vec<QuantParams>,
}

impl Transfer {
    /// The boundary of this plan.
    pub fn new(plan: &Plan<'_>) -> Self {
        Self {
            inputs: (0..plan.input_count()).filter_map(|i| plan.input(i)).map(Port::new).collect(),
            outputs: (0..plan.output_count()).filter_map(|i| plan.output(i)).map(Port::new).collect(),
        }
    }

    /// The inputs as data files must have them; ranges are what int8 can represent.
    pub fn input_specs(&self) -> Vec<InputSpec> {
        let spec = |port: &Port| InputSpec {
            name: port.name.clone(),
            shape: port.shape.clone(),
            range: Some([i8::MIN, i8::MAX].map(|q| port.quantization.dequantize(q))),
        };
        self.inputs.iter().map(spec).collect()
    }

    /// Bytes of one sample's inputs.
    pub fn input_bytes(&self) -> usize {
        self.inputs.iter().map(|port| port.permutation.len()).sum()
    }

    /// Bytes of one sample's outputs.
    pub fn output_bytes(&self) -> usize {
        self.outputs.iter().map(|port| port.permutation.len()).sum()
    }

    /// Quantizes floats, leaves int8 as it is, and brings all samples into the device's layout.
    ///
    /// # Errors
    /// [`Failure::Data`] where the data set has other inputs than the plan.
    pub fn to_device(&self, data: &Dataset) -> Result<DeviceInputs> {
        let matching = data.inputs.len() == self.inputs.len()
            && self.inputs.iter().zip(&data.inputs).all(|(port, (name, tensor))| {
                port.name == *name && port.permutation.len() == tensor.sample_elements()
            });
        if !matching {
            let describe = |(name, shape): (&str, &[usize])| format!("`{name}` {shape:?}");
            let found: Vec<_> = data.inputs.iter().map(|(n, t)| describe((n, &t.shape()[1..]))).collect();
            let expected: Vec<_> =
                self.inputs.iter().map(|p| describe((&p.name, data::sample_shape(&p.shape)))).collect();
            return Err(Failure::Data(format!(
                "{} has inputs {}; the plan takes {}",
                data.origin,
                found.join(", "),
                expected.join(", ")
            )));
        }
        let samples = data.samples();
        let mut report = InputReport::default();
        let mut bytes = vec![0; samples * self.input_bytes()];
        let mut rest = bytes.as_mut_slice();
        for i in 0..samples {
            for (port, (_, tensor)) in self.inputs.iter().zip(&data.inputs) {
                let (device, tail) = rest.split_at_mut(port.permutation.len());
                let changed = port.quantize(tensor.sample(i), device);
                report.saturated += changed.saturated;
                report.nan += changed.nan;
                rest = tail;
            }
        }
        Ok(DeviceInputs { bytes, samples, report })
    }

    /// Brings outputs into the source graph's layout; `bytes` has samples outermost, then outputs in the
    /// plan's order.
    ///
    /// # Errors
    /// [`Failure::Data`] where there are more or fewer bytes than `samples` have.
    pub fn to_source(&self, samples: usize, bytes: &[i8]) -> Result<PlanOutputs> {
        let sample_bytes = self.output_bytes();
        if bytes.len() != samples * sample_bytes {
            return Err(Failure::Data(format!(
                "{} output bytes for {samples} samples of {sample_bytes}: the run was cut short",
                bytes.len()
            )));
        }
        let mut start = 0;
        let quantized = self.outputs.iter().map(|port| {
            let length = port.permutation.len();
            let mut values = vec![0; samples * length];
            for i in 0..samples {
                let device = &bytes[i * sample_bytes + start..][..length];
                port.permutation.to_source(device, &mut values[i * length..][..length]);
            }
            start += length;
            let shape = [&[samples], data::sample_shape(&port.shape)].concat();
            (port.name.clone(), Tensor::new(shape, Values::Int8(values)))
        });
        let quantized = quantized.collect();
        Ok(PlanOutputs {
            quantized,
            quantization: self.outputs.iter().map(|port| port.quantization).collect(),
        })
    }
}

impl Port {
    fn new(io: Io<'_>) -> Self {
        let shape: Vec<usize> = io.shape.iter().map(|&dim| dim as usize).collect();
        let axes: Vec<usize> = io.permutation.iter().map(|&axis| axis.into()).collect();
        Self {
            name: io.name.to_owned(),
            quantization: io.quantization,
            permutation: Permutation::new(&shape, &axes).expect("a checked plan holds a permutation"),
            shape,
        }
    }

    fn quantize(&self, sample: Sample<'_>, device: &mut [i8]) -> InputReport {
        match sample {
            Sample::Int8(values) => {
                self.permutation.to_device(values, device);
                InputReport::default()
            }
            Sample::Float(values) => {
                let mut quantized = vec![0; values.len()];
                let report = still8::quantize_input(values, self.quantization, &mut quantized);
                self.permutation.to_device(&quantized, device);
                report
            }
        }
    }
}

impl PlanOutputs {
    /// The outputs as real numbers.
    pub fn dequantized(&self) -> Vec<(String, Tensor)> {
        let dequantize = |((name, tensor), params): (&(String, Tensor), &QuantParams)| {
            let values = int8(tensor).iter().map(|&q| params.dequantize(q)).collect();
            (name.clone(), Tensor::new(tensor.shape().to_vec(), Values::Float(values)))
        };
        self.quantized.iter().zip(&self.quantization).map(dequantize).collect()
    }

    /// Raw bytes: samples outermost, then outputs in the plan's order, each in the source graph's layout.
    pub fn bytes(&self) -> Vec<u8> {
        let samples = self.quantized.first().map_or(0, |(_, tensor)| tensor.samples());
        let sample = |i| self.quantized.iter().flat_map(move |(_, tensor)| sample_bytes(tensor, i));
        (0..samples).flat_map(sample).map(|&q| q as u8).collect()
    }

    /// SHA-256 of [`Self::bytes`].
    pub fn sha256(&self) -> String {
        files::sha256_hex(&self.bytes())
    }
}

fn int8(tensor: &Tensor) -> &[i8] {
    match tensor.values() {
        Values::Int8(values) => values,
        Values::Float(_) => &[],
    }
}

fn sample_bytes(tensor: &Tensor, i: usize) -> &[i8] {
    match tensor.sample(i) {
        Sample::Int8(values) => values,
        Sample::Float(_) => &[],
    }
}
