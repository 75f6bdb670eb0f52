"""Random changes to a batch of training pictures: [B,1,28,28], values 0 to 1, a ground of 0."""

import math

import torch
from torch.nn import functional

SHIFT_PIXELS = 2
ERASE_CHANCE = 0.5
ERASE_SIDES = (4, 12)
ROTATION_DEGREES = 12.0
SCALE_SPREAD = 0.12
SHEAR_SPREAD = 0.15
AFFINE_SHIFT = 0.1


def augment(task: str, images: torch.Tensor) -> torch.Tensor:
    """A digit may turn and stretch but not be mirrored; a garment may shift, be mirrored, and lose a patch."""
    if task == "digits":
        return affine(images)
    return erase(mirror(shift(images)))


def affine(images: torch.Tensor) -> torch.Tensor:
    """Each picture turned, scaled, sheared and shifted a little."""
    count = len(images)

    def spread(width: float) -> torch.Tensor:
        return (torch.rand(count) * 2 - 1) * width

    angle = spread(math.radians(ROTATION_DEGREES))
    scale = 1 + spread(SCALE_SPREAD)
    shear = spread(SHEAR_SPREAD)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        torch.stack([cosine, shear - sine, spread(AFFINE_SHIFT)], dim=1),
        torch.stack([sine, cosine, spread(AFFINE_SHIFT)], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def shift(images: torch.Tensor) -> torch.Tensor:
    """Each picture moved by up to two pixels both ways, zeros moving in."""
    count, _, height, width = images.shape
    padded = functional.pad(images, [SHIFT_PIXELS] * 4)
    top = torch.randint(0, 2 * SHIFT_PIXELS + 1, (count, 1, 1))
    left = torch.randint(0, 2 * SHIFT_PIXELS + 1, (count, 1, 1))
    rows = top + torch.arange(height)[:, None]
    columns = left + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], 0, rows, columns][:, None]


def mirror(images: torch.Tensor) -> torch.Tensor:
    """Half of the pictures, left and right swapped."""
    swapped = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(swapped, images.flip(3), images)


def erase(images: torch.Tensor) -> torch.Tensor:
    """Half of the pictures with a rectangle replaced by one random grey."""
    count, _, height, width = images.shape
    sides = torch.randint(ERASE_SIDES[0], ERASE_SIDES[1] + 1, (2, count, 1, 1))
    top = (torch.rand(count, 1, 1) * (height - sides[0] + 1)).long()
    left = (torch.rand(count, 1, 1) * (width - sides[1] + 1)).long()
    row, column = torch.arange(height)[:, None], torch.arange(width)
    inside = (row >= top) & (row < top + sides[0]) & (column >= left) & (column < left + sides[1])
    chosen = torch.rand(count, 1, 1) < ERASE_CHANCE
    grey = torch.rand(count, 1, 1, 1)
    return torch.where((inside & chosen)[:, None], grey, images)
