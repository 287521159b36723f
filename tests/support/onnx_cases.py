"""Small ONNX models, one or more for every operator that infer_onnx knows: each takes x [1, 8, 12, 16]."""
import numpy
from onnx import TensorProto, helper, numpy_helper

random = numpy.random.default_rng(7)
SHAPE = (1, 8, 12, 16)


def weights(*shape):
    return random.uniform(-0.5, 0.5, shape).astype("f4")


def ints(*values):
    return numpy.array(values, "i8")


class Case:
    """A model under construction: node() adds an operator and gives its output's name."""

    def __init__(self, name, opset=17):
        self.name, self.opset, self.nodes, self.stored = name, opset, [], []

    def keep(self, array):
        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [i if isinstance(i, str) else self.keep(i) for i in inputs]
        made = [f"v{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, names, made, name=f"n{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def model(self, output, shape=SHAPE, kind=TensorProto.FLOAT):
        graph = helper.make_graph(self.nodes, self.name, [helper.make_tensor_value_info("x", kind, ["n", shape[1], "h", "w"])],
                                  [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


cases = []


def case(name, opset=17):
    """Registers build(c), which gives the output's name."""
    def register(build):
        cases.append((name, opset, build))
        return build
    return register


def simple(op, *inputs, opset=17, tag="", before=None, **attributes):
    def build(c):
        x = before(c) if before else "x"
        return c.node(op, x, *inputs, **attributes)
    cases.append((f"{op}{tag}", opset, build))


def positive(c):
    return c.node("Add", c.node("Abs", "x"), numpy.array(0.1, "f4"))


for op in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Neg", "Relu", "Sigmoid", "Sin", "Softplus", "Tanh", "Identity"):
    simple(op)
for op in ("Log", "Reciprocal", "Sqrt"):
    simple(op, before=positive)
simple("Elu", alpha=0.7)
simple("LeakyRelu", alpha=0.1)
simple("HardSigmoid", alpha=0.3, beta=0.4)
simple("Clip", numpy.array(-0.5, "f4"), numpy.array(0.7, "f4"))
simple("Clip", "", numpy.array(0.7, "f4"), tag=" above")
simple("Clip", opset=9, tag=" attributes", min=-0.2, max=0.3)
for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
    simple(op, weights(8, 1, 1) + 1)
simple("Pow", numpy.array(2, "f4"))
simple("Pow", weights(16) + 2, tag=" any", before=positive)
simple("PRelu", weights(8, 1, 1))
simple("Sum", weights(1, 1, 12, 1), weights(16))


@case("broadcasting both ways")
def _(c):
    mean = c.node("ReduceMean", "x", axes=[2, 3], keepdims=1)
    row = c.node("ReduceMean", "x", axes=[1, 2], keepdims=1)
    return c.node("Mul", c.node("Sub", mean, "x"), row)


@case("left scalar")
def _(c):
    return c.node("Div", numpy.array(1, "f4"), positive(c))


simple("Conv", weights(5, 8, 3, 3), weights(5), pads=[1, 1, 1, 1])
simple("Conv", weights(6, 4, 3, 3), tag=" groups stride", group=2, strides=[2, 2], pads=[0, 1, 1, 0])
simple("Conv", weights(8, 1, 5, 3), weights(8), tag=" depthwise", group=8, pads=[2, 1, 2, 1])
simple("Conv", weights(4, 8, 3, 3), weights(4), tag=" dilated", dilations=[2, 3], pads=[2, 3, 2, 3])
simple("Conv", weights(4, 8, 4, 3), tag=" same upper", auto_pad="SAME_UPPER", strides=[2, 3])
simple("Conv", weights(4, 8, 4, 3), tag=" same lower", auto_pad="SAME_LOWER")
simple("Conv", weights(4, 8, 1, 1), tag=" 1x1 stride", strides=[5, 5])
simple("ConvTranspose", weights(8, 5, 3, 3), weights(5), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
simple("ConvTranspose", weights(8, 3, 4, 4), tag=" groups", group=2, strides=[2, 2], pads=[1, 1, 1, 1])
simple("ConvTranspose", weights(8, 3, 3, 2), tag=" plain", dilations=[2, 1])
simple("ConvTranspose", weights(8, 3, 3, 3), tag=" same", strides=[2, 2], auto_pad="SAME_UPPER")


@case("Conv 1-D")
def _(c):
    rows = c.node("Reshape", "x", ints(1, 8, -1))
    rows = c.node("Conv", rows, weights(6, 8, 5), weights(6), pads=[2, 1], strides=[3])
    return c.node("MaxPool", rows, kernel_shape=[3], strides=[2])


@case("Conv of constants")
def _(c):
    return c.node("Add", "x", c.node("Conv", weights(1, 2, 14, 18), weights(8, 2, 3, 3)))


@case("Gemm")
def _(c):
    flat = c.node("Flatten", "x")
    code = c.node("Gemm", flat, weights(1536, 20), weights(20), alpha=0.5, beta=2.0)
    return c.node("Gemm", code, weights(192, 20), transB=1)


@case("Gemm transposed")
def _(c):
    rows = c.node("Reshape", "x", ints(32, 48))
    return c.node("Gemm", rows, weights(32, 9), weights(48, 1), transA=1)


@case("MatMul attention")
def _(c):
    heads = c.node("Reshape", "x", ints(1, 2, 4, 192))
    keys = c.node("Transpose", heads, perm=[0, 1, 3, 2])
    return c.node("MatMul", c.node("Softmax", c.node("MatMul", heads, keys), axis=-1), heads)


@case("MatMul broadcast")
def _(c):
    return c.node("MatMul", "x", weights(8, 16, 3))


simple("MatMul", weights(16, 7), tag=" one matrix")
norm = [weights(8), weights(8)]
simple("BatchNormalization", *norm, weights(8), numpy.abs(weights(8)) + 0.5, epsilon=1e-4)
simple("InstanceNormalization", *norm)
simple("LayerNormalization", weights(12, 16), weights(12, 16), axis=2)
simple("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
simple("MaxPool", tag=" ceil", kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1)
simple("MaxPool", tag=" dilated", kernel_shape=[2, 3], dilations=[3, 2])
simple("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
simple("AveragePool", tag=" padding counts", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
simple("AveragePool", tag=" same", kernel_shape=[3, 4], strides=[2, 2], auto_pad="SAME_UPPER")
simple("GlobalAveragePool")
simple("GlobalMaxPool")
for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"):
    simple(op, axes=[1, -1])
simple("ReduceMean", tag=" all", keepdims=0)
simple("ReduceMean", ints(1), opset=18, tag=" 18", keepdims=0)
simple("ReduceSum", ints(2, 3))
simple("Softmax", axis=1)
simple("Softmax", opset=11, tag=" 11", axis=2)
simple("Concat", "x", weights(1, 3, 12, 16), axis=1)
simple("Concat", "x", tag=" rows", axis=-2)
simple("Transpose", perm=[0, 2, 3, 1])
simple("Transpose", tag=" reversed")
simple("Slice", ints(1, -3), ints(2**62, -20), ints(1, 3), ints(2, -2))
simple("Slice", opset=9, tag=" 9", starts=[2, 0], ends=[-1, 5], axes=[2, 3])
simple("Expand", ints(3, 1, 8, 12, 16))
simple("Tile", ints(1, 2, 1, 2))
simple("Gather", ints(3, -1, 0), axis=1)
simple("Gather", numpy.array(2, "i8"), tag=" one", axis=3)
simple("Pad", ints(0, 0, 1, 2, 0, 1, 3, 0), numpy.array(0.5, "f4"))
simple("Pad", ints(0, 0, 3, 2, 0, 0, 1, 4), tag=" reflect", mode="reflect")
simple("Pad", ints(0, 0, 3, 2, 0, 0, 1, 4), tag=" edge", mode="edge")
simple("Pad", opset=9, tag=" 9", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0)
simple("DepthToSpace", blocksize=2, mode="DCR")
simple("DepthToSpace", tag=" CRD", blocksize=2, mode="CRD")
simple("SpaceToDepth", blocksize=4)
simple("Flatten", axis=2)
simple("Squeeze", ints(0))
simple("Unsqueeze", ints(0, 3))
simple("Dropout")
simple("Cast", to=TensorProto.FLOAT)


@case("Split")
def _(c):
    a, b = c.node("Split", "x", ints(3, 5), axis=1, outputs=2)
    return c.node("Concat", b, a, axis=1)


@case("Split 11", 11)
def _(c):
    parts = c.node("Split", "x", axis=3, outputs=4)
    return c.node("Sub", parts[2], parts[1])


for mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
    simple("Resize", "", numpy.array([1, 1, 2, 1.5], "f4"), tag=f" linear {mode}", mode="linear", coordinate_transformation_mode=mode)
    simple("Resize", "", "", ints(1, 8, 5, 33), tag=f" sizes {mode}", mode="linear", coordinate_transformation_mode=mode)
simple("Resize", "", numpy.array([1, 1, 2, 3], "f4"), tag=" nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
simple("Resize", "", numpy.array([1, 1, 0.5, 0.25], "f4"), tag=" nearest down", nearest_mode="round_prefer_ceil")
simple("Resize", "", numpy.array([2, 2], "f4"), opset=18, tag=" axes", axes=[2, 3], coordinate_transformation_mode="half_pixel")
simple("Resize", numpy.array([1, 1, 2, 2], "f4"), opset=10, tag=" 10", mode="nearest")
simple("Upsample", numpy.array([1, 1, 2, 2], "f4"), opset=9, mode="nearest")
simple("Upsample", opset=7, tag=" 7 linear", mode="linear", scales=[1.0, 1.0, 2.0, 2.0])


@case("shape arithmetic")
def _(c):
    """What exporters write for x.view(n, c // 2, 2, -1).mean(2).expand(...) and a resize to another tensor's size."""
    shape = c.node("Shape", "x")
    n, ch = (c.node("Gather", shape, numpy.array(i, "i8"), axis=0) for i in (0, 1))
    half = c.node("Div", ch, numpy.array(2, "i8"))
    parts = [c.node("Unsqueeze", v, ints(0)) for v in (n, half)]
    view = c.node("Concat", *parts, ints(2), ints(-1), axis=0)
    mean = c.node("ReduceMean", c.node("Reshape", "x", view), axes=[2], keepdims=0)
    size = c.node("Slice", shape, ints(2), ints(4), ints(0))
    twice = c.node("Cast", c.node("Mul", c.node("Cast", size, to=TensorProto.FLOAT), numpy.array(2, "f4")), to=TensorProto.INT64)
    scales = c.node("Cast", c.node("Div", twice, size), to=TensorProto.FLOAT)
    big = c.node("Resize", "x", "", c.node("Concat", numpy.ones(2, "f4"), scales, axis=0), mode="nearest")
    ones = c.node("ConstantOfShape", c.node("Concat", ints(3), size, axis=0), value=helper.make_tensor("", TensorProto.FLOAT, [1], [0.5]))
    steps = c.node("Range", numpy.array(0, "i8"), numpy.array(24, "i8"), numpy.array(8, "i8"))
    ramp = c.node("Cast", c.node("Reshape", steps, ints(3, 1, 1)), to=TensorProto.FLOAT)
    chosen = c.node("Where", c.node("Equal", ints(-1, 2), ints(-1, -1)), ints(8, 8), ints(3, 2))
    bias = c.node("ReduceSum", c.node("Cast", chosen, to=TensorProto.FLOAT), ints(0))
    flat = [c.node("Reshape", v, ints(-1)) for v in (mean, big, c.node("Mul", ones, ramp), bias)]
    return c.node("Concat", *flat, axis=0)


@case("constants in nodes", 13)
def _(c):
    a = c.node("Constant", value=numpy_helper.from_array(weights(8, 1, 1).astype("f2").astype("f4")))
    b = c.node("Constant", value_float=0.25)
    d = c.node("Constant", value_floats=[float(i) for i in range(16)])
    axes = c.node("Constant", value_ints=[1])
    half = c.node("Cast", weights(12, 1).astype("f2"), to=TensorProto.FLOAT)
    y = c.node("Add", c.node("Mul", "x", a), c.node("Mul", b, d))
    return c.node("ReduceSum", c.node("Mul", y, half), axes, keepdims=0)


@case("matte net")
def _(c):
    """A small U-net with the usual parts."""
    def block(x, out, into, stride=1):
        x = c.node("Conv", x, weights(out, into, 3, 3), weights(out), pads=[1, 1, 1, 1], strides=[stride, stride])
        x = c.node("BatchNormalization", x, weights(out) + 1, weights(out), weights(out), numpy.abs(weights(out)) + 0.5)
        return c.node("Relu", x)
    a = block("x", 12, 8)
    b = block(c.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 20, 12)
    gate = c.node("HardSigmoid", c.node("Conv", c.node("GlobalAveragePool", b), weights(20, 20, 1, 1)))
    b = c.node("Mul", b, gate)
    up = c.node("Resize", b, "", numpy.array([1, 1, 2, 2], "f4"), mode="linear", coordinate_transformation_mode="half_pixel")
    y = block(c.node("Concat", up, a, axis=1), 6, 32)
    return c.node("Sigmoid", c.node("Conv", y, weights(1, 6, 1, 1)))


def image_model(name, opset, build, count=None):
    """The model with its output as planes of 12 x 16: [1, count, 12, 16], filled up with zeros; or, without count, as it is."""
    c = Case(name, opset)
    y = build(c)
    if count is None:
        return c.model(y), y
    values, planes = count, -(-count // 192)
    flat = c.node("Reshape", y, ints(1, 1, 1, -1))
    more = planes * 192 - values
    if more:
        flat = c.node("Concat", flat, numpy.zeros((1, 1, 1, more), "f4"), axis=3)
    y = c.node("Reshape", flat, ints(1, planes, 12, 16))
    return c.model(y), y
