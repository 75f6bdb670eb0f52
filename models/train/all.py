"""Retrains, exports, verifies and describes every sample model.

    python models/train/all.py                                  everything
    python models/train/all.py --export-only                    from the checkpoints that lie there
    python models/train/all.py --task fashion --export-only     one task
"""

import argparse

import torch

import data
from card import Report, write_card
from evaluate import evaluate
from export_onnx import export_onnx
from export_tfjs import export_tfjs
from golden import write_golden
from manifest import TFJS_MODELS, write_manifest
from nets import NETS, fold
from recipes import RECIPES, SEED
from samples import classify_samples, write_samples
from train import load_trained, train
from verify import verify
from workspace import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(data.LABELS), help="default: both")
    parser.add_argument("--export-only", action="store_true", help="do not train")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for task in [options.task] if options.task else data.LABELS:
        if not options.export_only:
            for model in NETS:
                train(task, model, RECIPES[task, model], SEED)
        write_samples(task)
        reports = {model: export(task, model) for model in NETS}
        write_manifest(task, {model: report.accuracy.share for model, report in reports.items()})
        write_golden(task)
        write_card(task, reports)


def export(task: str, model: str) -> Report:
    """Writes the files of one model and measures them."""
    trained = load_trained(task, model)
    folded = fold(trained.net)
    onnx_path = MODELS / task / f"{model}.onnx"
    tfjs_folder = MODELS / task / f"{model}-tfjs" if model in TFJS_MODELS else None
    export_onnx(trained.net.layers, folded, onnx_path)
    if tfjs_folder is not None:
        export_tfjs(trained.net.layers, folded, tfjs_folder)
    report = Report(
        trained=trained,
        accuracy=evaluate(task, onnx_path),
        differences=verify(task, trained.net, onnx_path, tfjs_folder),
        sample_labels=classify_samples(task, onnx_path),
    )
    print(f"{task} {model}: {report.accuracy}, {report.differences}, samples {report.sample_labels}", flush=True)
    return report


if __name__ == "__main__":
    main()
