"""Draws the sample pictures, and says what the models make of them.

No picture of a data set is used: every sample is drawn by draw_digits.py and draw_fashion.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import draw_digits
import draw_fashion
from preprocess import preprocess
from verify import run_onnx
from workspace import MODELS


@dataclass(frozen=True)
class Sample:
    """A drawing: the name of its file without `.png`, and its label's index."""

    name: str
    label: int


SAMPLES = {
    "digits": [Sample(name, label) for label, name in enumerate(draw_digits.STROKES)],
    "fashion": [
        Sample("t-shirt", 0), Sample("trouser", 1), Sample("pullover", 2), Sample("dress", 3), Sample("coat", 4),
        Sample("sandal", 5), Sample("sneaker", 7), Sample("bag", 8), Sample("ankle-boot", 9),
    ],
}  # fmt: skip

DRAW = {"digits": draw_digits.draw, "fashion": draw_fashion.draw}


def sample_path(task: str, sample: Sample) -> Path:
    """The PNG of a sample."""
    return MODELS / task / "samples" / f"{sample.name}.png"


def write_samples(task: str) -> None:
    """Draws every sample of a task anew."""
    for sample in SAMPLES[task]:
        path = sample_path(task, sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        DRAW[task](sample.name).save(path, optimize=True)


def read_pixels(path: Path) -> np.ndarray:
    """The picture as RGBA uint8 [height,width,4]."""
    return np.asarray(Image.open(path).convert("RGBA"))


def classify_samples(task: str, onnx_path: Path) -> dict[str, int]:
    """The label's index that a model gives each sample, by the sample's name."""
    tensors = [preprocess(task, read_pixels(sample_path(task, sample))) for sample in SAMPLES[task]]
    predicted = run_onnx(onnx_path, np.concatenate(tensors)).argmax(axis=1)
    return {sample.name: int(label) for sample, label in zip(SAMPLES[task], predicted)}
