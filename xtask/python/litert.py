"""Runs an int8 .tflite on samples with LiteRT's default delegate.

Usage: litert.py MODEL.tflite INPUT.npy OUTPUT.npy
Input and output are int8 arrays, the samples along the first axis.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

model, source, target = sys.argv[1:]
interpreter = Interpreter(model)
interpreter.allocate_tensors()
(given,) = interpreter.get_input_details()
(made,) = interpreter.get_output_details()


def shifted(x, dtype):
    """int8 and uint8 differ by 128 in every integer."""
    return x if dtype == np.int8 else (x.astype(np.int16) + 128).astype(np.uint8)


outputs = []
for sample in np.load(source):
    interpreter.set_tensor(given["index"], shifted(sample, given["dtype"]).reshape(given["shape"]))
    interpreter.invoke()
    y = interpreter.get_tensor(made["index"])[0]
    outputs.append(y if y.dtype == np.int8 else (y.astype(np.int16) - 128).astype(np.int8))
np.save(target, np.array(outputs))
