//! Runs a plan's very bytes on the host: what a device would compute, bit for bit.

use std::path::Path;

use rayon::prelude::*;
use still8::{Align16, InputReport, OpTable, Plan, PlanError, Session};

use crate::data::Dataset;
use crate::transfer::{DeviceInputs, PlanOutputs, Transfer};
use crate::{Failure, Result, files};

/// Every operator.
pub static OPS: OpTable = OpTable::new(still8::ops::ALL);

/// A plan that the host runs.
pub struct HostRunner {
    bytes: Vec<Align16>,
    length: usize,
}

impl HostRunner {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`Failure::Data`] that names the file and says what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(&files::read(path)?).map_err(|error| Failure::data(path, error))
    }

    /// Copies and checks a plan; `bytes` need no alignment.
    ///
    /// # Errors
    /// Those of [`Plan::from_bytes`].
    pub fn new(bytes: &[u8]) -> std::result::Result<Self, PlanError> {
        let mut units = vec![Align16::ZERO; Align16::count(bytes.len())];
        bytemuck::cast_slice_mut(&mut units)[..bytes.len()].copy_from_slice(bytes);
        let runner = Self { bytes: units, length: bytes.len() };
        Plan::from_bytes(runner.bytes(), &OPS)?;
        Ok(runner)
    }

    /// The plan's bytes, aligned.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.bytes)[..self.length]
    }

    /// The plan, read in place.
    pub fn plan(&self) -> Plan<'_> {
        Plan::from_bytes(self.bytes(), &OPS).expect("`new` checked these bytes")
    }

    /// Runs all samples, in parallel; each starts with cleared state. `progress` gets the number of samples
    /// done.
    ///
    /// # Errors
    /// Those of [`Transfer::to_device`].
    pub fn run(&self, data: &Dataset, progress: impl Fn(usize) + Sync) -> Result<(PlanOutputs, InputReport)> {
        let transfer = Transfer::new(&self.plan());
        let inputs = transfer.to_device(data)?;
        let outputs = self.run_device(&inputs, progress);
        Ok((transfer.to_source(inputs.samples, &outputs)?, inputs.report))
    }

    /// Runs samples that are in the device's layout; returns outputs in it: samples outermost, then outputs
    /// in the plan's order.
    ///
    /// # Panics
    /// Where the inputs were made for another plan.
    pub fn run_device(&self, inputs: &DeviceInputs, progress: impl Fn(usize) + Sync) -> Vec<i8> {
        let plan = self.plan();
        let counter = crate::run::Counter::new(progress);
        let sample_bytes = inputs.bytes.len() / inputs.samples.max(1);
        let outputs: Vec<Vec<i8>> = inputs
            .bytes
            .par_chunks(sample_bytes.max(1))
            .map_init(
                || vec![Align16::ZERO; Align16::count(plan.arena_bytes())],
                |arena, sample| {
                    let output = run_sample(&plan, arena, sample);
                    counter.step();
                    output
                },
            )
            .collect();
        outputs.concat()
    }
}

/// One inference from cleared state.
fn run_sample(plan: &Plan<'_>, arena: &mut [Align16], sample: &[i8]) -> Vec<i8> {
    let mut session = Session::new(plan, arena).expect("the arena has the plan's size");
    let mut rest = sample;
    for i in 0..plan.input_count() {
        let input = session.input(i).unwrap_or_default();
        let (bytes, tail) = rest.split_at(input.len());
        input.copy_from_slice(bytes);
        rest = tail;
    }
    session.run();
    (0..plan.output_count()).flat_map(|i| session.output(i).unwrap_or_default()).copied().collect()
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of, cast_slice};
    use still8::format::*;

    use super::*;
    use crate::data::{InputSpec, Sample, Tensor, Values};

    /// A plan without ops: its output is its input, `[1, 2, 1, 3]` in the source and NHWC on the device.
    fn identity() -> Vec<u8> {
        let tensor = TensorRecord {
            shape: [1, 1, 3, 2],
            zero_point: 10,
            scale: 0.5,
            dtype: DataType::Int8 as u8,
            ..TensorRecord::zeroed()
        };
        let io = [io_kind::INPUT, io_kind::OUTPUT].map(|kind| IoRecord {
            kind,
            rank: 4,
            permutation: [0, 2, 3, 1, 0, 0, 0, 0],
            shape: [1, 2, 1, 3, 0, 0],
            name: StrRef { offset: 0, bytes: 4 },
            ..IoRecord::zeroed()
        });
        let sections = [
            (section::TENSORS, bytes_of(&tensor)),
            (section::OPS, &[]),
            (section::OPERANDS, &[]),
            (section::PARAMS, &[]),
            (section::DATA, &[]),
            (section::IO, cast_slice(&io)),
            (section::STRINGS, b"name\0"),
        ];
        let start = size_of::<Header>() + sections.len() * size_of::<SectionRecord>();
        let (mut records, mut body) = (Vec::new(), Vec::new());
        for (kind, bytes) in sections {
            let offset = (start + body.len()) as u32;
            records.push(SectionRecord { kind, flags: SECTION_REQUIRED, offset, bytes: bytes.len() as u32 });
            body.extend_from_slice(bytes);
            body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        }
        let header = Header {
            magic: MAGIC,
            version: FORMAT_VERSION,
            file_bytes: (start + body.len()) as u32,
            arena_bytes: 16,
            sections: records.len() as u32,
            ..Header::zeroed()
        };
        let mut plan = [bytes_of(&header), cast_slice(&records), &body].concat();
        let crc32 = still8::plan::checksum(&plan).to_le_bytes();
        plan[still8::plan::CRC_FIELD].copy_from_slice(&crc32);
        plan
    }

    fn dataset(values: Values) -> Dataset {
        let tensor = Tensor::new(vec![2, 2, 1, 3], values);
        Dataset {
            inputs: vec![("name".to_owned(), tensor)],
            labels: None,
            targets: None,
            origin: "test".to_owned(),
        }
    }

    #[test]
    fn int8_passes_through_and_only_moves() {
        let runner = HostRunner::new(&identity()).unwrap();
        let data = dataset(Values::Int8((0..12).collect()));
        let inputs = Transfer::new(&runner.plan()).to_device(&data).unwrap();
        assert_eq!(inputs.bytes, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        let (outputs, report) = runner.run(&data, |_| ()).unwrap();
        assert_eq!(outputs.quantized, data.inputs);
        assert_eq!(report, InputReport::default());
        assert_eq!(outputs.sha256(), files::sha256_hex(&(0..12).collect::<Vec<u8>>()));
    }

    #[test]
    fn floats_are_quantized_and_what_changed_is_counted() {
        let runner = HostRunner::new(&identity()).unwrap();
        let mut values = vec![1.0; 12];
        (values[1], values[2], values[11]) = (1000.0, f32::NAN, 0.3);
        let (outputs, report) = runner.run(&dataset(Values::Float(values)), |_| ()).unwrap();
        assert_eq!(report, InputReport { saturated: 1, nan: 1 });
        let mut expected = vec![12; 12];
        (expected[1], expected[2], expected[11]) = (127, 10, 11);
        assert_eq!(outputs.quantized[0].1.values(), &Values::Int8(expected));
        let real = outputs.dequantized();
        assert_eq!(real[0].1.sample(0), Sample::Float(&[1.0, 58.5, 0.0, 1.0, 1.0, 1.0]));
    }

    #[test]
    fn specs_give_names_shapes_and_ranges() {
        let runner = HostRunner::new(&identity()).unwrap();
        let specs = Transfer::new(&runner.plan()).input_specs();
        let range = Some([-69.0, 58.5]);
        assert_eq!(specs, [InputSpec { name: "name".to_owned(), shape: vec![1, 2, 1, 3], range }]);
        let random = Dataset::random(1, &specs, 3);
        let (outputs, report) = runner.run(&random, |_| ()).unwrap();
        assert_eq!((outputs.quantized[0].1.shape(), report.saturated), (&[3, 2, 1, 3][..], 0));
    }

    #[test]
    fn damage_and_other_inputs_are_errors() {
        let mut plan = identity();
        let runner = HostRunner::new(&plan).unwrap();
        let mut data = dataset(Values::Int8(vec![0; 12]));
        data.inputs[0].0 = "other".to_owned();
        let text = runner.run(&data, |_| ()).unwrap_err().to_string();
        assert_eq!(text, "test has inputs `other` [2, 1, 3]; the plan takes `name` [2, 1, 3]");
        let transfer = Transfer::new(&runner.plan());
        assert!(transfer.to_source(2, &[0; 11]).unwrap_err().to_string().contains("cut short"));
        plan[200] ^= 1;
        assert!(HostRunner::new(&plan).is_err());
        assert!(HostRunner::new(&[]).is_err());
        assert_eq!(HostRunner::open(Path::new("/nowhere/p.s8")).err().unwrap().exit_code(), 4);
    }
}
