use half::f16;
use still8_validation::data::{Dataset, Tensor, Values};

use super::*;
use crate::samples::Order;
use crate::student::{Family, Student, build};

/// Two classes: the larger half of the elements is on the left or on the right.
fn samples(count: usize, seed: u64) -> Samples {
    let mut random = SplitMix64::new(seed);
    let mut values = Vec::new();
    let labels: Vec<usize> = (0..count).map(|i| i % 2).collect();
    for label in &labels {
        let element = |i: usize| f32::from(u8::from(i / 4 == *label));
        values.extend((0..8).map(|i| f16::from_f32(element(i) + random.uniform([-0.4, 0.4])).to_f32()));
    }
    let tensor = Tensor::new(vec![count, 8], Values::Float(values));
    let data = Dataset {
        inputs: vec![("x".into(), tensor)],
        labels: Some(labels),
        targets: None,
        origin: "test".into(),
    };
    Samples::new(&data, [1, 1, 8], Order::Same).unwrap()
}

static UNITS: Units = Units::NONE;

const COURSE: Course =
    Course { epochs: 6, batch: 32, rate: 1e-2, warm_up: 1.0, decay: 0.01, average: 0.9, patience: None };

fn lesson<'a>(train: &'a Samples, holdout: &'a Samples, augment: &'a Augment) -> Lesson<'a> {
    Lesson {
        task: Task::Classification,
        train,
        holdout,
        answers: &[],
        fresh: false,
        holdout_answers: None,
        augment,
        loss: Loss::default(),
        hints: Vec::new(),
        scale: 1.0,
        units: &UNITS,
        seed: 7,
    }
}

fn net() -> Net {
    let layers = Student::of(Family::Mlp, 16, 2).layers([1, 1, 8], 2).unwrap();
    build(&layers, [1, 1, 8], 2, 1).unwrap()
}

#[test]
fn learns_what_is_easy() {
    let (train_on, holdout, augment) = (samples(256, 1), samples(64, 2), Augment::default());
    let mut net = net();
    let log =
        train(&mut net, &lesson(&train_on, &holdout, &augment), &COURSE, "float", &Desk::SILENT).unwrap();
    assert_eq!(log.len(), 6);
    assert!(log[5].accuracy > Some(0.95) && log[5].train_loss < log[0].train_loss, "{log:?}");
}

/// Scaled samples go in; what comes out is held to the samples as they are.
#[test]
fn reconstructions_are_in_the_units_of_the_samples() {
    let large = |count, seed| {
        let small = samples(count, seed);
        let values = (0..count).flat_map(|i| small.get(i)).map(|x| 32.0 * x).collect();
        let tensor = Tensor::new(vec![count, 8], Values::Float(values));
        let data = Dataset {
            inputs: vec![("x".into(), tensor)],
            labels: None,
            targets: None,
            origin: "test".into(),
        };
        Samples::new(&data, [1, 1, 8], Order::Same).unwrap()
    };
    let (train_on, holdout, augment) = (large(256, 1), large(64, 2), Augment::default());
    let own =
        Lesson { task: Task::Reconstruction, scale: 1.0 / 32.0, ..lesson(&train_on, &holdout, &augment) };
    let layers = Student::of(Family::Mlp, 16, 2).layers([1, 1, 8], 8).unwrap();
    let mut net = build(&layers, [1, 1, 8], 8, 1).unwrap();
    let course = Course { epochs: 60, ..COURSE };
    let log = train(&mut net, &own, &course, "float", &Desk::SILENT).unwrap();
    // The elements' mean square is about 500.
    assert!(log[0].holdout_loss > 250.0 && log[59].holdout_loss < 100.0, "{log:?}");
    assert_eq!((log[59].accuracy, log[59].agreement), (None, None));
    let best = log.iter().map(|epoch| epoch.holdout_loss).fold(f64::INFINITY, f64::min);
    assert!((evaluate(&net, &own).holdout_loss - best).abs() < 1e-9);
}

#[test]
fn a_killed_training_ends_as_if_nothing_had_been() {
    let (train_on, holdout, augment) =
        (samples(200, 1), samples(64, 2), Augment { noise: 0.1, ..Augment::default() });
    let lesson = lesson(&train_on, &holdout, &augment);
    let mut whole = net();
    let log = train(&mut whole, &lesson, &COURSE, "float", &Desk::SILENT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Some(folder.path().join("float.checkpoint"));
    // Behind the checkpoint of the second epoch and inside the fourth: the steps since then are made again.
    let killed = Desk { checkpoint: checkpoint.clone(), stop_after: Some(20), ..Desk::SILENT };
    let mut net_ = net();
    train(&mut net_, &lesson, &COURSE, "float", &killed).unwrap();
    let mut resumed = net();
    let again = train(&mut resumed, &lesson, &COURSE, "float", &Desk { checkpoint, ..Desk::SILENT }).unwrap();
    assert_eq!(again, log);
    assert_eq!(resumed, whole);
}

#[test]
fn threads_do_not_matter() {
    let (train_on, holdout, augment) = (samples(200, 1), samples(64, 2), Augment::default());
    let lesson = lesson(&train_on, &holdout, &augment);
    let nets = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut net = net();
        pool.install(|| train(&mut net, &lesson, &Course { batch: 100, ..COURSE }, "float", &Desk::SILENT))
            .unwrap();
        net
    });
    assert_eq!(nets[0], nets[1]);
}

/// What a teacher was asked about comes again; with `fresh`, its answer stands for views that never do.
#[test]
fn fresh_views_are_new_in_every_epoch() {
    let (train_on, holdout) = (samples(64, 1), samples(32, 2));
    let augment = Augment { noise: 0.3, ..Augment::default() };
    let answers = vec![Answers::same(train_on.len(), &[0.5, 1.0])];
    let losses = |answers, fresh| {
        let lesson = Lesson { answers, fresh, ..lesson(&train_on, &holdout, &augment) };
        let indices: Vec<usize> = (0..32).collect();
        [0, 1].map(|epoch| step(&net(), &lesson, &[], &indices, epoch).0)
    };
    let ([again, same], [one, other]) = (losses(&answers[..], false), losses(&answers, true));
    assert!(again == same && one == again && other != one);
    let [one, other] = losses(&[], false);
    assert!(one != other, "without a teacher no view comes again");
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_last_state() {
    let (train_on, holdout, augment) = (samples(200, 1), samples(64, 2), Augment::default());
    let lesson = lesson(&train_on, &holdout, &augment);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("float.checkpoint");
    let desk = |stop_after| Desk { checkpoint: Some(checkpoint.clone()), stop_after, ..Desk::SILENT };
    let fast = Course { rate: 1e30, warm_up: 2.0, ..COURSE };
    let mut net_ = net();
    let failure = train(&mut net_, &lesson, &fast, "float", &desk(None)).unwrap_err();
    assert_eq!(failure.exit_code(), 4);
    let text = failure.to_string();
    assert!(text.contains("step ") && text.contains("schedule.rate"), "{text}");
    if checkpoint.exists() {
        assert!(text.contains("the last good state"), "{text}");
        assert!(restore(&checkpoint, &key(&net(), &lesson, &fast, "float")).is_ok());
    }
}

#[test]
fn broken_and_foreign_checkpoints_are_refused() {
    let (train_on, holdout, augment) = (samples(200, 1), samples(64, 2), Augment::default());
    let lesson = lesson(&train_on, &holdout, &augment);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("float.checkpoint");
    let desk = || Desk { checkpoint: Some(checkpoint.clone()), ..Desk::SILENT };
    train(&mut net(), &lesson, &COURSE, "float", &desk()).unwrap();
    let other = Course { rate: 2e-2, ..COURSE };
    let text = train(&mut net(), &lesson, &other, "float", &desk()).unwrap_err().to_string();
    assert!(text.contains("of another recipe") && text.contains("delete it"), "{text}");
    let answers = [[0.5f32, 1.0], [0.25, 1.0]].map(|row| vec![Answers::same(train_on.len(), &row)]);
    let [one, another] = answers
        .each_ref()
        .map(|answers| key(&net(), &Lesson { answers, ..lesson.clone() }, &COURSE, "float"));
    assert_ne!(one, another, "what another teacher says is another training");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let text = train(&mut net(), &lesson, &COURSE, "float", &desk()).unwrap_err().to_string();
    assert!(text.contains("no whole checkpoint"), "{text}");
}

#[test]
fn patience_ends_a_training_that_does_not_improve() {
    let (train_on, holdout, augment) = (samples(200, 1), samples(64, 2), Augment::default());
    let mut net_ = net();
    let course = Course { epochs: 60, rate: 1e-9, patience: Some(3), average: 0.0, ..COURSE };
    let lesson = lesson(&train_on, &holdout, &augment);
    let log = train(&mut net_, &lesson, &course, "float", &Desk::SILENT).unwrap();
    assert!(log.len() < 60, "{}", log.len());
}

#[test]
fn unknown_layers_of_hints_are_named() {
    let (train_on, holdout, augment) = (samples(200, 1), samples(64, 2), Augment::default());
    let mut lesson = lesson(&train_on, &holdout, &augment);
    lesson.hints = vec![("nowhere".into(), hints::Kind::Feature, 1.0)];
    let text = train(&mut net(), &lesson, &COURSE, "float", &Desk::SILENT).unwrap_err().to_string();
    assert!(text.contains("`nowhere`") && text.contains("layer1/dense"), "{text}");
}
