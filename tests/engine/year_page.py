"""One year of the docs: its script, and the page and the picture that are made of it."""

import html
from datetime import datetime, timedelta
from itertools import pairwise

from troubles import Trouble
from year import NEWER, Year
from year_world import CHAIN, PROTECTED, START, World

WIDTH, LEFT, LANE, TOP = 980, 60, 46, 60
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#72b7b2", "#e45756")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class AYear(Year):
    """The year of the docs: each kind of event once, in an order that could be."""

    def live(self) -> World:
        """Let it happen."""
        self.train_on_schedule(None)
        self._after(days=20)
        self.push("better data", None)
        self.approve(0, None)
        self._after(days=24)
        self.push("better data, whose model fails under load", None)
        self._after(days=2)
        self.push("better data", None)
        self.approve(0, None)
        self.monitor_runs(NEWER, None)
        self.approve(0, None)
        self._after(days=4)
        self.push("better data", None)
        self.approve(0, Trouble("killed", 16))
        self.run_again(-1, None)
        self._after(days=9)
        self.roll_back(PROTECTED, None, Trouble("lost", 16))
        self._after(days=30)
        self.push("better data", None)
        self.refuse(0, expired=True)
        self.monitor_runs("no drift", None)
        self.deliver_by_hand(PROTECTED, 2, "--pin", "right", None)
        self._after(days=12)
        self.push("better data", None)
        self.approve(0, None)
        self._after(days=9)
        self.deliver_by_hand(PROTECTED, 0, "--unpin", "right", None)
        self._after(days=9)
        self.push("better data", None)
        self.two_at_once([True, False] * 20, "rollback")
        self._after(days=25)
        self.push("better data, whose model is damaged on its way", None)
        self._after(days=6)
        self.tear_down(1, None)
        self._after(days=24)
        self.push("other code", None)
        self._after(days=26)
        self.teardown()
        return self.world

    def _after(self, days: int) -> None:
        self.people.time += timedelta(days=days)


def page(world: World) -> str:
    """Return the story as a list in Markdown."""
    lines = []
    for number, told in enumerate(world.story, 1):
        sentence, _, state = told.partition("\n")
        lines.append(f"{number}. {sentence}\n   `{state.strip()}`")
    return "\n".join(lines)


def picture(world: World) -> str:
    """Return which version serves where, and the events above it by their numbers, as SVG."""
    end = START + timedelta(days=360)
    height = TOP + LANE * len(CHAIN) + 20
    shapes = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" '
        f'viewBox="0 0 {WIDTH} {height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for month, name in enumerate(MONTHS, 1):
        x = _x(START.replace(month=month, day=max(1, START.day if month == 1 else 1)), end)
        shapes += [
            f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height - 20}" stroke="#ddd"/>',
            f'<text x="{x + 2}" y="{height - 6}" fill="#666">{name}</text>',
        ]
    for row, environment in enumerate(CHAIN):
        y = TOP + LANE * row
        shapes.append(f'<text x="4" y="{y + 19}">{environment}</text>')
        served = [(START, "10"), *((time, version) for time, where, version in world.history if where == environment)]
        for (time, version), (until, _) in pairwise([*served, (end, "")]):
            if version and until > time:
                x, right = _x(time, end), _x(until, end)
                colour = COLOURS[int(version) % len(COLOURS)]
                shapes.append(f'<rect x="{x}" y="{y}" width="{right - x:.1f}" height="28" fill="{colour}" rx="3"/>')
                if right - x > 24:
                    shapes.append(f'<text x="{x + 5}" y="{y + 19}" fill="white">v{version}</text>')
    for number, (moment, told) in enumerate(zip(world.moments, world.story, strict=True), 1):
        x, y = _x(moment, end), 16 + 22 * (number % 2)
        title = html.escape(told.partition("\n")[0])
        shapes += [
            f'<g><title>{title}</title><circle cx="{x}" cy="{y - 4}" r="9" fill="#333"/>',
            f'<text x="{x}" y="{y}" fill="white" font-size="10" text-anchor="middle">{number}</text></g>',
        ]
    return "\n".join([*shapes, "</svg>", ""])


def _x(moment: datetime, end: datetime) -> float:
    return round(LEFT + (WIDTH - LEFT - 10) * ((moment - START) / (end - START)), 1)
