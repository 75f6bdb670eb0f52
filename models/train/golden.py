"""Writes golden.json: eight inputs made from our own drawings and the logits every model gives for them."""

import base64
import json

import numpy as np

from nets import NETS
from preprocess import preprocess
from samples import SAMPLES, read_pixels, sample_path
from verify import run_onnx
from workspace import MODELS

INPUT_COUNT = 8


def write_golden(task: str) -> None:
    """The outputs come from the ONNX files under onnxruntime on the CPU."""
    images = golden_inputs(task)
    golden = {
        "inputs": {"image": tensor(images)},
        "outputs": {name: {"logits": tensor(run_onnx(MODELS / task / f"{name}.onnx", images))} for name in NETS},
    }
    (MODELS / task / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")


def golden_inputs(task: str) -> np.ndarray:
    """The first eight drawings, preprocessed; where there are fewer, they come again a pixel further right."""
    drawings = SAMPLES[task]
    images = []
    for index in range(INPUT_COUNT):
        image = preprocess(task, read_pixels(sample_path(task, drawings[index % len(drawings)])))
        images.append(np.roll(image, index // len(drawings), axis=3))
    return np.concatenate(images)


def tensor(values: np.ndarray) -> dict:
    """A tensor as JSON: little-endian float32 in base64."""
    encoded = base64.b64encode(values.astype("<f4").tobytes()).decode()
    return {"datatype": "FP32", "shape": list(values.shape), "base64": encoded}
