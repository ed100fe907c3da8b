"""What houses of the toy city can be like: styles as data, and the draw of one facade's measures from
them.
"""

from dataclasses import dataclass

from deepibl.toycity.dice import Dice


@dataclass(frozen=True)
class Style:
    """Ranges (low, high) in metres or counts, and choices, from which a facade is drawn."""

    width: tuple[float, float]
    storeys: tuple[int, int]
    ground: tuple[float, float]
    floor: tuple[float, float]
    materials: tuple[str, ...]
    roofs: tuple[str, ...]
    windows: tuple[str, ...]
    grounds: tuple[str, ...]
    balconies: float


STYLES = {
    "classic": Style(
        (10, 19), (3, 5), (4.0, 5.0), (3.2, 3.8),
        ("plaster", "plaster", "stone"), ("mansard", "pitched", "flat"),
        ("framed", "pediment", "arched", "french"), ("shops", "arches", "rustic", "rustic"), 0.5,
    ),
    "brick": Style(
        (8, 16), (3, 5), (3.6, 4.4), (3.0, 3.4),
        ("brick",), ("flat", "pitched", "mansard"),
        ("segment", "plain", "arched", "pair"), ("shops", "windows", "arches"), 0.35,
    ),
    "terrace": Style(
        (5.2, 7.2), (2, 3), (3.0, 3.3), (2.8, 3.1),
        ("brick", "brick", "plaster"), ("pitched", "gable", "flat"),
        ("segment", "plain", "bay"), ("doorway",), 0.05,
    ),
    "modern": Style(
        (14, 28), (4, 8), (3.8, 4.6), (2.9, 3.3),
        ("panels", "tiles", "concrete", "render"), ("flat",),
        ("strip", "plain", "grid", "wide"), ("lobby", "shops", "garage"), 0.6,
    ),
    "old": Style(
        (6, 11), (2, 4), (3.0, 3.6), (2.6, 3.0),
        ("plaster", "timber", "stone", "boards"), ("gable", "stepped", "pitched", "mansard"),
        ("shutters", "plain", "framed"), ("shops", "windows", "doorway"), 0.15,
    ),
    "works": Style(
        (14, 26), (1, 3), (4.5, 6.0), (3.8, 4.6),
        ("brick", "concrete", "boards"), ("flat", "sawtooth"),
        ("factory", "segment", "grid"), ("garage", "lobby", "windows"), 0.0,
    ),
}  # fmt: skip

VILLA = Style(
    (8.5, 12), (1, 2), (2.9, 3.2), (2.6, 2.9),
    ("plaster", "boards", "brick", "render"), ("villa",),
    ("plain", "shutters", "pair"), ("doorway",), 0.2,
)  # fmt: skip

QUARTERS = {
    "old town": ("old", "old", "classic", "brick"),
    "boulevards": ("classic", "classic", "classic", "modern"),
    "brick town": ("brick", "terrace", "brick", "works"),
    "terraces": ("terrace", "terrace", "terrace", "brick"),
    "new town": ("modern", "modern", "works", "brick"),
    "mixed": ("classic", "brick", "modern", "old", "terrace", "works"),
}


@dataclass(frozen=True)
class Facade:
    """The measures of one facade; all that is drawn on it follows from its keys.

    Attributes:
        keys: name the facade; colours, curtains, signs, dirt.
        plan: name its layout; neighbours in a terrace share it.
        style: key of `STYLES`, or "villa".
        width, ground, floor: metres; `ground` is the height of the ground floor, `floor` of each one above.
        storeys: number of storeys, the ground floor included.
    """

    keys: tuple[int | str, ...]
    plan: tuple[int | str, ...]
    style: str
    width: float
    storeys: int
    ground: float
    floor: float
    material: str
    roof: str
    window: str
    base: str

    @property
    def wall(self) -> float:
        """Height of the wall below the roof, metres."""
        return self.ground + (self.storeys - 1) * self.floor

    @property
    def top(self) -> float:
        """Height of what stands above the wall in the plane of the facade, metres."""
        gable = min(max(0.5 * self.width, 2.0), 5.0)
        tops = {"flat": 0.7, "mansard": 3.0, "gable": gable, "stepped": gable + 0.4, "sawtooth": 2.0}
        return tops.get(self.roof, 0.35)

    @property
    def height(self) -> float:
        return self.wall + self.top


def draw_facade(
    style: str, keys: tuple[int | str, ...], plan: tuple[int | str, ...], width: float | None = None
) -> Facade:
    """A facade of that style; `plan` decides its measures, `keys` only names it."""
    data = VILLA if style == "villa" else STYLES[style]
    dice = Dice("measures", *plan)
    own_width = dice.uniform(*data.width)
    return Facade(
        keys=keys,
        plan=plan,
        style=style,
        width=own_width if width is None else width,
        storeys=dice.whole(*data.storeys),
        ground=dice.uniform(*data.ground),
        floor=dice.uniform(*data.floor),
        material=dice.pick(data.materials),
        roof=dice.pick(data.roofs),
        window=dice.pick(data.windows),
        base=dice.pick(data.grounds),
    )
