"""Keep what ``make bench`` measured as a release's record, and draw the README's chart from the newest one.

Usage: ``python -m tools.chart [--check] [BENCH.json]``.  A file is put into ``docs/benchmarks`` under the
version of pyembed that it measured.  With ``--check`` nothing is written, and the exit code is 1 if the
pictures are not as drawn.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "benchmarks"
PICTURES = ROOT / "docs" / "pictures"
OURS = "pyembed"

WIDTH, LABELS, BAR, GAP, GROUP_GAP, TOP = 720, 230, 16, 6, 26, 20
VALUES = 100  # beside the longest bar


@dataclass(frozen=True)
class Colours:
    """What a picture is drawn in."""

    text: str
    faint: str
    ours: str
    peers: str


THEMES = {
    "light": Colours(text="#1f2328", faint="#59636e", ours="#00796b", peers="#aab2bb"),
    "dark": Colours(text="#f0f6fc", faint="#9198a1", ours="#26a69a", peers="#59636e"),
}


@dataclass(frozen=True)
class Group:
    """One task, with what each took for it in the same run."""

    title: str
    unit: str
    took: dict[str, float]


def sections_of(record: Any) -> dict[str, Any]:
    """Return the data of each section, measured with the first back end of those in the record."""
    found: dict[str, Any] = {}
    for section in record["sections"]:
        found.setdefault(section["section"], section["data"])
    return found


def groups(record: Any) -> Iterator[Group]:
    """Yield what the chart shows, of what the record holds: a peer that was missing is left out."""
    sections = sections_of(record)
    for file in sections.get("open", {"files": []})["files"]:
        took = {who: rival["ms"]["median"] for who, rival in file["rivals"].items()}
        kind = "Gemma 4's vocabulary" if file["file"] == "Gemma 4" else "a made-up vocabulary"
        yield Group(f"open {kind} of {file['tokens']:,} tokens", "ms", took)
    for kind in sections.get("hot", {"types": []})["types"]:
        if kind["type"] in ("Q4_K", "Q6_K", "IQ2_XXS"):
            took = {OURS: kind["us a row"]["median"], "ggml": _median(kind["ggml us a row"])}
            yield Group(f"decode a cached row of 4096, {kind['type']}", "us", took)
    for count in sections.get("half", {"counts": []})["counts"]:
        if count["rows"] == 8192:
            took = {OURS: "gather(ids, out=out)", "NumPy": "out[...] = T[ids]"}
            took["torch"] = "out.copy_(F.embedding(ids, T))"
            us = {who: _median(count["us a row"].get(call)) for who, call in took.items()}
            yield Group("a row of 8,192 random ones, F16 to float32", "us", us)
    scan = sections.get("scan", {"peers": []})
    there = [peer for peer in scan["peers"] if "ms" in peer]
    if there:
        took = {OURS: there[0]["ours ms"]["median"]} | {peer["peer"]: peer["ms"]["median"] for peer in there}
        yield Group(f"the best 10 of {scan['table rows']:,} rows of F16", "ms", took)


def _median(spread: Any) -> float:
    return float(spread["median"]) if spread else 0.0


def shown_groups(record: Any) -> list[Group]:
    """Return the groups in which somebody is there to compare with."""
    kept = [
        Group(one.title, one.unit, {who: t for who, t in one.took.items() if t > 0}) for one in groups(record)
    ]
    return [group for group in kept if len(group.took) > 1]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(
    x: float, y: float, text: str, fill: str, *, size: int = 13, anchor: str = "start", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    where = f'x="{x:g}" y="{y:g}" fill="{fill}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {where}{weight}>{html.escape(text)}</text>"


def draw(record: Any, colours: Colours) -> str:
    """Return the chart as SVG: a group a task, each with a scale of its own."""
    parts, y = [], TOP
    for group in shown_groups(record):
        parts.append(_text(0, y, group.title, colours.text, bold=True))
        y += 8
        longest = max(group.took.values())
        for who, took in group.took.items():
            length = max(2.0, (WIDTH - LABELS - VALUES) * took / longest)
            ours = who == OURS
            fill, ink = (colours.ours, colours.text) if ours else (colours.peers, colours.faint)
            parts.append(_text(LABELS - 10, y + BAR - 4, who, ink, anchor="end", bold=ours))
            parts.append(
                f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{fill}"/>'
            )
            parts.append(
                _text(LABELS + length + 6, y + BAR - 4, f"{_figure(took)} {group.unit}", ink, size=12)
            )
            y += BAR + GAP
        y += GROUP_GAP - GAP
    machine = record["machine"]
    note = f"{machine['processor']}, {machine['isa']}, one thread, {machine['date'][:10]}; shorter is better"
    parts.append(_text(0, y - 4, note, colours.faint, size=11))
    font = "font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\""
    size = f'viewBox="0 0 {WIDTH} {y + 6}" width="{WIDTH}" height="{y + 6}"'
    title = "<title>How long pyembed takes, and others in the same run</title>"
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {font}>', title, *parts, "</svg>", ""]
    )


def newest() -> Path:
    """Return the record of the last version."""
    return max(RECORDS.glob("*.json"), key=lambda path: tuple(map(int, path.stem.split("."))))


def keep(measured: Path) -> Path:
    """Put what was measured into the records, under the version that was measured."""
    record = json.loads(measured.read_text("utf-8"))
    RECORDS.mkdir(exist_ok=True)
    kept = RECORDS / f"{record['machine']['pyembed']}.json"
    kept.write_text(json.dumps(record, separators=(",", ":")) + "\n", "utf-8")
    return kept


def pictures() -> dict[Path, str]:
    """Return the pictures of the newest record."""
    record = json.loads(newest().read_text("utf-8"))
    return {PICTURES / f"benchmark-{theme}.svg": draw(record, colours) for theme, colours in THEMES.items()}


def main() -> int:
    """Write the pictures, or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Keep a benchmark's record, and draw the README's chart.")
    parser.add_argument(
        "measured", nargs="?", type=Path, help="what make bench wrote; default: keep the records"
    )
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args()
    if options.measured:
        print(f"kept as {keep(options.measured)}")
    drawn = pictures()
    if options.check:
        wrong = [path.name for path, text in drawn.items() if path.read_text("utf-8") != text]
        print(f"not as drawn from {newest().name}: {', '.join(wrong)}" if wrong else "as drawn")
        return 1 if wrong else 0
    PICTURES.mkdir(exist_ok=True)
    for path, text in drawn.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
