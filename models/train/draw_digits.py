"""The digits as pen strokes."""

from PIL import Image

from drawing import Color, Point, Sheet

PAPER = (255, 255, 255, 255)
# Darker than the trim threshold of the preprocessing; a paler board would count as ink.
BOARD = (12, 18, 15, 255)
INK = (28, 30, 52)
CHALK = (236, 238, 226)
PEN_WIDTH = 7.5

STROKES: dict[str, list[list[Point]]] = {
    "zero": [[(52, 20), (38, 26), (31, 46), (34, 68), (47, 80), (61, 74), (69, 54), (66, 32), (54, 20), (48, 21)]],
    "one": [[(40, 34), (53, 20)], [(53, 20), (51, 50), (49, 81)]],
    "two": [[(32, 34), (40, 22), (56, 21), (64, 33), (58, 49), (44, 64), (32, 79)], [(32, 79), (50, 77), (70, 79)]],
    "three": [[(33, 26), (48, 19), (63, 27), (60, 41), (46, 48)], [(46, 48), (63, 54), (66, 68), (54, 80), (33, 76)]],
    "four": [[(42, 20), (35, 38), (30, 53)], [(30, 53), (48, 52), (72, 50)], [(62, 24), (59, 52), (56, 82)]],
    "five": [[(66, 21), (40, 22)], [(40, 22), (37, 45)], [(37, 45), (52, 42), (65, 51), (64, 69), (50, 80), (32, 75)]],
    "six": [[(61, 19), (45, 32), (36, 52), (36, 70), (48, 81), (62, 74), (64, 60), (53, 52), (39, 60)]],
    "seven": [[(31, 24), (50, 23), (68, 23)], [(68, 23), (58, 48), (47, 82)]],
    "eight": [
        [(61, 27), (48, 20), (36, 29), (41, 42), (57, 54), (64, 68), (51, 80), (36, 71), (41, 56), (58, 43), (63, 31)]
    ],
    "nine": [[(63, 30), (51, 21), (37, 29), (36, 44), (48, 51), (61, 43), (64, 29)], [(64, 29), (61, 55), (55, 82)]],
}

# Drawn as light on dark, to show that the preprocessing does not mind.
ON_BOARD = {"four", "eight"}


def draw(name: str) -> Image.Image:
    """The drawing of one digit, by its English name."""
    on_board = name in ON_BOARD
    sheet = Sheet(BOARD if on_board else PAPER)
    color: Color = CHALK if on_board else INK
    for points in STROKES[name]:
        sheet.stroke(points, PEN_WIDTH, color)
    return sheet.finish()
