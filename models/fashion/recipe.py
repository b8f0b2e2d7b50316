"""Makes the data of the model `fashion`; `cargo xtask distill models/fashion` makes its teacher and its student.

    python3 models/fashion/recipe.py data     # train.npz, holdout.npz, full.npz
    python3 models/fashion/recipe.py shipped  # calibration.npz, test.npz, quick.npz, as they ship

Both need numpy. The data come from the Debian package `dataset-fashion-mnist`; `--data DIR` names another folder with the same four files.
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
HELD_OUT = 5_000  # the last images of the training set: seen by no training, used to judge it


def load(folder, part):
    """Images [N, 1, 28, 28] in 0..1 and labels, from the idx files."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8).astype(np.int64)
    return x.astype(np.float32) / 255, y


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
    steps = {"data": rest, "shipped": shipped}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    options = parser.parse_args()
    steps[options.step](options.data)
