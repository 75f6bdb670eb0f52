"""How long and how fast each model is trained."""

from dataclasses import dataclass

SEED = 7


@dataclass(frozen=True)
class Recipe:
    """`epochs` passes over the 55,000 pictures; the learning rate peaks at `peak_rate`."""

    epochs: int
    peak_rate: float


RECIPES = {
    ("digits", "tiny"): Recipe(epochs=20, peak_rate=0.1),
    ("digits", "small"): Recipe(epochs=10, peak_rate=0.1),
    ("digits", "large"): Recipe(epochs=6, peak_rate=0.1),
    ("fashion", "tiny"): Recipe(epochs=40, peak_rate=0.1),
    ("fashion", "small"): Recipe(epochs=20, peak_rate=0.1),
    ("fashion", "large"): Recipe(epochs=16, peak_rate=0.1),
}
