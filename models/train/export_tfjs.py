"""Writes a trained net as a TensorFlow.js graph model: `model.json` and one shard, `weights.bin`.

The graph takes the same [N,1,28,28] as the ONNX file. With one channel NCHW and NHWC have the same
bytes, so a reshape is all it takes to get to the layout that every tfjs backend runs.
"""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nets import CLASS_COUNT, PICTURE_SIZE, AddRelu, Conv, Dense, Folded, Layer, MaxPool, Mean

DTYPES = {np.dtype(np.float32): ("float32", "DT_FLOAT"), np.dtype(np.int32): ("int32", "DT_INT32")}
FLOAT = {"T": {"type": "DT_FLOAT"}}


@dataclass
class Graph:
    """A GraphDef in the making, with the constants it names."""

    nodes: list[dict] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, name: str, operation: str, inputs: list[str], attributes: dict) -> None:
        """Adds a node."""
        self.nodes.append({"name": name, "op": operation, "input": inputs, "attr": attributes})

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds a constant, whose bytes go to the shard; returns its name."""
        dtype = DTYPES[value.dtype][1]
        tensor = {"dtype": dtype, "tensorShape": dimensions(value.shape)}
        self.constants[name] = np.ascontiguousarray(value)
        self.add(name, "Const", [], {"dtype": {"type": dtype}, "value": {"tensor": tensor}})
        return name


def export_tfjs(layers: list[Layer], folded: dict[str, Folded], folder: Path) -> None:
    """Writes `folder`/model.json and `folder`/weights.bin."""
    graph = Graph()
    picture = [-1, 1, PICTURE_SIZE, PICTURE_SIZE]
    graph.add("image", "Placeholder", [], {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": dimensions(picture)}})
    shape = graph.constant("image_nhwc_shape", np.array([-1, PICTURE_SIZE, PICTURE_SIZE, 1], np.int32))
    graph.add("image_nhwc", "Reshape", ["image", shape], {**FLOAT, "Tshape": {"type": "DT_INT32"}})
    for layer in layers:
        add_layer(graph, layer, folded)

    folder.mkdir(parents=True, exist_ok=True)
    model = {
        "format": "graph-model",
        "generatedBy": "nearfar models/train",
        "convertedBy": None,
        "signature": {
            "inputs": {"image": signature("image", picture)},
            "outputs": {"logits": signature("logits", [-1, CLASS_COUNT])},
        },
        "modelTopology": {"node": graph.nodes, "library": {}, "versions": {"producer": 1}},
        "weightsManifest": [
            {
                "paths": ["weights.bin"],
                "weights": [
                    {"name": name, "shape": list(value.shape), "dtype": DTYPES[value.dtype][0]}
                    for name, value in graph.constants.items()
                ],
            }
        ],
    }
    (folder / "model.json").write_text(json.dumps(model, separators=(",", ":")) + "\n")
    (folder / "weights.bin").write_bytes(b"".join(value.tobytes() for value in graph.constants.values()))


def add_layer(graph: Graph, layer: Layer, folded: dict[str, Folded]) -> None:
    """Adds the nodes of one layer; the last one bears the layer's name."""
    name = layer.name
    source = "image_nhwc" if layer.source == "image" else layer.source
    match layer:
        case Conv():
            add_convolution(graph, layer, source, folded[name])
        case MaxPool():
            window = integers([1, 2, 2, 1])
            graph.add(name, "MaxPool", [source], {**FLOAT, **LAYOUT, "ksize": window, "strides": window})
        case AddRelu():
            graph.add(f"{name}_sum", "AddV2", [source, layer.shortcut], FLOAT)
            graph.add(name, "Relu", [f"{name}_sum"], FLOAT)
        case Mean():
            axes = graph.constant(f"{name}_axes", np.array([1, 2], np.int32))
            graph.add(name, "Mean", [source, axes], {**FLOAT, "keep_dims": {"b": False}, "Tidx": {"type": "DT_INT32"}})
        case Dense():
            kernel = graph.constant(f"{name}_kernel", folded[name].kernel.T)
            bias = graph.constant(f"{name}_bias", folded[name].bias)
            product = f"{name}_product"
            plain = {"transpose_a": {"b": False}, "transpose_b": {"b": False}}
            graph.add(product, "MatMul", [source, kernel], {**FLOAT, **plain})
            graph.add(name, "BiasAdd", [product, bias], {**FLOAT, "data_format": text("NHWC")})


def add_convolution(graph: Graph, layer: Conv, source: str, folded: Folded) -> None:
    """Adds convolution, bias and ReLU as one fused node: one kernel to start on a GPU in place of three."""
    # ONNX keeps [output,input,height,width], and for depthwise [channel,1,height,width];
    # TensorFlow wants [height,width,input,output], and for depthwise [height,width,channel,1].
    axes = (2, 3, 0, 1) if layer.depthwise else (2, 3, 1, 0)
    kernel = graph.constant(f"{layer.name}_kernel", folded.kernel.transpose(axes))
    bias = graph.constant(f"{layer.name}_bias", folded.bias)
    fused = ["BiasAdd", "Relu"] if layer.relu else ["BiasAdd"]
    graph.add(
        layer.name,
        "FusedDepthwiseConv2dNative" if layer.depthwise else "_FusedConv2D",
        [source, kernel, bias],
        {
            **FLOAT,
            **LAYOUT,
            "strides": integers([1, layer.stride, layer.stride, 1]),
            "dilations": integers([1, 1, 1, 1]),
            "num_args": {"i": "1"},
            "fused_ops": {"list": {"s": [text(operation)["s"] for operation in fused]}},
        },
    )


def signature(name: str, shape: list[int]) -> dict:
    """One entry of the model's signature."""
    return {"name": f"{name}:0", "dtype": "DT_FLOAT", "tensorShape": dimensions(shape)}


def dimensions(shape: tuple[int, ...] | list[int]) -> dict:
    """A shape as GraphDef JSON writes it."""
    return {"dim": [{"size": str(size)} for size in shape]}


def integers(values: list[int]) -> dict:
    """A list attribute."""
    return {"list": {"i": [str(value) for value in values]}}


def text(value: str) -> dict:
    """A string attribute; GraphDef JSON keeps strings in base64."""
    return {"s": base64.b64encode(value.encode()).decode()}


LAYOUT = {"data_format": text("NHWC"), "padding": text("SAME")}
