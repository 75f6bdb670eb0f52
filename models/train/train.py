"""Trains one model of one task; keeps the epoch that does best on the 5,000 held-out pictures.

    python models/train/train.py --task fashion --model large

A checkpoint is written after each epoch, and a run that was cut off goes on from it.
The test set is not read here.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import data
from augment import augment
from nets import NETS, Net
from recipes import RECIPES, SEED, Recipe
from preprocess import MEAN, STANDARD_DEVIATION
from workspace import checkpoint_path

BATCH = 128
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.05
WARM_UP_SHARE = 0.15
AVERAGE_DECAY = 0.998


@dataclass
class Run:
    """A training run between two epochs."""

    net: Net
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best_accuracy: float = 0.0
    best_epoch: int = 0
    best_weights: dict | None = None
    seconds: float = 0.0


def train(task: str, model: str, recipe: Recipe, seed: int) -> Path:
    """Trains, or finishes a run that was cut off; returns the checkpoint's path."""
    path = checkpoint_path(task, model)
    run = start(model, seed)
    if path.exists():
        restore(run, path, recipe, seed)
    trained, held_out = data.split(data.load(task, "train"))
    while run.epoch < recipe.epochs:
        started = time.monotonic()
        loss = train_epoch(run, task, trained, recipe, seed)
        accuracy = measure(run.average.module, task, held_out)
        run.epoch += 1
        if accuracy >= run.best_accuracy:
            run.best_accuracy, run.best_epoch = accuracy, run.epoch
            run.best_weights = {name: value.clone() for name, value in run.average.module.state_dict().items()}
        seconds = time.monotonic() - started
        run.seconds += seconds
        save(run, path, recipe, seed)
        print(
            f"{task} {model} epoch {run.epoch}/{recipe.epochs}: loss {loss:.4f}, "
            f"held-out accuracy {accuracy:.4f} (best {run.best_accuracy:.4f}), {seconds:.0f} s",
            flush=True,
        )
    return path


def start(model: str, seed: int) -> Run:
    """A new run: weights drawn from `seed`."""
    torch.manual_seed(seed)
    net = Net(NETS[model]()).to(memory_format=torch.channels_last)
    average = AveragedModel(net, multi_avg_fn=move_average, use_buffers=True)
    optimizer = torch.optim.SGD(parameter_groups(net), lr=0.1, momentum=MOMENTUM, nesterov=True)
    return Run(net, average, optimizer)


@torch.no_grad()
def move_average(averages: list[torch.Tensor], values: list[torch.Tensor], updates: torch.Tensor | int) -> None:
    """An exponential moving average whose memory grows from a few steps to 1 / (1 - AVERAGE_DECAY)."""
    if not averages[0].is_floating_point():
        return
    decay = min(AVERAGE_DECAY, (1 + int(updates)) / (10 + int(updates)))
    torch._foreach_lerp_(averages, values, 1 - decay)


def parameter_groups(net: nn.Module) -> list[dict]:
    """Weight decay for kernels only, not for biases and normalisation."""
    kernels = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in net.parameters() if parameter.ndim == 1]
    return [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]


def train_epoch(run: Run, task: str, pictures: data.Pictures, recipe: Recipe, seed: int) -> float:
    """One pass over the pictures in a new order; returns the mean loss."""
    # Seeded by epoch, so that a resumed run sees what an unbroken one would have seen.
    torch.manual_seed(seed * 1_000 + run.epoch)
    images = torch.from_numpy(pictures.images[:, None].copy())
    labels = torch.from_numpy(pictures.labels)
    steps = len(labels) // BATCH
    order = torch.randperm(len(labels))
    loss_of = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    run.net.train()
    total = 0.0
    for step in range(steps):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        batch = normalise(task, augment(task, images[chosen].float() / 255))
        rate = recipe.peak_rate * rate_share((run.epoch + step / steps) / recipe.epochs)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(forward(run.net, batch), labels[chosen])
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        run.average.update_parameters(run.net)
        total += loss.item()
    return total / steps


def rate_share(progress: float) -> float:
    """The learning rate as a share of its peak: a linear rise, then half a cosine down to 0."""
    if progress < WARM_UP_SHARE:
        return 0.1 + 0.9 * progress / WARM_UP_SHARE
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))


def forward(net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Logits in float32; the layers inside run in bfloat16, which is twice as fast where the CPU has it."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return net(batch.contiguous(memory_format=torch.channels_last)).float()


def normalise(task: str, images: torch.Tensor) -> torch.Tensor:
    """Values 0 to 1 to what the net takes."""
    return (images - MEAN[task]) / STANDARD_DEVIATION[task]


@torch.no_grad()
def measure(net: nn.Module, task: str, pictures: data.Pictures) -> float:
    """The share of pictures classified right."""
    net.eval()
    right = 0
    for first in range(0, len(pictures.labels), 500):
        images = torch.from_numpy(pictures.images[first : first + 500, None].astype(np.float32) / 255)
        predicted = forward(net, normalise(task, images)).argmax(1).numpy()
        right += int((predicted == pictures.labels[first : first + 500]).sum())
    return right / len(pictures.labels)


def save(run: Run, path: Path, recipe: Recipe, seed: int) -> None:
    """Writes beside the old checkpoint, then takes its place, so that a kill never leaves half a file."""
    state = {
        "settings": settings(recipe, seed),
        "net": run.net.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epoch": run.epoch,
        "best_accuracy": run.best_accuracy,
        "best_epoch": run.best_epoch,
        "best_weights": run.best_weights,
        "seconds": run.seconds,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def restore(run: Run, path: Path, recipe: Recipe, seed: int) -> None:
    """Takes up a checkpoint of the same settings; one of other settings is left to be overwritten."""
    state = torch.load(path)
    if state["settings"] != settings(recipe, seed):
        return
    run.net.load_state_dict(state["net"])
    run.average.load_state_dict(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.epoch = state["epoch"]
    run.best_accuracy, run.best_epoch = state["best_accuracy"], state["best_epoch"]
    run.best_weights = state["best_weights"]
    run.seconds = state["seconds"]


@dataclass(frozen=True)
class Trained:
    """The chosen epoch of a training run, whole or cut off."""

    net: Net
    seed: int
    epochs_done: int
    epochs_planned: int
    best_epoch: int
    held_out_accuracy: float
    seconds: float


def load_trained(task: str, model: str) -> Trained:
    """The net that did best on the held-out pictures, from the run's checkpoint."""
    state = torch.load(checkpoint_path(task, model))
    net = Net(NETS[model]())
    net.load_state_dict(state["best_weights"])
    return Trained(
        net=net.eval(),
        seed=state["settings"]["seed"],
        epochs_done=state["epoch"],
        epochs_planned=RECIPES[task, model].epochs,
        best_epoch=state["best_epoch"],
        held_out_accuracy=state["best_accuracy"],
        seconds=state["seconds"],
    )


def settings(recipe: Recipe, seed: int) -> dict:
    """What a checkpoint must share with a run for the run to go on from it."""
    return {"epochs": recipe.epochs, "peak_rate": recipe.peak_rate, "seed": seed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(data.LABELS), required=True)
    parser.add_argument("--model", choices=sorted(NETS), required=True)
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--peak-rate", type=float, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = RECIPES[options.task, options.model]
    chosen = Recipe(options.epochs or recipe.epochs, options.peak_rate or recipe.peak_rate)
    print(train(options.task, options.model, chosen, options.seed))


if __name__ == "__main__":
    main()
