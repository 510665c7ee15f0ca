"""Draw panels of the dashboards: ``python docker/grafana/picture.py http://127.0.0.1:9090 --minutes 6``.

What is drawn are the panels' own queries, asked of a Prometheus, as in docs/dashboards.png.
"""

import argparse
import itertools
import json
import math
import re
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MinuteLocator, date2num
from matplotlib.figure import Figure

DASHBOARDS = Path(__file__).with_name("dashboards")
FIGURES = {
    "overview": ["Requests", "Latency, p95", "Images"],
    "distillation": ["Progress", "Pace", "Fréchet distance"],
}
PANELS = {
    "overview": [
        "Images by model and steps",
        "Latency of pictures",
        "Mean time of a request, by stage",
        "Requests by route",
        "Batch sizes",
        "Share of the device's best",
    ],
    "distillation": ["Loss", "Fréchet distance by round", "Iterations"],
}
RATE_WINDOW, STEP_S = "20s", 5
COLOURS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#fade2a"]
STYLE = {
    "figure.facecolor": "#111217",
    "axes.facecolor": "#181b1f",
    "axes.edgecolor": "#2c3037",
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8,
    "grid.color": "#2c3037",
    "legend.frameon": False,
    "text.color": "#ccccdc",
    "xtick.color": "#9d9fa8",
    "ytick.color": "#9d9fa8",
}
SIGNS = {"s": " s", "percentunit": " %", "bytes": " B", "short": "", "": ""}


class Source:
    """A Prometheus, and the span that is drawn."""

    def __init__(self, url: str, minutes: float, ago: float) -> None:
        self.url, self.end = url.rstrip("/"), time.time() - 60 * ago
        self.start = self.end - 60 * minutes

    def series(self, expression: str) -> list[tuple[dict[str, str], list[float], list[float]]]:
        """Labels, times (matplotlib's days) and values of what a panel's query gives."""
        for name, value in {"$__rate_interval": RATE_WINDOW, "$model": ".*", "$instance": ".*"}.items():
            expression = expression.replace(name, value)
        span = {"query": expression, "start": self.start, "end": self.end, "step": STEP_S}
        with urllib.request.urlopen(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(span)}") as answer:  # noqa: S310
            found = json.load(answer)["data"]["result"]
        return [
            (
                one["metric"],
                [day(at) for at, _ in one["values"]],
                [float(value) for _, value in one["values"]],
            )
            for one in found
        ]


def day(at: float) -> float:
    """A Unix time as matplotlib counts it."""
    return float(date2num(datetime.fromtimestamp(at, UTC)))


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    """What the legend calls a series."""
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), target["legendFormat"])


def unit(panel: dict[str, Any]) -> tuple[str, float]:
    """How a panel's values end, and by what they are multiplied."""
    name = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    sign = {"reqps": " req/s", "imgs/s": " images/s", "it/s": " it/s"}.get(name, SIGNS.get(name, ""))
    return sign, 100 if name == "percentunit" else 1


def draw_figure(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    """The last value of each series as a large number."""
    sign, factor = unit(panel)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
    found = [
        (legend(target, labels), v) for target in panel["targets"] for labels, _, v in source.series(target["expr"])
    ]
    for number, (name, values) in enumerate(found):
        x = (number + 0.5) / len(found)
        last = [value for value in values if math.isfinite(value)][-1] * factor
        axes.text(x, 0.55, f"{last:.3g}{sign}", ha="center", va="center", fontsize=11, color=COLOURS[0], weight="bold")
        axes.text(x, 0.14, name, ha="center", va="center", fontsize=7)


def draw_lines(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    """Each series as a line; as areas on each other, where the panel stacks."""
    sign, factor = unit(panel)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    found = [
        (legend(target, labels), t, v) for target in panel["targets"] for labels, t, v in source.series(target["expr"])
    ]
    found = [(name, times, [value * factor for value in values]) for name, times, values in found]
    if custom.get("stacking", {}).get("mode") == "normal":
        times = max((times for _, times, _ in found), key=len)
        heights = [[dict(zip(t, v, strict=True)).get(at, 0.0) for at in times] for _, t, v in found]
        cleaned = [[value if math.isfinite(value) else 0.0 for value in line] for line in heights]
        axes.stackplot(times, cleaned, labels=[name for name, _, _ in found], alpha=0.7)
    else:
        for name, times, values in found:
            axes.plot(times, values, label=name, linewidth=1.4, marker="." if len(times) < 3 else "")
            axes.fill_between(times, values, alpha=0.07)
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])[1:]:
        axes.axhline(step["value"] * factor, color=COLOURS[4], linestyle="--", linewidth=1)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    finish(axes, panel, source, sign)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncol=min(4, max(1, len(found))), fontsize=7, columnspacing=1
    )


def draw_heat(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    """How often each bucket was hit, over time."""
    (target,) = panel["targets"]
    found = source.series(target["expr"])
    buckets = sorted(found, key=lambda one: float(one[0]["le"]))
    times = buckets[-1][1]
    upto = [[dict(zip(t, v, strict=True)).get(at, 0.0) for at in times] for _, t, v in buckets]
    counts = [
        upto[0],
        *([b - a for a, b in zip(low, high, strict=True)] for low, high in itertools.pairwise(upto)),
    ]
    used = [number for number, line in enumerate(counts) if any(value > 0 for value in line)]
    counts = counts[used[0] : used[-1] + 1]
    axes.pcolormesh(times, range(len(counts)), counts, cmap="Blues_r", shading="nearest")
    names = [f"{float(labels['le']):g}" for labels, _, _ in buckets[used[0] : used[-1] + 1]]
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    finish(axes, panel, source, " images")


def finish(axes: Axes, panel: dict[str, Any], source: Source, sign: str) -> None:
    """Title, unit, and times of the day."""
    axes.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
    axes.set_title(sign.strip(), loc="right", fontsize=8, color="#9d9fa8")
    axes.set_xlim(day(source.start), day(source.end))
    axes.xaxis.set_major_locator(MinuteLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.tick_params(length=0)


def draw(source: Source) -> Figure:
    """Figures in the first row, panels in the rows below."""
    boards = {name: json.loads((DASHBOARDS / f"{name}.json").read_text()) for name in PANELS}
    panels = {(name, panel["title"]): panel for name, board in boards.items() for panel in board["panels"]}
    figure = plt.figure(figsize=(13.5, 11))
    sides = {"left": 0.05, "right": 0.985}
    small = [(name, title) for name, titles in FIGURES.items() for title in titles]
    tiles = figure.add_gridspec(1, len(small), bottom=0.905, top=0.965, wspace=0.12, **sides)
    for number, key in enumerate(small):
        draw_figure(figure.add_subplot(tiles[number]), panels[key], source)
    large = [(name, title) for name, titles in PANELS.items() for title in titles]
    grid = figure.add_gridspec(math.ceil(len(large) / 3), 3, bottom=0.05, top=0.86, hspace=0.45, wspace=0.18, **sides)
    for number, key in enumerate(large):
        paint = draw_heat if panels[key]["type"] == "heatmap" else draw_lines
        paint(figure.add_subplot(grid[divmod(number, 3)]), panels[key], source)
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw panels of the dashboards, from a Prometheus")
    parser.add_argument("url", help="of Prometheus")
    parser.add_argument("--minutes", type=float, default=6, help="how far back to look")
    parser.add_argument("--ago", type=float, default=0, help="minutes since the end of what to look at")
    parser.add_argument("--out", type=Path, default=Path("docs/dashboards.png"))
    options = parser.parse_args()
    with mpl.rc_context(cast("Any", STYLE)):
        draw(Source(options.url, options.minutes, options.ago)).savefig(options.out, dpi=85)
