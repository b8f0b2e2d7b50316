//! Tests of [`crate::data`] on files that another implementation writes.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use half::f16;
use npyz::WriterBuilder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn npy<T: npyz::AutoSerialize>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut file).begin_nd().unwrap();
    values.iter().for_each(|value| writer.push(value).unwrap());
    writer.finish().unwrap();
    file
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, npy) in arrays {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(npy).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn image() -> InputSpec {
    InputSpec { name: "image".to_owned(), shape: vec![1, 1, 2, 2], range: None }
}

fn parse(file: &[u8], inputs: &[InputSpec]) -> Result<Dataset> {
    Dataset::parse(&PathBuf::from("some/data.npz"), file, inputs)
}

/// The message of a file that must be refused as bad data.
fn refusal(file: &[u8], inputs: &[InputSpec]) -> String {
    let failure = parse(file, inputs).unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    let text = failure.to_string();
    assert!(text.starts_with("some/data.npz: "), "{text}");
    text
}

#[test]
fn compressed_float16_with_labels() {
    let x: Vec<f16> = (0..12).map(|i| f16::from_f32(i as f32 / 4.0)).collect();
    let file = npz(&[("x", npy(&[3, 1, 2, 2], &x)), ("y", npy(&[3], &[2i64, 0, 1]))]);
    let data = parse(&file, &[image()]).unwrap();
    assert_eq!(data.samples(), 3);
    assert_eq!(data.inputs[0].0, "image");
    assert_eq!(data.inputs[0].1.sample(1), Sample::Float(&[1.0, 1.25, 1.5, 1.75]));
    assert_eq!(data.require_labels(3).unwrap(), [2, 0, 1]);
}

#[test]
fn int8_stays_int8() {
    let data = parse(&npy(&[2, 1, 2, 2], &[-128i8, 1, 2, 3, 4, 5, 6, 127]), &[image()]).unwrap();
    assert_eq!(data.inputs[0].1.sample(1), Sample::Int8(&[4, 5, 6, 127]));
    assert_eq!(data.labels, None);
}

#[test]
fn several_inputs_by_name() {
    let inputs = ["a", "b"].map(|name| InputSpec { name: name.to_owned(), shape: vec![1, 2], range: None });
    let (a, b) = (npy(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]), npy(&[2, 2], &[5.0f64, 6.0, 7.0, 8.0]));
    let data = parse(&npz(&[("b", b.clone()), ("a", a.clone())]), &inputs).unwrap();
    assert_eq!(data.inputs[0].1.sample(1), Sample::Float(&[3.0, 4.0]));
    assert_eq!(data.inputs[1].1.sample(0), Sample::Float(&[5.0, 6.0]));
    let text = refusal(&npz(&[("a", a.clone()), ("c", b)]), &inputs);
    assert!(text.contains("no array for input `b`; found `a`, `c`"), "{text}");
    let text = refusal(&npz(&[("a", a), ("b", npy(&[1, 2], &[1.0f32, 2.0]))]), &inputs);
    assert!(text.contains("`b` has 1 samples, `a` has 2"), "{text}");
}

#[test]
fn exact_shape_is_one_sample() {
    let data = parse(&npy(&[1, 1, 2, 2], &[0.0f32; 4]), &[image()]).unwrap();
    assert_eq!((data.samples(), data.inputs[0].1.shape()), (1, &[1, 1, 2, 2][..]));
    let unbatched = InputSpec { shape: vec![49, 10], ..image() };
    let data = parse(&npy(&[49, 10], &[0.0f32; 490]), std::slice::from_ref(&unbatched)).unwrap();
    assert_eq!(data.inputs[0].1.shape(), [1, 49, 10]);
    let data = parse(&npy(&[2, 49, 10], &[0.0f32; 980]), &[unbatched]).unwrap();
    assert_eq!(data.samples(), 2);
}

#[test]
fn other_shapes_are_refused() {
    for shape in [&[3, 2, 2][..], &[12], &[3, 4], &[3, 2, 2, 1]] {
        let text = refusal(&npy(shape, &[0.0f32; 12]), &[image()]);
        let expected = format!("`image` has shape {shape:?}; expected [samples, 1, 2, 2]");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn other_types_are_refused() {
    let text = refusal(&npy(&[1, 1, 2, 2], &[0u8; 4]), &[image()]);
    assert!(text.contains("`image` is uint8; accepted are float32"), "{text}");
}

#[test]
fn floats_are_the_quantities_of_a_regression() {
    let labelled = |y: Vec<u8>| npz(&[("x", npy(&[2, 1, 2, 2], &[0.0f32; 8])), ("y", y)]);
    let load = |y: Vec<u8>| Dataset::parse(&PathBuf::from("a.npz"), &labelled(y), &[image()]).unwrap();
    let data = load(npy(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(data.labels, None);
    assert_eq!(data.pick(&[1]).require_targets(3).unwrap().sample(0), Sample::Float(&[4.0, 5.0, 6.0]));
    let refused = |failure: Failure, expected: &str| {
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains(expected), "{failure}");
    };
    refused(data.require_targets(2).unwrap_err(), "holds 3 numbers a sample; the model has 2 quantities");
    refused(data.require_labels(2).unwrap_err(), "`y` holds floats; class labels are integers");
    assert_eq!(load(npy(&[2], &[1.0f32, 2.0])).require_targets(1).unwrap().shape(), [2, 1]);
    let classes = load(npy(&[2], &[0i32, 1]));
    refused(
        classes.require_targets(1).unwrap_err(),
        "`y` holds integers; a regression's is float32 of shape [samples, 1]",
    );
    refused(load(npy(&[2], &[1.0, f32::NAN])).require_targets(1).unwrap_err(), "`y` of sample 1 is NaN");
    let text = refusal(&labelled(npy(&[3], &[0.0f32; 3])), &[image()]);
    assert!(text.contains("`y` has shape [3]; expected [2, quantities]"), "{text}");
}

#[test]
fn empty_truncated_and_foreign_files_are_refused() {
    assert!(refusal(&npy::<f32>(&[0, 1, 2, 2], &[]), &[image()]).contains("no samples"));
    let file = npy(&[1, 1, 2, 2], &[0.0f32; 4]);
    assert!(refusal(&file[..file.len() - 1], &[image()]).contains("truncated"));
    let file = npz(&[("x", file)]);
    assert!(refusal(&file[..file.len() / 2], &[image()]).contains("damaged .npz"));
    assert!(refusal(b"PK no archive", &[image()]).contains("damaged .npz"));
    assert!(refusal(b"sepal,petal\n1,2\n", &[image()]).contains("neither .npy nor .npz"));
    assert!(refusal(b"", &[image()]).contains("neither .npy nor .npz"));
    let missing = Dataset::load(&PathBuf::from("/nowhere/x.npy"), &[image()]).unwrap_err();
    assert_eq!(missing.exit_code(), 4);
    assert!(missing.to_string().contains("/nowhere/x.npy: cannot be read"), "{missing}");
}

#[test]
fn bad_labels_are_refused() {
    let with = |y| npz(&[("x", npy(&[2, 1, 2, 2], &[0.0f32; 8])), ("y", y)]);
    assert!(refusal(&with(npy(&[3], &[0i64, 1, 2])), &[image()]).contains("shape [3]; expected [2]"));
    assert!(refusal(&with(npy(&[2], &[0i64, -1])), &[image()]).contains("label -1 of sample 1 is negative"));
    let data = parse(&with(npy(&[2], &[0u8, 10])), &[image()]).unwrap();
    let text = data.require_labels(10).unwrap_err().to_string();
    assert!(
        text.contains("label 10 of sample 1 is out of range: the model has 10 classes, 0 to 9"),
        "{text}"
    );
    let data = Dataset::random(0, &[image()], 1);
    assert!(data.require_labels(10).unwrap_err().to_string().contains("no labels"));
}

#[test]
fn nan_is_counted_and_refused_by_calibration() {
    let mut x = [0.0f32; 12];
    (x[5], x[6], x[11]) = (f32::NAN, f32::INFINITY, f32::NAN);
    let data = parse(&npy(&[3, 1, 2, 2], &x), &[image()]).unwrap();
    let found = NonFinite { input: "image".to_owned(), nan: 2, infinite: 1, sample: 1 };
    assert_eq!(data.non_finite(), [found]);
    let text = data.require_finite().unwrap_err().to_string();
    assert!(text.contains("2 NaN and 1 infinite values, the first in sample 1"), "{text}");
    Dataset::random(0, &[image()], 4).require_finite().unwrap();
}

#[test]
fn seed_fixes_random_samples() {
    let spec = InputSpec { range: Some([0.0, 1.0]), ..image() };
    let data = Dataset::random(7, std::slice::from_ref(&spec), 3);
    assert_eq!(data, Dataset::random(7, std::slice::from_ref(&spec), 3));
    assert_ne!(data, Dataset::random(8, std::slice::from_ref(&spec), 3));
    assert_eq!(data.inputs[0].1.shape(), [3, 1, 2, 2]);
    assert_eq!(data.origin, "random:7");
    let Values::Float(values) = data.inputs[0].1.values() else { panic!("no floats") };
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
}

#[test]
fn thin_spreads_over_all_samples() {
    let file =
        npz(&[("x", npy(&[4, 1, 1, 2], &[1i8, 2, 3, 4, 5, 6, 7, 8])), ("y", npy(&[4], &[0u8, 0, 1, 1]))]);
    let spec = InputSpec { shape: vec![1, 1, 1, 2], ..image() };
    let mut data = parse(&file, &[spec]).unwrap();
    data.thin(5);
    assert_eq!(data.samples(), 4);
    data.thin(2);
    assert_eq!((data.samples(), data.labels.as_deref()), (2, Some(&[0, 1][..])));
    assert_eq!(data.inputs[0].1.values(), &Values::Int8(vec![1, 2, 5, 6]));
}

#[test]
fn saved_tensors_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let int8 = Tensor::new(vec![1, 1, 2, 2], Values::Int8(vec![-128, 0, 1, 127]));
    let float = Tensor::new(vec![1, 1, 2, 2], Values::Float(vec![0.5, -0.5, 1e9, 1e-9]));
    for (name, tensor) in [("int8.npy", &int8), ("float.npy", &float), ("float.npz", &float)] {
        let path = folder.path().join(name);
        save(&path, &[("image".to_owned(), tensor.clone())]).unwrap();
        assert_eq!(&Dataset::load(&path, &[image()]).unwrap().inputs[0].1, tensor);
    }
    let both = [("image".to_owned(), float.clone()), ("mask".to_owned(), int8)];
    save(&folder.path().join("both.npz"), &both).unwrap();
    assert_eq!(Dataset::load(&folder.path().join("both.npz"), &[image()]).unwrap().inputs[0].1, float);
    assert_eq!(save(&folder.path().join("both.npy"), &both).unwrap_err().exit_code(), 2);
    let unwritable = save(&folder.path().join("both.npz/below.npz"), &both).unwrap_err();
    assert!(unwritable.to_string().contains("below.npz: cannot be written"), "{unwritable}");
}
