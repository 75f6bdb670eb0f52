"""The accuracy of a finished ONNX file on the 10,000 test pictures, through the same preprocessing as in use."""

import math
from dataclasses import dataclass
from pathlib import Path

import data
from preprocess import preprocess_dataset
from verify import run_onnx

# The 97.5 % quantile of the normal distribution.
QUANTILE = 1.959964


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers with its 95 % confidence interval."""

    share: float
    low: float
    high: float
    count: int


def evaluate(task: str, onnx_path: Path) -> Accuracy:
    """Runs the whole test set. Nothing is chosen by this figure; it is only reported."""
    test = data.load(task, "t10k")
    predicted = run_onnx(onnx_path, preprocess_dataset(task, test.images)).argmax(axis=1)
    return wilson(int((predicted == test.labels).sum()), len(test.labels))


def wilson(right: int, count: int) -> Accuracy:
    """The Wilson score interval (E. B. Wilson, JASA 22, 1927), which stays sound close to 1."""
    share, square = right / count, QUANTILE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = QUANTILE * math.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return Accuracy(share, middle - half, middle + half, count)
