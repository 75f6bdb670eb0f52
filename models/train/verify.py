"""Checks that torch, ONNX and tfjs give the same logits for 512 test pictures."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from nets import Net
from preprocess import preprocess_dataset
from workspace import WORKSPACE
import data

PICTURE_COUNT = 512
TOLERANCE = 1e-4
TFJS_VERSION = "4.22.0"
TFJS_PACKAGES = ["tfjs-core", "tfjs-converter", "tfjs-backend-cpu"]


@dataclass(frozen=True)
class Differences:
    """The largest absolute differences between logits; `tfjs` is None where there is no tfjs file."""

    torch_to_onnx: float
    onnx_to_tfjs: float | None


def verify(task: str, net: Net, onnx_path: Path, tfjs_folder: Path | None) -> Differences:
    """Measures the differences; raises when one is above the tolerance."""
    images = preprocess_dataset(task, data.load(task, "t10k").images[:PICTURE_COUNT])
    with torch.no_grad():
        from_torch = net.eval()(torch.from_numpy(images)).numpy()
    from_onnx = run_onnx(onnx_path, images)
    differences = Differences(
        largest(from_torch, from_onnx),
        largest(from_onnx, run_tfjs(tfjs_folder, images)) if tfjs_folder else None,
    )
    for difference in (differences.torch_to_onnx, differences.onnx_to_tfjs or 0.0):
        if difference > TOLERANCE:
            raise ValueError(f"Expected {onnx_path} to agree within {TOLERANCE}, found {differences}")
    return differences


def largest(left: np.ndarray, right: np.ndarray) -> float:
    """The largest absolute difference."""
    return float(np.abs(left - right).max())


def run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits from onnxruntime on the CPU, 500 pictures at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = [images[first : first + 500] for first in range(0, len(images), 500)]
    return np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in batches])


def run_tfjs(folder: Path, images: np.ndarray) -> np.ndarray:
    """Logits from tfjs' CPU backend under Node; its packages are installed outside the repository."""
    scratch = WORKSPACE / "tfjs"
    if not (scratch / "node_modules").exists():
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "package.json").write_text('{"private":true}\n')
        packages = [f"@tensorflow/{name}@{TFJS_VERSION}" for name in TFJS_PACKAGES]
        subprocess.run(["npm", "install", *packages], cwd=scratch, check=True)
    script = shutil.copy(Path(__file__).with_name("verify-tfjs.mjs"), scratch)
    images.tofile(scratch / "pictures.f32")
    subprocess.run(["node", script, folder, scratch / "pictures.f32", scratch / "logits.f32"], cwd=scratch, check=True)
    return np.fromfile(scratch / "logits.f32", np.float32).reshape(len(images), -1)
