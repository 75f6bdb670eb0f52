"""Writes a trained net as ONNX, built node by node from its layer list and folded weights."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nets import CLASS_COUNT, PICTURE_SIZE, AddRelu, Conv, Dense, Folded, Layer, MaxPool, Mean

OPSET = 17
# The oldest file format that carries this opset, so that older runtimes read the file too.
IR_VERSION = 8


def export_onnx(layers: list[Layer], folded: dict[str, Folded], path: Path) -> None:
    """Writes `path`: input `image` float32 [N,1,28,28], output `logits` float32 [N,10]."""
    nodes = [node for layer in layers for node in nodes_of(layer)]
    weights = []
    for name, layer in folded.items():
        weights.append(numpy_helper.from_array(np.ascontiguousarray(layer.kernel), f"{name}_kernel"))
        weights.append(numpy_helper.from_array(layer.bias, f"{name}_bias"))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, PICTURE_SIZE, PICTURE_SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASS_COUNT])
    graph = helper.make_graph(nodes, "nearfar", [image], [logits], initializer=weights)
    model = helper.make_model(
        graph, producer_name="nearfar", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def nodes_of(layer: Layer) -> list[onnx.NodeProto]:
    """The ONNX nodes of one layer; the last one's output bears the layer's name."""
    name, source = layer.name, layer.source
    match layer:
        case Conv():
            output = f"{name}_linear" if layer.relu else name
            convolution = helper.make_node(
                "Conv",
                [source, f"{name}_kernel", f"{name}_bias"],
                [output],
                output,
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
                group=layer.inputs if layer.depthwise else 1,
            )
            return [convolution, *([helper.make_node("Relu", [output], [name], name)] if layer.relu else [])]
        case MaxPool():
            return [helper.make_node("MaxPool", [source], [name], name, kernel_shape=[2, 2], strides=[2, 2])]
        case AddRelu():
            total = f"{name}_sum"
            return [
                helper.make_node("Add", [source, layer.shortcut], [total], total),
                helper.make_node("Relu", [total], [name], name),
            ]
        case Mean():
            return [helper.make_node("ReduceMean", [source], [name], name, axes=[2, 3], keepdims=0)]
        case Dense():
            inputs = [source, f"{name}_kernel", f"{name}_bias"]
            return [helper.make_node("Gemm", inputs, [name], name, transB=1)]
