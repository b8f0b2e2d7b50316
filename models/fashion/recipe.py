"""Makes the model `fashion`: teacher, distilled student, calibration and test data.

    python3 models/fashion/recipe.py train   # everything that is committed here (needs ../requirements.txt)
    python3 models/fashion/recipe.py full    # full.npz, the whole test set (needs numpy only)
    python3 models/fashion/recipe.py data    # what `cargo xtask distill` reads (needs numpy only)

The data come from the Debian package `dataset-fashion-mnist`; `--data DIR` names another folder with the same four files.
"""

import argparse
import gzip
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import common  # noqa: E402

SEED = 8
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
HELD_OUT = 5_000  # the last images of the training set: seen by no training, used to judge it
TEACHER = dict(epochs=16, batch=128, rate=3e-3, weight_decay=0.05)
STUDENT = dict(epochs=30, batch=128, rate=6e-3, weight_decay=0.02, temperature=4.0, alpha=0.8)
VARIANTS = 5  # augmented copies of the training set that the student sees in turn, with the teacher's logits for each


def load(folder, part):
    """Images [N, 1, 28, 28] in 0..1 and labels, from the idx files."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8).astype(np.int64)
    return x.astype(np.float32) / 255, y


def augment(x, seed):
    """Every image mirrored by chance, shifted by up to 2 pixels, and half of them with one square cut out."""
    rng, n = np.random.default_rng(seed), len(x)
    mirror, dy, dx = rng.random(n) < 0.5, rng.integers(0, 5, n), rng.integers(0, 5, n)
    rows, columns = np.arange(28)[None] + dy[:, None], np.arange(28)[None] + dx[:, None]
    columns = np.where(mirror[:, None], columns[:, ::-1], columns)
    padded = np.pad(x[:, 0], ((0, 0), (2, 2), (2, 2)))
    x = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    side, cy, cx = rng.integers(4, 11, n), rng.integers(0, 28, n), rng.integers(0, 28, n)
    side = np.where(rng.random(n) < 0.5, side, 0)
    in_y = np.abs(2 * (np.arange(28)[None] - cy[:, None])) < side[:, None]
    in_x = np.abs(2 * (np.arange(28)[None] - cx[:, None])) < side[:, None]
    return np.where(in_y[:, :, None] & in_x[:, None, :], np.float32(0), x)[:, None]


def teacher():
    net = common.Net("image", (1, 28, 28))
    x = net.conv(net.input, "stem/conv", 24, (3, 3))
    x = net.relu(net.batch_norm(x, "stem/bn"), "stem/act")
    for name, filters, stride in (("block1", 48, 2), ("block2", 48, 1), ("block3", 96, 2), ("block4", 96, 1)):
        x = net.residual(x, name, filters, (3, 3), (stride, stride))
    return net.classify(x, len(CLASSES), dropout=0.2)


def student():
    net = common.Net("image", (1, 28, 28))
    x = net.conv(net.input, "stem/conv", 16, (3, 3))
    x = net.relu6(net.batch_norm(x, "stem/bn"), "stem/act")
    for name, filters, stride, residual in (("block1", 32, 2, False), ("block2", 48, 1, False), ("block3", 48, 1, False),
                                            ("block4", 80, 2, False), ("block5", 80, 1, True), ("block6", 80, 1, True),
                                            ("block7", 128, 1, False)):
        x = net.separable(x, name, filters, (3, 3), (stride, stride), net.relu6, residual)
    return net.classify(x, len(CLASSES))


def train(data, work):
    import keras

    keras.utils.set_random_seed(SEED)
    x_all, y_all = load(data, "train")
    x, y, held_out = x_all[:-HELD_OUT], y_all[:-HELD_OUT], (x_all[-HELD_OUT:], y_all[-HELD_OUT:])

    big = teacher()
    print("teacher", big.totals())
    common.fit(big, lambda i: (augment(x, i), y, None), validation=held_out, seed=SEED, **TEACHER)
    big.model.save_weights(work / "fashion-teacher.weights.h5")


def distill(data, work):
    import keras

    keras.utils.set_random_seed(SEED)
    x_all, y_all = load(data, "train")
    x, y, held_out = x_all[:-HELD_OUT], y_all[:-HELD_OUT], (x_all[-HELD_OUT:], y_all[-HELD_OUT:])
    big, small = teacher(), student()
    big.model.load_weights(work / "fashion-teacher.weights.h5")

    # The teacher looks at each augmented copy once; the student then comes back to the copies in turn.
    copies = {}

    def epoch_data(i):
        i %= VARIANTS
        if i not in copies:
            seen = augment(x, 1000 + i)
            copies[i] = (seen.astype(np.float16), y, big.logits(seen))
        return copies[i]

    print("student", small.totals())
    common.fit(small, epoch_data, validation=held_out, seed=SEED + 1, **STUDENT)
    small.model.save_weights(work / "fashion-student.weights.h5")


def export(data, work):
    """Files and figures from the trained weights."""
    big, small = teacher(), student()
    big.model.load_weights(work / "fashion-teacher.weights.h5")
    small.model.load_weights(work / "fashion-student.weights.h5")
    x, y = load(data, "train")
    x_test, y_test = load(data, "t10k")
    calibration = common.balanced(y[:-HELD_OUT], 256, SEED)
    sample = common.balanced(y_test, 1_000, SEED)
    common.save_npz(HERE / "calibration.npz", x[calibration], y[calibration])
    common.save_npz(HERE / "test.npz", x_test[sample], y_test[sample])
    for net, name in ((big, "teacher"), (small, "student")):
        common.export_onnx(net, HERE / f"{name}.onnx", f"fashion_{name}")
        common.check_export(net, HERE / f"{name}.onnx", x_test[:256])

    logits = common.measure(HERE, x_test, y_test, x[calibration], (x_test[sample], y_test[sample]))
    scores = {n: round(common.accuracy(logits[n, "full"], y_test), 4) for n in ("teacher", "student")}
    common.write_toml(HERE / "model.toml", {
        "schema": 1,
        "name": "fashion",
        "task": "classification",
        "description": "Which of ten kinds of clothing a 28x28 grey image shows (Fashion-MNIST)",
        "classes": CLASSES,
        "input": {"name": "image", "shape": [1, 1, 28, 28], "range": [0.0, 1.0], "preprocessing": "grey value / 255"},
        "output": {"name": "logits"},
        "teacher": common.network_entry(HERE, "teacher", big),
        "student": common.network_entry(HERE, "student", small),
        "data": {
            "calibration": common.data_entry(HERE, "calibration", 256, "first 55,000 images of the training set, balanced "
                                             "by class; disjoint from test"),
            "test": common.data_entry(HERE, "test", 1_000, "100 images of each class, drawn from the test set"),
            "full": {"file": "full.npz", "sha256": full(data), "samples": len(y_test),
                     "recipe": "python3 models/fashion/recipe.py full", "split": "the whole test set"},
        },
        "source": [{
            "name": "Fashion-MNIST",
            "package": "Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1",
            "licence": "MIT",
            "citation": "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking "
                        "Machine Learning Algorithms. arXiv:1708.07747, 2017",
        }],
        "thresholds": {
            "teacher_accuracy_min": 0.925,
            "int8_accuracy_min": 0.90,
            "distillation_loss_max": 0.04,
            "quantization_loss_max": 0.01,
            "agreement_float_int8_min": 0.97,
        },
        "baseline": {"teacher_accuracy": scores["teacher"], "float_accuracy": scores["student"]},
    })
    common.fill_readme(HERE / "README.md", "teacher", common.cost_table(big))
    common.fill_readme(HERE / "README.md", "student", common.cost_table(small))
    common.fill_readme(HERE / "README.md", "float", common.score_table(logits, y_test, y_test[sample]))


def full(data):
    """Writes full.npz and returns the hash of its content."""
    x, y = load(data, "t10k")
    return common.save_npz(HERE / "full.npz", x, y)


def data_files(data):
    """Writes what `distill` reads: train.npz, holdout.npz, and the small quick.npz, which ships."""
    x, y = load(data, "train")
    print("train.npz", common.save_npz(HERE / "train.npz", x[:-HELD_OUT], y[:-HELD_OUT]))
    print("holdout.npz", common.save_npz(HERE / "holdout.npz", x[-HELD_OUT:], y[-HELD_OUT:]))
    # Of the training images, those that the quantizer is not calibrated with.
    rows = [row.tobytes() for row in x[:-HELD_OUT].astype(np.float16)]
    known = {row.tobytes() for row in np.load(HERE / "calibration.npz")["x"]}
    free = np.array([i for i, row in enumerate(rows) if row not in known])
    quick = free[common.balanced(y[free], 3_000, SEED)]
    print("quick.npz", common.save_npz(HERE / "quick.npz", x[quick], y[quick]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "distill", "export", "full", "data"],
                        help="data: what cargo xtask distill reads; train: all of it; distill, export: go on from the weights in --work")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--work", type=pathlib.Path, help="where the trained weights are kept (default: a temporary folder)")
    options = parser.parse_args()
    if options.step == "full":
        print("full.npz", full(options.data))
        return
    if options.step == "data":
        data_files(options.data)
        return
    common.run_steps(options.step, options.work, [
        ("train", lambda work: train(options.data, work)),
        ("distill", lambda work: distill(options.data, work)),
        ("export", lambda work: export(options.data, work)),
    ])


if __name__ == "__main__":
    main()
