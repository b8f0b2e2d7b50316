"""Runs a QDQ file with ONNX Runtime, without any optimization, and writes what every layer makes of it.

Usage: qdq.py MODEL.onnx INPUT.npy OUTPUT.npz
INPUT holds float32 samples along the first axis. OUTPUT holds, for every value x of the file, its integers under
`x_quantized`, and under `x_near` a 1 where what was rounded lies within 1e-4 of a half.
"""

import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

path, source, target = sys.argv[1:]
model = onnx.load(path)
constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
rounded = {}
for node in model.graph.node:
    if node.op_type == "QuantizeLinear":
        scale, zero_point = (constants[name] for name in node.input[1:])
        rounded[node.output[0]] = (node.input[0], scale, zero_point)

inputs = [value.name for value in model.graph.input]
wanted = sorted(set(rounded) | {floats for floats, _, _ in rounded.values()} - set(inputs))
have = {value.name for value in model.graph.output}
model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in have)
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession(model.SerializeToString(), options)

samples = np.load(source)
(name,) = inputs
shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
results = {}
for sample in samples:
    values = dict(zip(wanted, session.run(wanted, {name: sample.reshape(shape)})))
    values[name] = sample.reshape(shape)
    for integers, (floats, scale, zero_point) in rounded.items():
        # A quotient of float64: ONNX Runtime's own float32 one has the error that is asked for.
        exact = values[floats].astype(np.float64) / np.float64(scale) + int(zero_point)
        near = np.abs(exact - np.floor(exact) - 0.5) < 1e-4
        results.setdefault(integers, []).append(values[integers])
        key = integers.removesuffix("_quantized") + "_near"
        results.setdefault(key, []).append(near.astype(np.int8))
np.savez(target, **{key: np.stack(parts) for key, parts in results.items()})
