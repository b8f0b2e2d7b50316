"""Makes the data of the model `motion`; `cargo xtask distill models/motion` makes its teacher and its student.

    python3 models/motion/recipe.py data     # train.npz, holdout.npz, full.npz
    python3 models/motion/recipe.py shipped  # calibration.npz, test.npz, as they ship

Both need numpy. The data are the watch data set inside the PyPI package `seglearn` 1.2.5. Where that is not installed, `pip download` gets
the package into a temporary folder.
"""

import argparse
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import common  # noqa: E402
from watch import load  # noqa: E402

SEED = 8

# The test subjects were fixed before the first training, by their numbers and nothing else. Subject 7 was kept for
# validation at first; now a cross-validation over subjects 1 to 7 chooses, and the networks learn from all seven.
TRAIN_SUBJECTS, TEST_SUBJECTS = (1, 2, 3, 4, 5, 6, 7), (8, 9, 10)
# Calibration stays with the subjects it was first drawn from.
CALIBRATION_SUBJECTS = (1, 2, 3, 4, 5, 6)

WINDOW = 128  # samples: 2.56 s at 50 Hz, about one repetition of an exercise
HOP_SHIPPED, HOP_FULL = 64, 32
# The network's unit: 1 g for the accelerometer, 2.5 rad/s for the gyroscope, clipped to [-4, 4].
UNIT, LIMIT = np.array([1, 1, 1, 2.5, 2.5, 2.5]), 4.0

DRAWN = 48_000  # windows that teacher and student learn from


# ----------------------------------------------------------------------------------------------------------------- data


def scaled(x):
    """From g and rad/s to the network's unit, in steps of 1/256 (far below an int8 step) so that files pack well."""
    return np.round(np.clip(x / UNIT, -LIMIT, LIMIT) * 256) / 256


def windows(data, subjects, hop):
    """All windows of these subjects: x [N, 6, 1, WINDOW], labels."""
    x, y = [], []
    for series, label, subject in zip(data["X"], data["y"], data["subject"]):
        if subject in subjects:
            for start in range(0, len(series) - WINDOW + 1, hop):
                x.append(scaled(series[start:start + WINDOW]).T[:, None])
                y.append(label)
    return np.array(x, np.float32), np.array(y, np.int64)


def rotations(rng, n, spread):
    """Random rotation matrices: axis in any direction, angle with standard deviation `spread` (radians) per axis."""
    v = rng.normal(0, spread, (n, 3))
    angle = np.linalg.norm(v, axis=1)[:, None, None]
    k = np.zeros((n, 3, 3))
    k[:, 0, 1], k[:, 0, 2], k[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    k = (k - np.transpose(k, (0, 2, 1))) / np.maximum(angle, 1e-9)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


class Augmenter:
    """Draws training windows that other people, other hands and other straps could have made."""

    def __init__(self, data, subjects):
        self.series = [i for i, s in enumerate(data["subject"]) if s in subjects]
        lengths = np.array([len(data["X"][i]) for i in self.series])
        self.flat = np.concatenate([data["X"][i] for i in self.series])
        self.begin, self.length = np.cumsum(lengths) - lengths, lengths
        self.label = np.array([data["y"][i] for i in self.series], np.int64)

    def draw(self, n, seed):
        rng = np.random.default_rng(seed)
        pick = rng.integers(0, len(self.series), n)  # every class has as many series, so classes come out even
        # Speed of the movement, with a slow change inside the window; the window starts anywhere in the series.
        speed = np.exp(rng.normal(0, 0.2, n)).clip(0.6, 1.6)[:, None]
        drift = rng.normal(0, 0.15, (n, 1)) * np.sin(np.linspace(0, 2 * np.pi, WINDOW)[None] + rng.uniform(0, 6.28, (n, 1)))
        pace = speed * np.exp(drift)
        at = np.cumsum(pace, 1) - pace[:, :1]
        at *= np.minimum(1, (self.length[pick][:, None] - 2) / at[:, -1:])
        at += rng.random((n, 1)) * (self.length[pick][:, None] - 1.001 - at[:, -1:])
        low = at.astype(int)
        fraction = (at - low)[:, :, None]
        low += self.begin[pick][:, None]
        x = self.flat[low] * (1 - fraction) + self.flat[low + 1] * fraction
        force, turn = x[:, :, :3], x[:, :, 3:] * pace[:, :, None]  # a quicker movement turns quicker
        # The other hand is the mirror image: the accelerometer's x axis changes sign and, as rotations are
        # pseudo-vectors, the gyroscope's other two do.
        mirror = np.where(rng.random((n, 1)) < 0.5, -1.0, 1.0)
        force = force * np.stack([mirror, np.ones_like(mirror), np.ones_like(mirror)], 2)
        turn = turn * np.stack([np.ones_like(mirror), mirror, mirror], 2)
        # A watch that sits differently on the wrist turns both sensors alike.
        r = np.transpose(rotations(rng, n, 0.2), (0, 2, 1))
        force, turn = force @ r, turn @ r
        # Larger and smaller movements: gravity stays, what is on top of it is scaled.
        size = np.exp(rng.normal(0, 0.15, (n, 1, 1)))
        mean = force.mean(1, keepdims=True)
        force, turn = mean + (force - mean) * size, turn * size
        x = np.concatenate([force, turn], 2) / UNIT + rng.normal(0, 0.03, (n, WINDOW, 6)) + rng.normal(0, 0.03, (n, 1, 6))
        return np.transpose(x.clip(-LIMIT, LIMIT), (0, 2, 1))[:, :, None].astype(np.float32), self.label[pick]


# ---------------------------------------------------------------------------------------------------------------- steps


def shipped():
    """Writes what ships: calibration.npz and test.npz."""
    data = load()
    x, y = windows(data, CALIBRATION_SUBJECTS, HOP_SHIPPED)
    picked = common.balanced(y, 256, SEED)
    print("calibration.npz", common.save_npz(HERE / "calibration.npz", x[picked], y[picked]))
    print("test.npz", common.save_npz(HERE / "test.npz", *windows(data, TEST_SUBJECTS, HOP_SHIPPED)))


def rest():
    """Writes what does not ship: windows to train on, plain ones to watch the training by, and a denser test set."""
    data = load()
    print("train.npz", common.save_npz(HERE / "train.npz", *Augmenter(data, TRAIN_SUBJECTS).draw(DRAWN, SEED)))
    print("holdout.npz", common.save_npz(HERE / "holdout.npz", *windows(data, TRAIN_SUBJECTS, WINDOW)))
    print("full.npz", common.save_npz(HERE / "full.npz", *windows(data, TEST_SUBJECTS, HOP_FULL)))


if __name__ == "__main__":
    steps = {"data": rest, "shipped": shipped}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    steps[parser.parse_args().step]()
