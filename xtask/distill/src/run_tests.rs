use still8_validation::data::Values;
use still8_validation::npy::write_npz;
use still8_validation::random::SplitMix64;
use tempfile::TempDir;

use super::*;
use crate::student::Family;

const QUIET: Console = Console { json: false, quiet: true };
const SAMPLES: usize = 64;

/// A folder with an anomaly model of twelve elements; `teacher` is its entry.
fn folder(label: i8, teacher: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut random = SplitMix64::new(5);
    let x = (0..SAMPLES * 12).map(|_| random.uniform([-1.0, 1.0])).collect();
    let (x, y) = (Values::Float(x), Values::Int8(vec![label; SAMPLES]));
    let mut file = std::io::Cursor::new(Vec::new());
    write_npz(&mut file, [("x", &[SAMPLES, 12][..], &x), ("y", &[SAMPLES][..], &y)]).unwrap();
    std::fs::write(folder.path().join("data.npz"), file.get_ref()).unwrap();
    let hash = files::sha256_hex(file.get_ref());
    let data = ["calibration", "test", "train"].map(|kind| {
        format!(
            "[data.{kind}]\nfile = \"data.npz\"\nsha256 = \"{hash}\"\nsamples = {SAMPLES}\nsplit = \"all\"\n"
        )
    });
    let text = format!(
        "schema = 1\nname = \"hum\"\ntask = \"anomaly\"\ndescription = \"noise\"\nclasses = [\"normal\", \"not\"]\n\
         [input]\nname = \"x\"\nshape = [1, 12]\n[output]\nname = \"y\"\n{teacher}\
         [student]\nfile = \"student.onnx\"\nsha256 = \"{hash}\"\nparameters = 1\nmacs = 1\nlicence = \"MIT\"\n\
         origin = \"none yet\"\n{}[[source]]\nname = \"noise\"\nlicence = \"MIT\"\n\
         [distill.student]\nfamily = \"autoencoder\"\nwidth = 8\ndepth = 2\n[distill.schedule]\nepochs = 3\nbatch = 16\n",
        data.concat()
    );
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    folder
}

#[test]
fn an_anomaly_model_learns_to_give_back_its_input() {
    let folder = folder(0, "");
    let bench = Bench::open(folder.path(), false, Asked::Everything, QUIET).unwrap();
    assert_eq!((bench.task, bench.outputs()), (Task::Reconstruction, 12));
    let trained = bench.train(&bench.config.student, Teaching::Distilled, None, 1).unwrap();
    assert!(trained.log[2].holdout_loss < trained.log[0].holdout_loss, "{:?}", trained.log);
    let line = line(&trained.log[2], 3);
    assert!(line.contains("held out") && !line.contains("accuracy"), "{line}");
}

#[test]
fn samples_that_are_not_normal_and_teachers_of_another_size_are_refused() {
    let failure = Bench::open(folder(1, "").path(), false, Asked::Everything, QUIET).err().unwrap();
    assert!(failure.to_string().contains("labelled 1, not normal"), "{failure}");
    let untaught = folder(0, "");
    let bench = Bench::open(untaught.path(), false, Asked::Nothing, QUIET).unwrap();
    let layers = Student::of(Family::Mlp, 4, 1).layers([1, 1, 12], 5).unwrap();
    let teacher = bench.onnx(&folded(&build(&layers, [1, 1, 12], 5, 1).unwrap()), &[]);
    let entry = format!(
        "[teacher]\nfile = \"teacher.onnx\"\nsha256 = \"{}\"\nparameters = 1\nmacs = 1\nlicence = \"MIT\"\n\
         origin = \"here\"\npermits_distillation = \"yes\"\n",
        files::sha256_hex(&teacher)
    );
    let taught = folder(0, &entry);
    std::fs::write(taught.path().join("teacher.onnx"), teacher).unwrap();
    let failure = Bench::open(taught.path(), false, Asked::Everything, QUIET).err().unwrap();
    let expected = "the teacher gives 5 elements, but an anomaly model gives back its input, which has 12";
    assert!(failure.to_string().contains(expected), "{failure}");
}
