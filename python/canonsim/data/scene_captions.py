"""Sentences about scenes: what is there, how many, where and how far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_PLURALS = {"person": "people", "bus": "buses", "sitting person": "sitting people", "bench": "benches"}
_OTHER_WORDS = {
    "pedestrian": "person",
    "cyclist": "bicycle rider",
    "truck": "lorry",
    "motorcyclist": "motorcycle rider",
}

# Degrees to either side of straight ahead, up to which a direction has its name.
_DIRECTIONS = ((20.0, "ahead"), (60.0, "ahead on the {}"), (120.0, "on the {}"), (160.0, "behind on the {}"))


class SceneObject(NamedTuple):
    """An object of a scene: its name in the singular, and its centre, metres ahead (x) and to the left (y)."""

    name: str
    x: float
    y: float


def describe_scene(
    objects: Iterable[SceneObject], surroundings: Sequence[str] = (), *, variant: int = 0, most: int = 5
) -> str:
    """Say what is there, nearest first: "two cars ahead at 15 m, a pedestrian on the left at 6 m, among buildings".

    Objects of one name and direction are counted together; their distance is that of the nearest, in metres below
    10 m and in steps of 5 m beyond. Equal scenes and variants have equal sentences.

    Parameters
    ----------
    objects : iterable of SceneObject
    surroundings : sequence of str
        What is not counted, in the plural, such as "trees"; in this order.
    variant : int
        Which of six ways to say the same: three orders of words, with and without other words for the same things.
        Others count from the start again.
    most : int
        Groups of objects to name; further ones are left out.

    Raises
    ------
    ValueError
        If ``most`` is below 1, a name is empty, or a place is not finite.

    Examples
    --------
    >>> from canonsim.data import SceneObject, describe_scene
    >>> scene = [SceneObject("car", 16, 2), SceneObject("car", 20, -3), SceneObject("pedestrian", 0.5, 6)]
    >>> describe_scene(scene, ["trees"])
    'a pedestrian on the left at 6 m, two cars ahead at 15 m, among trees'
    >>> describe_scene(scene, ["trees"], variant=4)
    'a person 6 m away on the left, two cars 15 m away ahead, among trees'
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    groups: dict[tuple[str, str], list[float]] = {}
    for name, x, y in objects:
        if not name or not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"an object must have a name and a finite place, got {name!r} at ({x}, {y})")
        groups.setdefault((name, direction(x, y)), []).append(math.hypot(x, y))
    nearest = sorted(groups.items(), key=lambda group: (min(group[1]), group[0]))[:most]
    said = [_say(name, where, distances, variant % 6) for (name, where), distances in nearest]
    around = f"among {_listed(surroundings)}" if surroundings else ""
    if not said:
        return f"an empty road {around}".rstrip()
    return ", ".join([*said, around] if around else said)


def direction(x: float, y: float) -> str:
    """Name of the direction of a place, metres ahead and to the left.

    Examples
    --------
    >>> [direction(10, 0), direction(10, -6), direction(0, 3), direction(-5, 0)]
    ['ahead', 'ahead on the right', 'on the left', 'behind']
    """
    side = "left" if y > 0 else "right"
    degrees = math.degrees(abs(math.atan2(y, x)))
    return next((name.format(side) for edge, name in _DIRECTIONS if degrees <= edge), "behind")


def _say(name: str, where: str, distances: list[float], variant: int) -> str:
    nearest = min(distances)
    metres = max(1, round(nearest)) if nearest < 10 else 5 * round(nearest / 5)
    what = _counted(_OTHER_WORDS.get(name, name) if variant >= 3 else name, len(distances))
    forms = (f"{what} {where} at {metres} m", f"{what} {metres} m away {where}", f"{where}, at {metres} metres, {what}")
    return forms[variant % 3]


def _counted(name: str, count: int) -> str:
    if count == 1:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} {_PLURALS.get(name, name + 's')}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
