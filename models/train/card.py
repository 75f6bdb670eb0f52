"""Writes MODEL_CARD.md from what was measured."""

from dataclasses import dataclass

import data
import train
from evaluate import Accuracy
from nets import NETS, cost
from samples import SAMPLES
from verify import PICTURE_COUNT, Differences
from workspace import MODELS

TARGETS = {
    ("digits", "tiny"): 0.98, ("digits", "small"): 0.99, ("digits", "large"): 0.995,
    ("fashion", "tiny"): 0.88, ("fashion", "small"): 0.915, ("fashion", "large"): 0.935,
}  # fmt: skip

DATA = {
    "digits": (
        "MNIST (Y. LeCun, C. Cortes, C. J. C. Burges): 60,000 training and 10,000 test pictures of handwritten "
        "digits, 28x28, grey. Licence of the data: CC BY-SA 3.0. No picture of it is part of this folder."
    ),
    "fashion": (
        "Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, Zalando Research): 60,000 training and 10,000 test pictures "
        "of garments, 28x28, grey. Licence of the data: MIT. No picture of it is part of this folder."
    ),
}

AUGMENTATION = {
    "digits": "small random turns (12 degrees), scale (12 %), shear and shifts (1.4 pixels)",
    "fashion": "random shifts of up to 2 pixels, mirroring, and in half of the pictures an erased rectangle",
}


@dataclass(frozen=True)
class Report:
    """What was measured on one model."""

    trained: train.Trained
    accuracy: Accuracy
    differences: Differences
    sample_labels: dict[str, int]


def write_card(task: str, reports: dict[str, Report]) -> None:
    """One card for the three models of a task."""
    seed = reports["tiny"].trained.seed
    lines = [
        f"# Model card: {task}",
        "",
        f"Three classifiers of one task, from cheap to accurate, to show how the mesh chooses. {interim(reports)}".rstrip(),
        "",
        "| model | parameters | multiply-adds | ONNX bytes | tfjs bytes | test accuracy (95 % CI, n = 10,000) | aim | held-out accuracy |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
        *[figures(task, name, report) for name, report in reports.items()],
        "",
        "Input `image` float32 [N,1,28,28], normalised as the manifest's `preprocess` says; output `logits` float32",
        "[N,10]. A figure per picture; batch normalisation is folded into the convolutions.",
        "",
        "## Data",
        "",
        DATA[task],
        "",
        "## Procedure",
        "",
        f"{data.HELD_OUT:,} of the 60,000 training pictures were held out (split seed {data.SPLIT_SEED}); the other 55,000 were trained on.",
        f"SGD with Nesterov momentum {train.MOMENTUM}, batch {train.BATCH}, weight decay {train.WEIGHT_DECAY}, label smoothing",
        f"{train.LABEL_SMOOTHING}, a learning rate that rises to 0.1 and falls along a cosine, an exponential average of the weights;",
        f"layers in bfloat16, weights in float32; seed {seed}. Augmentation: {AUGMENTATION[task]}.",
        "",
        "The epoch was chosen by the averaged weights' accuracy on the held-out pictures. The test set was run once, on the",
        "finished ONNX files, and nothing was chosen by it.",
        "",
        "| model | epochs | chosen | minutes (2 shared CPU cores) | torch - ONNX | ONNX - tfjs |",
        "|---|---:|---:|---:|---:|---:|",
        *[procedure(name, report) for name, report in reports.items()],
        "",
        f"The last two columns are the largest absolute difference between logits over {PICTURE_COUNT} test pictures.",
        "",
        "## Sample pictures",
        "",
        *sample_lines(task, reports),
        "",
        "## Licence and limits",
        "",
        "The weights and the sample pictures are ours, under Apache-2.0. The models know ten classes and one kind of picture;",
        "any other picture gets one of the ten labels too, often with confidence. They are for demonstration and measurement.",
        "",
    ]
    (MODELS / task / "MODEL_CARD.md").write_text("\n".join(lines))


def interim(reports: dict[str, Report]) -> str:
    """Which files stand in for ones still to be trained; empty when all are final."""
    unfinished = [
        f"`{name}` ({report.trained.epochs_done} of {report.trained.epochs_planned} epochs)"
        for name, report in reports.items()
        if report.trained.epochs_done < report.trained.epochs_planned
    ]
    return f"**Interim files**, to be replaced by longer training: {', '.join(unfinished)}." if unfinished else ""


def figures(task: str, name: str, report: Report) -> str:
    """A row of the first table."""
    folder, accuracy, price = MODELS / task, report.accuracy, cost(NETS[name]())
    tfjs = sum(file.stat().st_size for file in (folder / f"{name}-tfjs").glob("*"))
    target = TARGETS[task, name]
    met = "met" if accuracy.share >= target else "missed"
    return (
        f"| {name} | {price.parameters:,} | {price.multiply_adds:,} | {(folder / f'{name}.onnx').stat().st_size:,} "
        f"| {f'{tfjs:,}' if tfjs else '-'} | {accuracy.share:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) "
        f"| {target} {met} | {report.trained.held_out_accuracy:.4f} |"
    )


def procedure(name: str, report: Report) -> str:
    """A row of the second table."""
    trained, differences = report.trained, report.differences
    tfjs = "-" if differences.onnx_to_tfjs is None else f"{differences.onnx_to_tfjs:.1e}"
    return (
        f"| {name} | {trained.epochs_done} | {trained.best_epoch} | {trained.seconds / 60:.0f} "
        f"| {differences.torch_to_onnx:.1e} | {tfjs} |"
    )


def sample_lines(task: str, reports: dict[str, Report]) -> list[str]:
    """What the models make of the drawings, told apart from the data set's accuracy."""
    lines = [f"Drawn by `models/train/draw_{task}.py`; none comes from the data. What the models make of them:"]
    for name, report in reports.items():
        wrong = [
            f"{sample.name} taken for {data.LABELS[task][report.sample_labels[sample.name]]}"
            for sample in SAMPLES[task]
            if report.sample_labels[sample.name] != sample.label
        ]
        right = len(SAMPLES[task]) - len(wrong)
        lines.append(f"- {name}: {right} of {len(SAMPLES[task])} right{'; ' + ', '.join(wrong) if wrong else ''}.")
    return lines
