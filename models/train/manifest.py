"""Writes manifest.json, from which the servers learn everything about a task's models."""

import json

import data
from nets import NETS
from preprocess import preprocess_settings
from samples import SAMPLES
from workspace import MODELS

LICENCE = "Apache-2.0"
SLO_MS = 250
TFJS_MODELS = ("tiny", "small")


def write_manifest(task: str, accuracies: dict[str, float]) -> None:
    """`accuracies` are measured on the ONNX files, by model; tfjs files agree with them to 1e-4 in every logit."""
    models = []
    for name in NETS:
        models.append(model_entry(name, "onnx", f"{name}.onnx", accuracies[name]))
        if name in TFJS_MODELS:
            models.append(model_entry(name, "tfjs", f"{name}-tfjs/model.json", accuracies[name]))
    manifest = {
        "task": task,
        "kind": "image-classification",
        "labels": data.LABELS[task],
        "preprocess": preprocess_settings(task),
        "postprocess": {"kind": "classification", "output": "logits", "activation": "softmax"},
        "defaults": {"slo_ms": SLO_MS},
        "eval": {
            "format": "idx",
            "images": "t10k-images-idx3-ubyte.gz",
            "labels": "t10k-labels-idx1-ubyte.gz",
            "directory": data.DIRECTORIES[task],
        },
        "samples": [f"samples/{sample.name}.png" for sample in SAMPLES[task]],
        "golden": "golden.json",
        "models": models,
    }
    (MODELS / task / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def model_entry(name: str, format: str, path: str, accuracy: float) -> dict:
    """One file that can be served."""
    return {"name": name, "format": format, "path": path, "accuracy": accuracy, "licence": LICENCE}
