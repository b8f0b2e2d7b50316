"""Makes the data of the model `anomaly`; `cargo xtask distill` makes its networks.

    python3 models/anomaly/recipe.py data   # what distill reads, calibration.npz and test.npz (needs numpy only)
    python3 models/anomaly/recipe.py full   # full.npz, the test subjects at a denser hop (needs numpy only)

The data are the watch data set inside the PyPI package `seglearn` 1.2.5. Where that is not installed, `pip download` gets
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

NORMAL = 6  # upright row

# As in `motion`: the test subjects were fixed by their numbers. Subject 7 watches the training.
TRAIN_SUBJECTS, HOLDOUT_SUBJECTS, TEST_SUBJECTS = (1, 2, 3, 4, 5, 6), (7,), (8, 9, 10)

WINDOW = 256  # samples: 5.12 s at 50 Hz, about two repetitions of an exercise
BINS = 32  # of the spectrum: 0.2 to 6.25 Hz
HOP_TRAIN, HOP_SHIPPED, HOP_FULL = 16, 64, 16
# The same movement done slower and quicker, as other people would; recordings are resampled and turn rates scaled.
SPEEDS = (0.8, 0.9, 1.0, 1.1, 1.25)
CALIBRATION = 512
UNIT = np.array([1, 1, 1, 2.5, 2.5, 2.5])  # g, and rad/s


def spectrum(window):
    """The front end: [WINDOW, 6] in the units of UNIT to 6 x BINS logarithms of amplitudes, in steps of 1/128.

    An amplitude of 1/64 or less becomes about -3, one of 1 about 3; a step is far below one of int8.
    """
    moving = (window - window.mean(0)) * np.hanning(WINDOW)[:, None]
    amplitude = np.abs(np.fft.rfft(moving, axis=0))[1:BINS + 1] * 4 / WINDOW
    return np.round(np.clip(np.log2(amplitude + 1 / 64) + 3, -3, 4).T.ravel() * 128) / 128


def at_speed(series, speed):
    """A recording as it would be if the movement were `speed` times as quick."""
    at = np.arange(0, len(series) - 1, speed)
    low = at.astype(int)
    fraction = (at - low)[:, None]
    return (series[low] * (1 - fraction) + series[low + 1] * fraction) * [1, 1, 1, speed, speed, speed]


def windows(data, subjects, hop, speeds=(1.0,), normal_only=False):
    """All windows of these subjects: x [N, 6 * BINS], and y: 0 where the exercise is the normal one, else 1."""
    x, y = [], []
    for series, label, subject in zip(data["X"], data["y"], data["subject"]):
        if subject not in subjects or normal_only and label != NORMAL:
            continue
        for speed in speeds:
            moved = at_speed(series, speed) / UNIT if speed != 1 else series / UNIT
            for start in range(0, len(moved) - WINDOW + 1, hop):
                x.append(spectrum(moved[start:start + WINDOW]))
                y.append(int(label != NORMAL))
    return np.array(x), np.array(y)


def data_files():
    data = load()
    x, y = windows(data, TRAIN_SUBJECTS, HOP_TRAIN, SPEEDS, normal_only=True)
    sets = {
        "train": (x, y),
        "holdout": windows(data, HOLDOUT_SUBJECTS, HOP_TRAIN, normal_only=True),
        "calibration": tuple(a[np.arange(CALIBRATION) * len(x) // CALIBRATION] for a in (x, y)),
        "test": windows(data, TEST_SUBJECTS, HOP_SHIPPED),
    }
    for name, (x, y) in sets.items():
        print(f"{name}.npz: {len(x)} samples, {y.sum()} anomalous, content {common.save_npz(HERE / f'{name}.npz', x, y)}")


def full():
    x, y = windows(load(), TEST_SUBJECTS, HOP_FULL)
    print(f"full.npz: {len(x)} samples, {y.sum()} anomalous, content {common.save_npz(HERE / 'full.npz', x, y)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["data", "full"])
    step = parser.parse_args().step
    data_files() if step == "data" else full()


if __name__ == "__main__":
    main()
