"""Any picture to a model's tensor: the reference of the manifest's `preprocess` section.

The servers implement the same steps in TypeScript; here they serve the goldens and the evaluation.
"""

import math

import numpy as np

SIZE = 28

# Measured on the training pictures, values 0 to 1.
MEAN = {"digits": 0.1307, "fashion": 0.2860}
STANDARD_DEVIATION = {"digits": 0.3081, "fashion": 0.3530}

SETTINGS = {
    "digits": {"trim": 32, "boxSize": 20, "center": "mass"},
    "fashion": {"trim": 16, "boxSize": 28, "center": "box"},
}


def preprocess_settings(task: str) -> dict:
    """The manifest's `preprocess` section."""
    return {
        "kind": "image",
        "input": "image",
        "width": SIZE,
        "height": SIZE,
        "channels": "grayscale",
        "layout": "NCHW",
        "invert": "auto",
        **SETTINGS[task],
        "mean": [MEAN[task]],
        "std": [STANDARD_DEVIATION[task]],
    }


def preprocess(task: str, pixels: np.ndarray) -> np.ndarray:
    """RGBA uint8 [height,width,4] to float32 [1,1,28,28]."""
    return normalise(task, canvas(task, bright_ink(luminance(pixels))))[None, None]


def preprocess_dataset(task: str, images: np.ndarray) -> np.ndarray:
    """Data-set pictures, uint8 [count,28,28], to float32 [count,1,28,28]; only inversion and scale apply."""
    return np.stack([normalise(task, bright_ink(image.astype(np.float64)))[None] for image in images])


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Composited over white, then weighted to one channel; float64, 0 to 255."""
    alpha = pixels[..., 3:].astype(np.float64) / 255
    color = pixels[..., :3] * alpha + 255 * (1 - alpha)
    return color @ np.array([0.299, 0.587, 0.114])


def bright_ink(grey: np.ndarray) -> np.ndarray:
    """Inverted when the outermost ring of pixels is bright on average: paper, not ink."""
    ring = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return 255 - grey if ring.mean() > 127.5 else grey


def canvas(task: str, grey: np.ndarray) -> np.ndarray:
    """The picture's ink in a 28x28 field of zeros; a picture of that very size is left as it is."""
    if grey.shape == (SIZE, SIZE):
        return grey
    settings = SETTINGS[task]
    box = resize_longer_side(trim(grey, settings["trim"]), settings["boxSize"])
    height, width = box.shape
    if settings["center"] == "mass":
        top, left = mass_offset(box.sum(axis=1)), mass_offset(box.sum(axis=0))
    else:
        top, left = (SIZE - height) // 2, (SIZE - width) // 2
    field = np.zeros((SIZE, SIZE))
    field[top : top + height, left : left + width] = box
    return field


def trim(grey: np.ndarray, threshold: float) -> np.ndarray:
    """The bounding box of the pixels above the threshold; everything when there are none."""
    rows, columns = np.nonzero(grey > threshold)
    if len(rows) == 0:
        return grey
    return grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def resize_longer_side(grey: np.ndarray, longer: int) -> np.ndarray:
    """Resized by area averaging so that the longer side is `longer`, the other in proportion."""
    largest = max(grey.shape)
    height, width = (max(1, math.floor(side * longer / largest + 0.5)) for side in grey.shape)
    return coverage(grey.shape[0], height) @ grey @ coverage(grey.shape[1], width).T


def coverage(source: int, target: int) -> np.ndarray:
    """[target,source]: the share of each target cell that each source cell covers."""
    edges = np.arange(target + 1) * source / target
    cells = np.arange(source)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * target / source


def mass_offset(profile: np.ndarray) -> int:
    """Where a box starts so that its centre of mass along one axis lies mid-field, yet no ink falls outside."""
    total = profile.sum()
    middle = (len(profile) - 1) / 2 if total == 0 else (np.arange(len(profile)) * profile).sum() / total
    offset = math.floor((SIZE - 1) / 2 - middle + 0.5)
    return min(max(offset, 0), SIZE - len(profile))


def normalise(task: str, grey: np.ndarray) -> np.ndarray:
    """Values 0 to 255 to what the net takes."""
    return ((grey / 255 - MEAN[task]) / STANDARD_DEVIATION[task]).astype(np.float32)
