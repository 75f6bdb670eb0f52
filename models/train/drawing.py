"""A small kit to draw the sample pictures: curves and filled shapes in a square of 100 by 100 units."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Color = tuple[int, int, int]

PICTURE_PIXELS = 280
# Drawn larger, then averaged down, for smooth edges.
SUPERSAMPLING = 4
STEPS_PER_PIECE = 16


@dataclass
class Sheet:
    """A picture in the making."""

    ground: tuple[int, ...]

    def __post_init__(self) -> None:
        side = PICTURE_PIXELS * SUPERSAMPLING
        self.image = Image.new("RGBA", (side, side), self.ground)
        self.pen = ImageDraw.Draw(self.image)

    def stroke(self, points: list[Point], width: float, color: Color) -> None:
        """A smooth line through the points, with round ends, as a felt pen leaves it."""
        radius = pixels(width / 2)
        for x, y in smooth(points, closed=False):
            self.pen.ellipse([pixels(x) - radius, pixels(y) - radius, pixels(x) + radius, pixels(y) + radius], color)

    def fill(self, points: list[Point], color: Color) -> None:
        """A polygon with straight sides."""
        self.pen.polygon([(pixels(x), pixels(y)) for x, y in points], color)

    def fill_smooth(self, points: list[Point], color: Color) -> None:
        """A closed shape with a smooth outline through the points."""
        self.fill(smooth(points, closed=True), color)

    def finish(self) -> Image.Image:
        """The picture at its final size; without the alpha channel when nothing is transparent."""
        picture = self.image.resize((PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.BOX)
        return picture if self.ground[3] < 255 else picture.convert("RGB")


def mirrored(points: list[Point]) -> list[Point]:
    """A symmetric outline from its left half, given from top to bottom."""
    return points + [(100 - x, y) for x, y in reversed(points)]


def smooth(points: list[Point], closed: bool) -> list[Point]:
    """Points on the Catmull-Rom curve through `points`, dense enough to look round."""
    knots = np.array(points, float)
    before = np.roll(knots, 1, axis=0)
    if closed:
        after, next_after = np.roll(knots, -1, axis=0), np.roll(knots, -2, axis=0)
    else:
        before[0] = knots[0]
        after = np.concatenate([knots[1:], knots[-1:]])
        next_after = np.concatenate([knots[2:], knots[-1:], knots[-1:]])
    pieces = len(knots) if closed else len(knots) - 1
    curve = []
    for piece in range(pieces):
        a, b, c, d = before[piece], knots[piece], after[piece], next_after[piece]
        length = np.hypot(*(c - b))
        count = max(STEPS_PER_PIECE, int(length * 8))
        for t in np.linspace(0, 1, count, endpoint=False):
            curve.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    if not closed:
        curve.append(knots[-1])
    return [(float(x), float(y)) for x, y in curve]


def pixels(units: float) -> float:
    """Sheet units to supersampled pixels."""
    return units * PICTURE_PIXELS * SUPERSAMPLING / 100
