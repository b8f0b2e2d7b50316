"""Runs an ONNX file with ONNX Runtime, without any optimization.

Usage: run.py MODEL.onnx INPUT.npy OUTPUT.npy
INPUT holds float32 samples along the first axis, OUTPUT gets the first output of each.
"""

import sys

import numpy as np
import onnxruntime as ort

path, source, target = sys.argv[1:]
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
# Errors alone: files of tests hold initializers that nobody reads.
options.log_severity_level = 3
session = ort.InferenceSession(path, options)
(given,) = session.get_inputs()
samples = np.load(source)
results = [session.run(None, {given.name: sample.reshape(given.shape)})[0] for sample in samples]
np.save(target, np.stack(results).astype(np.float32))
