"""Makes the data and the teacher of the model `fashion`; `cargo xtask distill models/fashion` makes its student.

    python3 models/fashion/recipe.py data     # train.npz, holdout.npz, full.npz (needs numpy only)
    python3 models/fashion/recipe.py shipped  # calibration.npz, test.npz, quick.npz, as they ship
    python3 models/fashion/recipe.py teacher  # teacher.onnx (needs ../requirements.txt)

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


def train(data):
    """Trains the teacher and writes it; figures for model.toml are printed."""
    import keras

    keras.utils.set_random_seed(SEED)
    x_all, y_all = load(data, "train")
    x, y = x_all[:-HELD_OUT], common.one_hot(y_all[:-HELD_OUT], len(CLASSES))
    net = teacher()
    common.fit(net, lambda i: (augment(x, i), y), validation=(x_all[-HELD_OUT:], y_all[-HELD_OUT:]), seed=SEED, **TEACHER)
    common.write_teacher(net, HERE / "teacher.onnx", "fashion_teacher", x_all[-256:])


def shipped(data):
    """Writes what ships: calibration.npz, test.npz, and quick.npz for `distill --quick`."""
    x, y = load(data, "train")
    x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    x_test, y_test = load(data, "t10k")
    calibration = common.balanced(y, 256, SEED)
    test = common.balanced(y_test, 1_000, SEED)
    # Of the training images, those that the quantizer is not calibrated with.
    rows = [row.tobytes() for row in x.astype(np.float16)]
    known = {rows[i] for i in calibration}
    free = np.array([i for i, row in enumerate(rows) if row not in known])
    quick = free[common.balanced(y[free], 3_000, SEED)]
    for name, images, labels in (("calibration", x[calibration], y[calibration]), ("test", x_test[test], y_test[test]),
                                 ("quick", x[quick], y[quick])):
        print(f"{name}.npz", common.save_npz(HERE / f"{name}.npz", images, labels))


def rest(data):
    """Writes what does not ship: train.npz and holdout.npz, which `distill` reads, and full.npz, the whole test set."""
    x, y = load(data, "train")
    for name, images, labels in (("train", x[:-HELD_OUT], y[:-HELD_OUT]), ("holdout", x[-HELD_OUT:], y[-HELD_OUT:]),
                                 ("full", *load(data, "t10k"))):
        print(f"{name}.npz", common.save_npz(HERE / f"{name}.npz", images, labels))


if __name__ == "__main__":
    steps = {"data": rest, "shipped": shipped, "teacher": train}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    steps[options.step](options.data)
