"""Makes the data of the model `digits`: log-mel features of spoken digits.

    python3 models/digits/recipe.py               # train, holdout, calibration and test
    python3 models/digits/recipe.py --from FILE   # out of an archive of the recordings (keys audio, length, label, index)

Needs numpy, and git to fetch the recordings of the Free Spoken Digit Dataset (3,000 recordings, 8 kHz, CC BY-SA 4.0).
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import wave

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import common  # noqa: E402

SEED = 8
REPOSITORY, TAG = "https://github.com/Jakobovski/free-spoken-digit-dataset", "v1.0.10"
RATE, SAMPLES = 8_000, 8_000  # one second
FRAME, HOP, BANDS = 256, 160, 24  # 32 ms every 20 ms: 49 frames
LOW, HIGH = 60.0, 3_900.0  # Hz
FLOOR = 12.0  # nats below the loudest element
CALIBRATION = 256
VARIANTS = 3  # of each training recording, beside itself
# The official split: the first five recordings of each speaker and digit are the test set.
TEST, HOLDOUT = range(0, 5), range(5, 10)


def fetch():
    """Recordings, digits and the recordings' numbers out of the public repository."""
    audio, label, index = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", "--branch", TAG, REPOSITORY, folder], check=True)
        for path in sorted(pathlib.Path(folder, "recordings").glob("*.wav")):
            digit, _, number = path.stem.split("_")
            with wave.open(str(path)) as file:
                audio.append(np.frombuffer(file.readframes(file.getnframes()), np.int16))
            label.append(int(digit))
            index.append(int(number))
    return audio, np.array(label), np.array(index)


def read(path):
    """The same out of an archive."""
    with np.load(path) as archive:
        data = {name: archive[name] for name in ("audio", "length", "label", "index")}
    ends = np.cumsum(data["length"])
    audio = [data["audio"][end - length:end] for end, length in zip(ends, data["length"])]
    return audio, data["label"].astype(int), data["index"].astype(int)


def mel(hertz):
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def filters():
    """Triangles [BANDS, FRAME / 2 + 1], equally wide and equally far apart in mel."""
    bins = mel(np.arange(FRAME // 2 + 1) * RATE / FRAME)
    edges = np.linspace(mel(LOW), mel(HIGH), BANDS + 2)
    rise = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.clip(np.minimum(rise, fall), 0.0, None)


def features(audio):
    """[1, 49, 24] in 0..1: ln of the mel bands' energy above FLOOR nats below the loudest one."""
    x = audio.astype(np.float64) / 32_768
    over = len(x) - SAMPLES
    # The middle second; what is shorter stands in the middle of silence.
    x = x[over // 2:over // 2 + SAMPLES] if over > 0 else np.pad(x, (-over // 2, -over - -over // 2))
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP] * np.hanning(FRAME)
    energy = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ filters().T
    log = np.log(energy + 1e-12)
    return np.clip((log - log.max()) / FLOOR + 1.0, 0.0, 1.0)[None]


def variant(audio, rng):
    """The recording spoken faster or slower (and so higher or lower), earlier or later, with noise."""
    x = audio.astype(np.float64)
    at = np.arange(0, len(x) - 1, rng.uniform(0.85, 1.18))
    x = np.interp(at, np.arange(len(x)), x)
    shift = rng.integers(0, 800)
    x = np.concatenate([np.zeros(shift), x]) if rng.random() < 0.5 else np.concatenate([x, np.zeros(shift)])
    noise = np.sqrt(np.mean(x**2)) * 10 ** (-rng.uniform(15, 45) / 20)
    return x + rng.normal(0, noise, len(x))


def save(name, x, y):
    print(f"{name}.npz: {len(x):,} samples, content {common.save_npz(HERE / f'{name}.npz', x, y)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source")
    source = parser.parse_args().source
    audio, label, index = read(source) if source else fetch()
    x = np.stack([features(recording) for recording in audio])
    test, holdout = np.isin(index, TEST), np.isin(index, HOLDOUT)
    train = ~test & ~holdout
    rng = np.random.default_rng(SEED)
    spoken = [recording for recording, kept in zip(audio, train) if kept]
    varied = np.stack([features(variant(recording, rng)) for _ in range(VARIANTS) for recording in spoken])
    save("train", np.concatenate([x[train], varied]), np.tile(label[train], VARIANTS + 1))
    save("holdout", x[holdout], label[holdout])
    save("test", x[test], label[test])
    picked = np.flatnonzero(train)[common.balanced(label[train], CALIBRATION, SEED)]
    save("calibration", x[picked], label[picked])
