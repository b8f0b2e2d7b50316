"""ONNX Runtime's static quantizer on a model: QDQ, int8 per channel, by each of its calibration methods.

Usage: ort_quantize.py MODEL.onnx CALIBRATION.npy TEST.npy OUTPUT.npz
Both data files hold float32 samples along the first axis. OUTPUT holds the outputs on the test samples of the float model
(`float`) and of every quantized one (`MinMax`, `Entropy`, `Percentile`); a method that fails is left out, with the reason
on standard error.
"""

import os
import sys
import tempfile

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

path, calibration, test, target = sys.argv[1:]
ort.set_default_logger_severity(3)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    return ort.InferenceSession(path, options)


def outputs(path, samples):
    model = session(path)
    (given,) = model.get_inputs()
    shape = [dim if isinstance(dim, int) else 1 for dim in given.shape]
    return np.stack([model.run(None, {given.name: sample.reshape(shape)})[0] for sample in samples])


class Reader(CalibrationDataReader):
    def __init__(self, name, shape, samples):
        self.feeds = iter([{name: sample.reshape(shape)} for sample in samples])

    def get_next(self):
        return next(self.feeds, None)


samples, tests = np.load(calibration), np.load(test)
(given,) = session(path).get_inputs()
shape = [dim if isinstance(dim, int) else 1 for dim in given.shape]
results = {"float": outputs(path, tests)}
with tempfile.TemporaryDirectory() as folder:
    prepared = os.path.join(folder, "prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    for method in (CalibrationMethod.MinMax, CalibrationMethod.Entropy, CalibrationMethod.Percentile):
        quantized = os.path.join(folder, f"{method.name}.onnx")
        try:
            quantize_static(
                prepared,
                quantized,
                Reader(given.name, shape, samples),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=method,
            )
            results[method.name] = outputs(quantized, tests)
        except Exception as error:  # a method's own failure says nothing of the others
            print(f"{method.name}: {error}", file=sys.stderr)
np.savez(target, **{name: values.astype(np.float32) for name, values in results.items()})
