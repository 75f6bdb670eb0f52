"""Garments as plain filled shapes with a few seams and folds."""

from PIL import Image

from drawing import Sheet, mirrored

WHITE = (255, 255, 255, 255)
CLEAR = (255, 255, 255, 0)


def tshirt(sheet: Sheet) -> None:
    body, fold, seam = (72, 92, 132), (58, 76, 114), (40, 54, 86)
    left = [(40, 13), (27, 17), (13, 27), (5, 42), (17, 49), (27, 41), (27, 62), (26, 88)]
    sheet.fill(mirrored(left), body)
    sheet.fill([(30, 52), (36, 56), (34, 86), (29, 86)], fold)
    sheet.fill([(66, 50), (70, 46), (71, 86), (66, 86)], fold)
    sheet.fill_smooth([(40, 13), (44, 20), (50, 22.5), (56, 20), (60, 13), (50, 11.5)], (255, 255, 255))
    sheet.stroke([(40, 13), (44, 20), (50, 22.5), (56, 20), (60, 13)], 1.6, seam)
    sheet.stroke([(27, 41), (28, 30), (31, 18)], 0.8, seam)
    sheet.stroke([(73, 41), (72, 30), (69, 18)], 0.8, seam)


def trouser(sheet: Sheet) -> None:
    cloth, fold, seam = (58, 62, 74), (44, 48, 58), (30, 32, 40)
    sheet.fill([(34, 5), (66, 5), (69, 30), (70, 60), (68, 96), (55, 96), (52, 60), (50, 36), (48, 60), (45, 96), (32, 96), (30, 60), (31, 30)], cloth)
    sheet.fill([(37, 34), (41, 34), (40, 94), (36, 94)], fold)
    sheet.fill([(59, 34), (63, 34), (64, 94), (60, 94)], fold)
    sheet.stroke([(34, 10), (50, 11), (66, 10)], 1.2, seam)
    sheet.stroke([(50, 11), (50, 24), (50, 36)], 1.2, seam)


def pullover(sheet: Sheet) -> None:
    wool, fold, rib = (120, 74, 66), (98, 58, 52), (80, 44, 40)
    left = [(41, 9), (28, 13), (18, 24), (12, 50), (8, 84), (19, 87), (26, 56), (28, 42), (28, 70), (27, 92)]
    sheet.fill(mirrored(left), wool)
    sheet.fill([(27, 86), (73, 86), (73, 92), (27, 92)], rib)
    sheet.fill([(8, 79), (20.5, 82), (19, 88), (7.5, 85)], rib)
    sheet.fill([(92, 79), (79.5, 82), (81, 88), (92.5, 85)], rib)
    sheet.fill([(38, 40), (42, 44), (40, 82), (36, 82)], fold)
    sheet.fill([(60, 44), (63, 40), (64, 82), (60, 82)], fold)
    sheet.stroke([(41, 9), (45, 14), (50, 15.5), (55, 14), (59, 9)], 2.4, rib)
    sheet.stroke([(28, 42), (29, 28), (33, 13)], 0.8, rib)
    sheet.stroke([(72, 42), (71, 28), (67, 13)], 0.8, rib)


def dress(sheet: Sheet) -> None:
    cloth, fold, seam = (96, 60, 104), (76, 46, 86), (58, 32, 66)
    left = [(43, 4), (38, 5), (37, 18), (34, 27), (38, 46), (34, 70), (30, 96)]
    sheet.fill(mirrored(left), cloth)
    sheet.fill_smooth([(43, 4), (45, 13), (50, 17), (55, 13), (57, 4), (50, 2)], (255, 255, 255))
    sheet.fill([(44, 50), (47, 50), (44, 95), (39, 95)], fold)
    sheet.fill([(55, 50), (58, 50), (63, 95), (57, 95)], fold)
    sheet.stroke([(38, 46), (50, 48), (62, 46)], 1.4, seam)


def sneaker(sheet: Sheet) -> None:
    upper, panel, sole, lace = (150, 52, 48), (104, 34, 34), (196, 192, 186), (60, 22, 24)
    sheet.fill_smooth([(6, 42), (12, 35), (22, 37), (30, 43), (40, 36), (48, 39), (62, 51), (80, 57), (94, 62), (97, 68), (50, 70), (6, 68), (4, 55)], upper)
    sheet.fill_smooth([(6, 42), (12, 36), (20, 39), (24, 52), (20, 66), (6, 66), (4, 55)], panel)
    sheet.fill_smooth([(80, 57.5), (93, 62), (96, 67), (76, 68)], panel)
    sheet.fill([(4, 66), (97, 66), (98, 70), (94, 74), (6, 74), (4, 72)], sole)
    for x, y in [(43, 41), (48, 44.5), (53, 48.5), (58, 52)]:
        sheet.stroke([(x, y), (x - 5, y + 6)], 1.6, lace)
    sheet.stroke([(30, 62), (42, 54), (56, 63)], 2.4, sole)


def sandal(sheet: Sheet) -> None:
    strap, sole = (70, 44, 30), (112, 80, 56)
    sheet.fill([(8, 80), (14, 52), (18, 46), (24, 50), (52, 66), (92, 74), (95, 79), (60, 80), (30, 68), (19, 60), (13, 81)], sole)
    sheet.stroke([(17, 47), (13, 36), (20, 28), (33, 30), (40, 40)], 2.6, strap)
    sheet.stroke([(20, 48), (32, 34), (42, 36)], 2.2, strap)
    sheet.stroke([(60, 70), (68, 57), (80, 60), (88, 73)], 4.0, strap)
    sheet.stroke([(70, 72), (76, 60)], 2.6, strap)


def bag(sheet: Sheet) -> None:
    leather, shade, trim, metal = (124, 88, 56), (100, 68, 42), (66, 44, 28), (206, 190, 140)
    sheet.stroke([(32, 44), (34, 24), (50, 15), (66, 24), (68, 44)], 4.0, trim)
    sheet.fill([(12, 42), (88, 42), (93, 84), (90, 88), (10, 88), (7, 84)], leather)
    sheet.fill([(12, 42), (88, 42), (89.5, 56), (50, 64), (10.5, 56)], shade)
    sheet.stroke([(10.5, 56), (30, 60), (50, 64), (70, 60), (89.5, 56)], 1.2, trim)
    sheet.fill([(46, 59), (54, 59), (54, 68), (46, 68)], metal)
    sheet.stroke([(10, 86), (50, 87), (90, 86)], 1.4, trim)


def ankle_boot(sheet: Sheet) -> None:
    leather, shade, sole = (64, 50, 44), (46, 34, 30), (24, 20, 18)
    sheet.fill_smooth([(18, 12), (34, 14), (50, 12), (51, 30), (54, 46), (70, 58), (88, 66), (95, 76), (94, 83), (50, 84), (14, 83), (15, 60), (19, 40)], leather)
    sheet.fill([(10, 82), (96, 82), (96, 86), (44, 87), (38, 87), (36, 95), (12, 95)], sole)
    sheet.fill_smooth([(32, 18), (40, 18), (41, 34), (38, 44), (33, 34)], shade)
    sheet.stroke([(19, 40), (22, 60), (34, 70), (38, 82)], 1.2, shade)
    sheet.stroke([(54, 46), (60, 58), (76, 66)], 1.2, shade)
    sheet.stroke([(18, 15), (34, 17), (50, 15)], 1.4, shade)


def coat(sheet: Sheet) -> None:
    cloth, lapel, zip_color = (40, 42, 60), (60, 60, 80), (150, 150, 160)
    left = [(42, 4), (31, 7), (23, 16), (18, 46), (15, 86), (24, 88), (29, 52), (30, 40), (29, 70), (28, 96)]
    sheet.fill(mirrored(left), cloth)
    sheet.fill([(40, 4), (50, 34), (60, 4), (54, 3), (50, 10), (46, 3)], lapel)
    sheet.stroke([(50, 10), (50, 60), (50, 95)], 2.4, zip_color)
    sheet.fill([(29, 42), (30.5, 42), (29.5, 94), (28, 94)], zip_color)
    sheet.fill([(71, 42), (69.5, 42), (70.5, 94), (72, 94)], zip_color)


GARMENTS = {
    "t-shirt": tshirt,
    "trouser": trouser,
    "pullover": pullover,
    "dress": dress,
    "coat": coat,
    "sandal": sandal,
    "sneaker": sneaker,
    "bag": bag,
    "ankle-boot": ankle_boot,
}

# Kept with a transparent ground, to show that the preprocessing composites over white.
TRANSPARENT = {"bag"}


def draw(name: str) -> Image.Image:
    """The drawing of one garment, by the name of its file."""
    sheet = Sheet(CLEAR if name in TRANSPARENT else WHITE)
    GARMENTS[name](sheet)
    return sheet.finish()
