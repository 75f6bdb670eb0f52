"""The three networks, each as a plain list of layers.

One description gives everything: the torch module that is trained (`Net`), the folded weights
(`fold`), the ONNX graph (export_onnx.py), the tfjs graph (export_tfjs.py) and the cost figures.

Every layer keeps to shapes where symmetric padding (torch, ONNX) and TensorFlow's SAME padding mean
the same thing: odd kernels with stride 1, 2x2 kernels with stride 2 on even sizes, and 3x3 kernels
with stride 2 on odd sizes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

CLASS_COUNT = 10
PICTURE_SIZE = 28


@dataclass(frozen=True)
class Conv:
    """A convolution with batch normalisation (folded away on export) and, where `relu`, a ReLU after it."""

    name: str
    source: str
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False
    relu: bool = True

    @property
    def padding(self) -> int:
        """Zeros added on each side of the picture."""
        return (self.kernel - 1) // 2


@dataclass(frozen=True)
class MaxPool:
    """A 2x2 maximum with stride 2, on an even size."""

    name: str
    source: str


@dataclass(frozen=True)
class AddRelu:
    """The end of a residual block: the sum of two layers, then ReLU."""

    name: str
    source: str
    shortcut: str


@dataclass(frozen=True)
class Mean:
    """The mean over both picture axes: [N,C,H,W] to [N,C]."""

    name: str
    source: str


@dataclass(frozen=True)
class Dense:
    """The classifier: [N,inputs] to [N,outputs]."""

    name: str
    source: str
    inputs: int
    outputs: int


Layer = Conv | MaxPool | AddRelu | Mean | Dense


def block(name: str, source: str, channels: int) -> list[Layer]:
    """A residual block of two 3x3 convolutions; its result is the layer called `name`."""
    return [
        Conv(f"{name}_first", source, channels, channels),
        Conv(f"{name}_second", f"{name}_first", channels, channels, relu=False),
        AddRelu(name, f"{name}_second", source),
    ]


def tiny() -> list[Layer]:
    """About 13 thousand parameters and 1.2 million multiply-adds."""
    return [
        Conv("stem", "image", 1, 16),
        MaxPool("stem_half", "stem"),
        Conv("middle", "stem_half", 16, 24),
        MaxPool("middle_half", "middle"),
        Conv("late", "middle_half", 24, 32),
        Conv("late_spatial", "late", 32, 32, depthwise=True),
        Conv("late_wide", "late_spatial", 32, 48, kernel=1),
        Mean("pooled", "late_wide"),
        Dense("logits", "pooled", 48, CLASS_COUNT),
    ]


def small() -> list[Layer]:
    """About 240 thousand parameters and 19 million multiply-adds."""
    return [
        Conv("stem", "image", 1, 16),
        MaxPool("stem_half", "stem"),
        Conv("middle", "stem_half", 16, 48),
        *block("middle_block", "middle", 48),
        Conv("late", "middle_block", 48, 96, kernel=2, stride=2),
        *block("late_block", "late", 96),
        Mean("pooled", "late_block"),
        Dense("logits", "pooled", 96, CLASS_COUNT),
    ]


def large() -> list[Layer]:
    """About 2.2 million parameters and 78 million multiply-adds."""
    return [
        Conv("stem", "image", 1, 32),
        Conv("middle", "stem", 32, 64, kernel=2, stride=2),
        *block("middle_block_1", "middle", 64),
        *block("middle_block_2", "middle_block_1", 64),
        Conv("late", "middle_block_2", 64, 152, kernel=2, stride=2),
        *block("late_block", "late", 152),
        Conv("last", "late_block", 152, 256, stride=2),
        *block("last_block", "last", 256),
        Mean("pooled", "last_block"),
        Dense("logits", "pooled", 256, CLASS_COUNT),
    ]


NETS = {"tiny": tiny, "small": small, "large": large}


class Net(nn.Module):
    """The torch module of a layer list; input [N,1,28,28], output logits [N,10]."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleDict({layer.name: module_of(layer) for layer in layers})

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        values = {"image": image}
        for layer in self.layers:
            value = self.parts[layer.name](values[layer.source])
            if isinstance(layer, AddRelu):
                value = torch.relu(value + values[layer.shortcut])
            values[layer.name] = value
        return value


def module_of(layer: Layer) -> nn.Module:
    """The trainable part of a layer (the addition of a residual block has none)."""
    match layer:
        case Conv():
            groups = layer.inputs if layer.depthwise else 1
            convolution = nn.Conv2d(
                layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding, groups=groups, bias=False
            )
            return nn.Sequential(convolution, nn.BatchNorm2d(layer.outputs), *([nn.ReLU()] if layer.relu else []))
        case MaxPool():
            return nn.MaxPool2d(2)
        case AddRelu():
            return nn.Identity()
        case Mean():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Dense():
            return nn.Linear(layer.inputs, layer.outputs)


@dataclass(frozen=True)
class Folded:
    """The weights of one layer after folding: `kernel` is [O,I,h,w] or [O,I], `bias` is [O]."""

    kernel: np.ndarray
    bias: np.ndarray


def fold(net: Net) -> dict[str, Folded]:
    """The weights of every layer that has some, by layer name, batch normalisation folded in.

    Computed in double precision: normalising y = W x is scaling W's rows by gamma / sqrt(variance + epsilon).
    """
    folded = {}
    for layer in net.layers:
        part = net.parts[layer.name]
        if isinstance(layer, Conv):
            weight = part[0].weight.detach().double()
            norm = part[1]
            scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
            bias = norm.bias.detach().double() - norm.running_mean.double() * scale
            folded[layer.name] = Folded((weight * scale[:, None, None, None]).float().numpy(), bias.float().numpy())
        elif isinstance(layer, Dense):
            folded[layer.name] = Folded(part.weight.detach().numpy().copy(), part.bias.detach().numpy().copy())
    return folded


@dataclass(frozen=True)
class Cost:
    """What one picture takes: weights after folding, and multiply-adds of convolutions and classifier."""

    parameters: int
    multiply_adds: int


def cost(layers: list[Layer]) -> Cost:
    """The cost of a net for one 28x28 picture."""
    sizes = {"image": PICTURE_SIZE}
    parameters = multiply_adds = 0
    for layer in layers:
        size = sizes[layer.source]
        match layer:
            case Conv():
                size = -(-size // layer.stride)
                weights = layer.kernel**2 * layer.outputs * (1 if layer.depthwise else layer.inputs)
                parameters += weights + layer.outputs
                multiply_adds += weights * size**2
            case MaxPool():
                size //= 2
            case Dense():
                parameters += (layer.inputs + 1) * layer.outputs
                multiply_adds += layer.inputs * layer.outputs
        sizes[layer.name] = size
    return Cost(parameters, multiply_adds)
