"""What the recipes of the models share: data files, and teachers that are described once, trained by Keras and written as ONNX.

Only `numpy` is imported at the top, so that `recipe.py data` needs nothing else; TensorFlow, ONNX and ONNX Runtime are
imported where they are used. Students are trained by `cargo xtask distill`.
"""

import hashlib
import pathlib
import time

import numpy as np

OPSET, IR_VERSION = 17, 8
BN_EPSILON = 1e-3


# ---------------------------------------------------------------------------------------------------------------- files


def sha256_arrays(x, y):
    """The hash of a data set's content, independent of how the .npz compresses it."""
    return hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


def save_npz(path, x, y):
    """`x` as float16 [N, channels, height, width], `y` as int64: half the size, and finer than any int8 input."""
    x, y = np.ascontiguousarray(x, np.float16), np.ascontiguousarray(y, np.int64)
    np.savez_compressed(path, x=x, y=y)
    return sha256_arrays(x, y)


def balanced(y, total, seed):
    """Indices of `total` samples, as many of one class as of another (the first classes get what is left over)."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    share, rest = divmod(total, len(classes))
    picked = [rng.choice(np.flatnonzero(y == c), share + (i < rest), replace=False) for i, c in enumerate(classes)]
    return rng.permutation(np.concatenate(picked))


# -------------------------------------------------------------------------------------------------------------- networks


class Net:
    """A network described once: every call adds Keras layers (NHWC, for training) and notes the same step for ONNX (NCHW).

    Values are pairs (Keras tensor, ONNX value name). Padding is "same": `ceil(size / stride)` outputs.
    """

    def __init__(self, input_name, shape):
        import keras

        self.keras = keras
        channels, height, width = shape
        self.input_name, self.shape = input_name, shape
        self.steps = []  # (operator, node name, input value names, output value name, Keras layer, attributes)
        self.input = (keras.Input((height, width, channels)), input_name)
        self.model = None

    def _step(self, op, name, inputs, layer, output=None, **attributes):
        tensors = [t for t, _ in inputs]
        tensor = layer(tensors[0] if len(tensors) == 1 else tensors)
        output = output or f"{name}:out"
        attributes["in_shape"], attributes["out_shape"] = tuple(tensors[0].shape), tuple(tensor.shape)
        self.steps.append((op, name, [v for _, v in inputs], output, layer, attributes))
        return tensor, output

    def conv(self, x, name, filters, kernel, stride=(1, 1)):
        layer = self.keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False,
                                         kernel_initializer="he_normal")
        return self._step("Conv", name, [x], layer, kernel=kernel, stride=stride)

    def batch_norm(self, x, name):
        layer = self.keras.layers.BatchNormalization(momentum=0.95, epsilon=BN_EPSILON)
        return self._step("BatchNormalization", name, [x], layer)

    def relu(self, x, name):
        return self._step("Relu", name, [x], self.keras.layers.ReLU())

    def add(self, a, b, name):
        return self._step("Add", name, [a, b], self.keras.layers.Add())

    def concat(self, values, name):
        return self._step("Concat", name, values, self.keras.layers.Concatenate())

    def classify(self, x, classes, dropout=0.0):
        """Global average, then one dense layer; the output is `logits`. A list of values has its averages put side by side."""
        if isinstance(x, list):
            averages = [self._step("GlobalAveragePool", f"member{i}/average", [v],
                                   self.keras.layers.GlobalAveragePooling2D(keepdims=True)) for i, v in enumerate(x, 1)]
            x = self.concat(averages, "head/concat")
        else:
            x = self._step("GlobalAveragePool", "head/average", [x],
                           self.keras.layers.GlobalAveragePooling2D(keepdims=True))
        x = self._step("Flatten", "head/flatten", [x], self.keras.layers.Flatten())
        if dropout:
            x = (self.keras.layers.Dropout(dropout)(x[0]), x[1])  # training only, so ONNX has no node for it
        x = self._step("Gemm", "head/dense", [x], self.keras.layers.Dense(classes), output="logits")
        self.model = self.keras.Model(self.input[0], x[0])
        return self

    def residual(self, x, name, filters, kernel, stride=(1, 1)):
        """Two full convolutions with a shortcut (1x1 where the shape changes): the teachers' block."""
        y = self.batch_norm(self.conv(x, f"{name}/conv1", filters, kernel, stride), f"{name}/conv1_bn")
        y = self.relu(y, f"{name}/conv1_act")
        y = self.batch_norm(self.conv(y, f"{name}/conv2", filters, kernel), f"{name}/conv2_bn")
        if max(stride) > 1 or x[0].shape[-1] != filters:
            x = self.batch_norm(self.conv(x, f"{name}/shortcut", filters, (1, 1), stride), f"{name}/shortcut_bn")
        return self.relu(self.add(x, y, f"{name}/add"), f"{name}/act")

    def macs(self):
        """Multiply-accumulates of one inference."""
        sizes = {"Conv": lambda w, a: w[0] * int(np.prod(a["out_shape"][1:3])), "Gemm": lambda w, a: w[0]}
        count = 0
        for op, _, _, _, layer, a in self.steps:
            if op in sizes:
                count += sizes[op]([int(np.prod(w.shape)) for w in layer.weights], a)
        return count

    def logits(self, x, batch=1000):
        """Keras logits for data in the stored layout [N, channels, height, width]."""
        x = np.transpose(np.asarray(x, np.float32), (0, 2, 3, 1))
        return np.concatenate([np.asarray(self.model(x[i:i + batch], training=False)) for i in range(0, len(x), batch)])


def _same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def export_onnx(net, path, graph_name):
    """Writes the trained network with plain operators, static batch 1 and every attribute spelled out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], {}

    def weight(name, value):
        weights[name] = numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        return name

    for op, name, inputs, output, layer, a in net.steps:
        inputs, attributes = list(inputs), {}
        if op == "Conv":
            kernel, stride = a["kernel"], a["stride"]
            pads = [_same_padding(s, k, t) for s, k, t in zip(a["in_shape"][1:3], kernel, stride)]
            w = np.transpose(np.asarray(layer.weights[0]), (3, 2, 0, 1))  # Keras: height, width, in, out
            inputs.append(weight(f"{name}/weight", w))
            attributes = dict(kernel_shape=list(kernel), strides=list(stride), dilations=[1, 1],
                              pads=[p[0] for p in pads] + [p[1] for p in pads], group=1)
        elif op == "BatchNormalization":
            for part, value in zip(("scale", "bias", "mean", "variance"),
                                   (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)):
                inputs.append(weight(f"{name}/{part}", value))
            attributes = dict(epsilon=BN_EPSILON)
        elif op in ("Concat", "Flatten"):
            attributes = dict(axis=1)
        elif op == "Gemm":
            inputs += [weight(f"{name}/weight", np.asarray(layer.kernel).T), weight(f"{name}/bias", layer.bias)]
            attributes = dict(transB=1)
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))

    classes = net.model.output_shape[-1]
    graph = helper.make_graph(
        nodes, graph_name,
        [helper.make_tensor_value_info(net.input_name, TensorProto.FLOAT, [1, *net.shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes])],
        list(weights.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="still8 recipe")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


# -------------------------------------------------------------------------------------------------------------- training


def one_hot(y, classes):
    return np.eye(classes, dtype=np.float32)[y]


def fit(net, epoch_data, epochs, batch, rate, weight_decay, validation=None, seed=0):
    """Trains with AdamW, a short warm-up and a cosine that ends at zero.

    `epoch_data(i)` gives the samples of epoch i: images (stored layout) and the shares of the classes, [N, classes].
    `validation`: images and labels. Weights of the last epoch are kept: with a rate that ends at zero they are as good as the
    best.
    """
    import keras
    import tensorflow as tf

    steps = len(epoch_data(0)[0]) // batch
    total, warm = steps * epochs, steps * max(1, epochs // 20)
    schedule = keras.optimizers.schedules.CosineDecay(rate / 20, total - warm, warmup_target=rate, warmup_steps=warm)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay)
    # Decay pulls convolution and dense kernels only; batch normalization and biases set the activations' range.
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    model, variables = net.model, net.model.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def step(x, shares):
        with tf.GradientTape() as tape:
            z = model(tf.transpose(tf.cast(x, tf.float32), (0, 2, 3, 1)), training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(shares, z))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    rng, started = np.random.default_rng(seed), time.time()
    for epoch in range(epochs):
        x, shares = epoch_data(epoch)
        order, losses = rng.permutation(len(x)), []
        for i in range(steps):
            pick = order[i * batch:(i + 1) * batch]
            losses.append(float(step(tf.constant(x[pick]), tf.constant(shares[pick]))))
        line = f"epoch {epoch + 1}/{epochs}  loss {np.mean(losses):.4f}"
        if validation is not None and (epoch % 5 == 4 or epoch + 1 == epochs):
            right = np.mean(net.logits(validation[0]).argmax(1) == validation[1])
            line += f"  validation {right:.4f}"
        print(f"{line}  {time.time() - started:.0f} s", flush=True)


# --------------------------------------------------------------------------------------------------------------- writing


def write_teacher(net, path, name, x):
    """Writes the network; the file must compute what was trained, to 1e-4 on `x`. What model.toml says of it is printed."""
    import onnxruntime

    export_onnx(net, path, name)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits = np.concatenate([session.run(None, {net.input_name: s[None].astype(np.float32)})[0] for s in x])
    difference = float(np.abs(logits - net.logits(x)).max())
    if difference > 1e-4:
        raise SystemExit(f"{path}: logits differ from the trained network by {difference:.2e}")
    parameters = sum(int(np.prod(w.shape)) for *_, layer, _ in net.steps for w in layer.weights)
    print(f"sha256 = {hashlib.sha256(path.read_bytes()).hexdigest()}\nparameters = {parameters}\nmacs = {net.macs()}")
