"""The two data sets: found on disk or fetched from their public homes, and checked byte for byte.

    python models/train/data.py FOLDER    puts both into FOLDER, as `nearfar demo --data FOLDER` takes them
"""

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
HELD_OUT = 5_000
SPLIT_SEED = 20_240

LABELS = {
    "digits": [str(digit) for digit in range(10)],
    "fashion": [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ],
}  # fmt: skip
DIRECTORIES = {"digits": "mnist", "fashion": "fashion-mnist"}

# The mirrors that TensorFlow (MNIST) and the authors (Fashion-MNIST) point at.
HOMES = {
    "digits": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}

# SHA-256 of the uncompressed bytes, so that a recompressed copy of the same data is accepted too.
CHECKSUMS = {
    ("digits", "train-images-idx3-ubyte"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ("digits", "train-labels-idx1-ubyte"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ("digits", "t10k-images-idx3-ubyte"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ("digits", "t10k-labels-idx1-ubyte"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ("fashion", "train-images-idx3-ubyte"): "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ("fashion", "train-labels-idx1-ubyte"): "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ("fashion", "t10k-images-idx3-ubyte"): "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ("fashion", "t10k-labels-idx1-ubyte"): "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


@dataclass(frozen=True)
class Pictures:
    """Pictures as uint8 [count,28,28] and their labels as int64 [count]."""

    images: np.ndarray
    labels: np.ndarray


def load(task: str, part: str) -> Pictures:
    """Every picture of a task's `part`, which is "train" (60,000) or "t10k" (10,000)."""
    images = read_checked(task, f"{part}-images-idx3-ubyte")[16:]
    labels = read_checked(task, f"{part}-labels-idx1-ubyte")[8:]
    return Pictures(
        np.frombuffer(images, np.uint8).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8).astype(np.int64),
    )


def split(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """The training set cut into what is trained on and the 5,000 pictures held out for choosing."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(pictures.labels))
    held_out, trained = order[:HELD_OUT], order[HELD_OUT:]
    return (
        Pictures(pictures.images[trained], pictures.labels[trained]),
        Pictures(pictures.images[held_out], pictures.labels[held_out]),
    )


def read_checked(task: str, name: str) -> bytes:
    """The uncompressed bytes of an IDX file; raises when they are not the published ones."""
    raw = gzip.decompress(find(task, f"{name}.gz").read_bytes())
    found = hashlib.sha256(raw).hexdigest()
    if found != CHECKSUMS[task, name]:
        raise ValueError(f"Expected SHA-256 {CHECKSUMS[task, name]} for {task} {name}, found {found}")
    return raw


def find(task: str, name: str) -> Path:
    """The file in ../shared/data or $NEARFAR_DATA; else it is fetched into the temporary folder."""
    roots = [REPOSITORY.parent / "shared" / "data"]
    if "NEARFAR_DATA" in os.environ:
        roots.insert(0, Path(os.environ["NEARFAR_DATA"]))
    for root in roots:
        path = root / DIRECTORIES[task] / name
        if path.exists():
            return path

    path = Path(tempfile.gettempdir()) / "nearfar-data" / DIRECTORIES[task] / name
    if not path.exists():
        fetch(task, name, path)
    return path


def fetch(task: str, name: str, path: Path) -> None:
    """Downloads a file beside its place, then puts it there, so that a broken download never looks like a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with urllib.request.urlopen(HOMES[task] + name, timeout=60) as response:
        partial.write_bytes(response.read())
    partial.replace(path)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for task, name in CHECKSUMS:
        path = Path(sys.argv[1]) / DIRECTORIES[task] / f"{name}.gz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            read_checked(task, name)
            shutil.copyfile(find(task, f"{name}.gz"), path)
        print(path)


if __name__ == "__main__":
    main()
