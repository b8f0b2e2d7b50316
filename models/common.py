"""What the recipes of all models share: describing a network once, training it, writing it as ONNX, and keeping books.

Only `numpy` is imported at the top, so that `recipe.py full` needs nothing else; TensorFlow, ONNX and ONNX Runtime are
imported where they are used.
"""

import hashlib
import pathlib
import time

import numpy as np

OPSET, IR_VERSION = 17, 8
BN_EPSILON = 1e-3


# ---------------------------------------------------------------------------------------------------------------- files


def sha256_file(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


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


def _toml(value):
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)


def write_toml(path, table):
    """Writes model.toml: plain keys, then tables, tables of tables, and lists of tables."""
    lines = []

    def section(header, entries):
        lines.extend(["", header] if header else [])
        tables = {k: v for k, v in entries.items() if isinstance(v, dict)}
        lists = {k: v for k, v in entries.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
        lines.extend(f"{k} = {_toml(v)}" for k, v in entries.items() if k not in tables and k not in lists)
        for key, value in tables.items():
            if any(isinstance(v, dict) for v in value.values()):
                for inner, entry in value.items():
                    section(f"[{key}.{inner}]", entry)
            else:
                section(f"[{key}]", value)
        for key, value in lists.items():
            for entry in value:
                section(f"[[{key}]]", entry)

    section("", table)
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


def network_entry(folder, name, net):
    """The [teacher] or [student] table of model.toml."""
    parameters, macs = net.totals()
    origin = {"teacher": "trained from scratch by recipe.py on the data below",
              "student": "distilled from the teacher by recipe.py"}[name]
    return {"file": f"{name}.onnx", "sha256": sha256_file(folder / f"{name}.onnx"), "parameters": parameters,
            "macs": macs, "licence": "MIT OR Apache-2.0", "origin": origin}


def data_entry(folder, name, samples, split):
    """The table of a data file that is committed."""
    return {"file": f"{name}.npz", "sha256": sha256_file(folder / f"{name}.npz"), "samples": samples, "split": split}


def fill_readme(path, name, text):
    """Replaces what stands between `<!-- name:begin -->` and `<!-- name:end -->`, if the page exists."""
    path = pathlib.Path(path)
    if path.exists():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        head, rest = path.read_text().split(begin, 1)
        path.write_text(head + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1])


def run_steps(first, work, steps):
    """Runs `steps` from the one called `first`; trained weights pass from step to step through the folder `work`."""
    import tempfile

    work = pathlib.Path(work or tempfile.mkdtemp(prefix="still8-recipe-"))
    work.mkdir(parents=True, exist_ok=True)
    print("trained weights:", work)
    names = [name for name, _ in steps]
    for _, step in steps[names.index(first):]:
        step(work)


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

    def depthwise(self, x, name, kernel, stride=(1, 1)):
        # Keras wants equal strides for depthwise layers; a stride along one axis of a height-1 map is the same in both.
        layer = self.keras.layers.DepthwiseConv2D(kernel, max(stride), "same", use_bias=False,
                                                  depthwise_initializer="he_normal")
        return self._step("Depthwise", name, [x], layer, kernel=kernel, stride=stride)

    def batch_norm(self, x, name):
        layer = self.keras.layers.BatchNormalization(momentum=0.95, epsilon=BN_EPSILON)
        return self._step("BatchNormalization", name, [x], layer)

    def relu(self, x, name):
        return self._step("Relu", name, [x], self.keras.layers.ReLU())

    def relu6(self, x, name):
        return self._step("Clip", name, [x], self.keras.layers.ReLU(max_value=6.0))

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

    def separable(self, x, name, filters, kernel, stride=(1, 1), act=None, residual=False):
        """Depthwise convolution, then 1x1 convolution, each with batch normalization and activation.

        With `residual` the block's input is added behind the 1x1 convolution, in front of its activation.
        """
        act = act or self.relu
        y = self.depthwise(x, f"{name}/depthwise", kernel, stride)
        y = act(self.batch_norm(y, f"{name}/depthwise_bn"), f"{name}/depthwise_act")
        y = self.batch_norm(self.conv(y, f"{name}/pointwise", filters, (1, 1)), f"{name}/pointwise_bn")
        if residual:
            y = self.add(x, y, f"{name}/add")
        return act(y, f"{name}/pointwise_act")

    def residual(self, x, name, filters, kernel, stride=(1, 1)):
        """Two full convolutions with a shortcut (1x1 where the shape changes): the teachers' block."""
        y = self.batch_norm(self.conv(x, f"{name}/conv1", filters, kernel, stride), f"{name}/conv1_bn")
        y = self.relu(y, f"{name}/conv1_act")
        y = self.batch_norm(self.conv(y, f"{name}/conv2", filters, kernel), f"{name}/conv2_bn")
        if max(stride) > 1 or x[0].shape[-1] != filters:
            x = self.batch_norm(self.conv(x, f"{name}/shortcut", filters, (1, 1), stride), f"{name}/shortcut_bn")
        return self.relu(self.add(x, y, f"{name}/add"), f"{name}/act")

    def cost(self):
        """Per step: (node name, parameters, multiply-accumulates of one inference).

        Parameters are the elements of the stored weights, the four vectors of each batch normalization included; the
        normalizations count no multiply-accumulates, for they are folded into the convolution in front.
        """
        table = []
        for op, name, _, _, layer, a in self.steps:
            params, macs = sum(int(np.prod(w.shape)) for w in layer.weights), 0
            if op in ("Conv", "Depthwise"):
                macs = params * int(np.prod(a["out_shape"][1:3]))
            elif op == "Gemm":
                macs = int(np.prod(layer.kernel.shape))
            table.append((name, params, macs))
        return table

    def totals(self):
        return sum(p for _, p, _ in self.cost()), sum(m for _, _, m in self.cost())

    def logits(self, x, batch=1000):
        """Keras logits for data in the stored layout [N, channels, height, width]."""
        x = np.transpose(np.asarray(x, np.float32), (0, 2, 3, 1))
        return np.concatenate([np.asarray(self.model(x[i:i + batch], training=False)) for i in range(0, len(x), batch)])


def cost_table(net):
    """The cost per layer group (the part of the node name before the slash) as a Markdown table."""
    groups, shapes = {}, {}
    for (name, params, macs), step in zip(net.cost(), net.steps):
        group = name.split("/")[0]
        p, m = groups.get(group, (0, 0))
        groups[group] = (p + params, m + macs)
        shapes[group] = "x".join(str(s) for s in (step[5]["out_shape"][-1:] + step[5]["out_shape"][1:-1]))
    rows = [f"| {g} | {shapes[g]} | {p:,} | {m:,} |" for g, (p, m) in groups.items()]
    p, m = net.totals()
    return "\n".join(["| group | output | parameters | MACs |", "| --- | --- | ---: | ---: |"] + rows
                     + [f"| **total** | | **{p:,}** | **{m:,}** |"])


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
        inputs, attributes, kind = list(inputs), {}, op
        if op in ("Conv", "Depthwise"):
            kernel, stride = a["kernel"], a["stride"]
            pads = [_same_padding(s, k, t) for s, k, t in zip(a["in_shape"][1:3], kernel, stride)]
            w = np.asarray(layer.weights[0])  # Keras: height, width, in, out (depthwise: height, width, channels, 1)
            w = np.transpose(w, (2, 3, 0, 1) if op == "Depthwise" else (3, 2, 0, 1))
            inputs.append(weight(f"{name}/weight", w))
            kind = "Conv"
            attributes = dict(kernel_shape=list(kernel), strides=list(stride), dilations=[1, 1],
                              pads=[p[0] for p in pads] + [p[1] for p in pads],
                              group=w.shape[0] if op == "Depthwise" else 1)
        elif op == "BatchNormalization":
            for part, value in zip(("scale", "bias", "mean", "variance"),
                                   (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)):
                inputs.append(weight(f"{name}/{part}", value))
            attributes = dict(epsilon=BN_EPSILON)
        elif op == "Clip":
            inputs += [weight("relu6/min", 0.0), weight("relu6/max", 6.0)]
        elif op in ("Concat", "Flatten"):
            attributes = dict(axis=1)
        elif op == "Gemm":
            inputs += [weight(f"{name}/weight", np.asarray(layer.kernel).T), weight(f"{name}/bias", layer.bias)]
            attributes = dict(transB=1)
        nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))

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


def fit(net, epoch_data, epochs, batch, rate, weight_decay, temperature=0.0, alpha=0.0, validation=None, seed=0):
    """Trains with AdamW, a short warm-up and a cosine that ends at zero.

    `epoch_data(i)` gives the samples of epoch i: images (stored layout), labels and, for distillation, the teacher's
    logits for exactly these (augmented) samples. The loss is
    `alpha * T^2 * cross-entropy(teacher / T, student / T) + (1 - alpha) * cross-entropy(labels)`.
    Weights of the last epoch are kept: with a rate that ends at zero they are as good as the best.
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
    def step(x, y, soft):
        with tf.GradientTape() as tape:
            z = model(tf.transpose(tf.cast(x, tf.float32), (0, 2, 3, 1)), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))
            if alpha > 0.0:
                p = tf.nn.softmax(soft / temperature)
                cross = tf.nn.softmax_cross_entropy_with_logits(p, z / temperature)
                loss = (1.0 - alpha) * loss + alpha * temperature**2 * tf.reduce_mean(cross)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    rng, started = np.random.default_rng(seed), time.time()
    for epoch in range(epochs):
        x, y, soft = epoch_data(epoch)
        soft = np.zeros((len(x), 1), np.float32) if soft is None else soft
        order, losses = rng.permutation(len(x)), []
        for i in range(steps):
            pick = order[i * batch:(i + 1) * batch]
            losses.append(float(step(tf.constant(x[pick]), tf.constant(y[pick]), tf.constant(soft[pick]))))
        line = f"epoch {epoch + 1}/{epochs}  loss {np.mean(losses):.4f}"
        if validation is not None and (epoch % 5 == 4 or epoch + 1 == epochs):
            line += f"  validation {accuracy(net.logits(validation[0]), validation[1]):.4f}"
        print(f"{line}  {time.time() - started:.0f} s", flush=True)


# ------------------------------------------------------------------------------------------------------------- measuring


def accuracy(logits, y):
    return float(np.mean(np.argmax(logits, 1) == y))


def macro_f1(logits, y):
    p, scores = np.argmax(logits, 1), []
    for c in np.unique(y):
        hit = np.sum((p == c) & (y == c))
        scores.append(2 * hit / max(np.sum(p == c) + np.sum(y == c), 1))
    return float(np.mean(scores))


def run_onnx(path, x):
    """Logits by ONNX Runtime, one sample at a time, as the graph's static batch asks for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: s[None].astype(np.float32)})[0] for s in x])


def check_export(net, path, x):
    """The file must compute what was trained: largest difference of any logit below 1e-4."""
    difference = float(np.abs(run_onnx(path, x) - net.logits(x)).max())
    if difference > 1e-4:
        raise SystemExit(f"{path}: logits differ from the trained network by {difference:.2e}")
    print(f"{path}: logits equal the trained network within {difference:.1e}")


def run_int8(path, calibration, x):
    """Logits of a plain post-training int8 version (ONNX Runtime: QDQ, weights per channel, minimum and maximum).

    It only tells whether a network takes to int8; the int8 version that ships is made by still8's own compiler.
    """
    import tempfile

    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self, name):
            self.samples = iter([{name: s[None].astype(np.float32)} for s in calibration])

        def get_next(self):
            return next(self.samples, None)

    import onnx

    with tempfile.TemporaryDirectory() as folder:
        prepared, int8 = f"{folder}/prepared.onnx", f"{folder}/int8.onnx"
        quant_pre_process(str(path), prepared, skip_symbolic_shape=True)  # shapes are static
        name = onnx.load(prepared).graph.input[0].name
        q.quantize_static(prepared, int8, Reader(name), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QInt8, weight_type=q.QuantType.QInt8)
        return run_onnx(int8, x)


def measure(folder, x, y, calibration, shipped):
    """Both networks and a plain int8 version of the student by ONNX Runtime: logits by name for the full test set `x`, `y`.

    Prints accuracy (on the full set and on the shipped data `shipped`), macro-F1, and how often int8 and float choose the
    same class.
    """
    x, calibration = x.astype(np.float16), calibration.astype(np.float16)  # exactly what the data files hold
    logits = {}
    for name in ("teacher", "student", "int8"):
        for part, (px, py) in {"full": (x, y), "shipped": (shipped[0].astype(np.float16), shipped[1])}.items():
            if name == "int8":
                z = run_int8(folder / "student.onnx", calibration, px)
            else:
                z = run_onnx(folder / f"{name}.onnx", px)
            logits[name, part] = z
            same = np.mean(z.argmax(1) == logits["student", part].argmax(1)) if name == "int8" else 1.0
            print(f"{name}, {part} ({len(py)}): accuracy {accuracy(z, py):.4f}, macro-F1 {macro_f1(z, py):.4f}"
                  + (f", same class as the float student {same:.4f}" if name == "int8" else ""), flush=True)
    return logits


def score_table(logits, y, y_shipped):
    """Accuracy and macro-F1 of teacher and float student as a Markdown table."""
    rows = []
    for name in ("teacher", "student"):
        scores = [f"{accuracy(logits[name, p], labels):.2%} | {macro_f1(logits[name, p], labels):.4f}"
                  for p, labels in (("full", y), ("shipped", y_shipped))]
        rows.append(f"| {name} | " + " | ".join(scores) + " |")
    return "\n".join([f"| float network | accuracy, full ({len(y):,}) | macro-F1 | accuracy, shipped ({len(y_shipped):,}) "
                      "| macro-F1 |", "| --- | ---: | ---: | ---: | ---: |"] + rows)
