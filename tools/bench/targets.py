"""What the figures are meant to reach, and whether they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from .measure import Json
from .sections import half, hot, opening, serving
from .sections.call import INDEXING
from .sections.names import OWN as ROWS
from .show import Table, number
from .tables import QUANTISED

MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured here"

#: Types that unpack so simply that they should come at the speed of a copy.
SIMPLE = (
    *("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4"),
)

#: Formats of rows in parts, likewise.
IN_PARTS = ("FP8", "NVFP4", "MXFP4", "MLX 4 bits")


@dataclass(frozen=True)
class Target:
    """One target: what is asked, whether it is reached, and the figures that say so."""

    asked: str
    verdict: str
    figures: str = ""


def targets(sections: list[Json]) -> list[Target]:
    """Compare every target with the sections that were measured."""
    found: list[Target] = []
    hot_runs = [section["data"] for section in sections if section["section"] == "hot"]
    for isa in [data["isa"] for data in hot_runs] or [""]:
        data = next((data for data in hot_runs if data["isa"] == isa), None)
        found += _portable(data) if data and isa == "portable" else _hot(data, isa)
    parts_runs = [section["data"] for section in sections if section["section"] == "parts"]
    for data in [data for data in parts_runs if data["isa"] != "portable"] or [None]:
        found += _parts(data)
    memory_runs = [section["data"] for section in sections if section["section"] == "memory"]
    found += [_memory(data) for data in memory_runs or [None]]
    found += _half(_one(sections, "half"))
    found += _call(_one(sections, "call"))
    found.append(_threads(_one(sections, "threads")))
    found += _scan(_one(sections, "scan"))
    found.append(_names(_one(sections, "names")))
    found += _serve(_one(sections, "serve"))
    found += _opening(_one(sections, "open"))
    found += _cold(_one(sections, "cold"))
    return found


def _one(sections: list[Json], name: str) -> Json | None:
    return next((section["data"] for section in sections if section["section"] == name), None)


def _least(asked: str, ratios: dict[str, Json | None], least: float) -> Target:
    """Judge ratios by name, each of which should be at least `least`; None is one without a rival."""
    values = {name: figure["median"] for name, figure in ratios.items() if figure is not None}
    if not values:
        return Target(asked, NOT_MEASURED)
    below = sorted((value, name) for name, value in values.items() if value < least)
    worst = below or sorted((value, name) for name, value in values.items())[:1]
    what = "below it: " if below else "least: "
    figures = what + ", ".join(f"{name} {number(value)}" for value, name in worst)
    unknown = [name for name, figure in ratios.items() if figure is None]
    if unknown:
        figures += f"; no rival for {', '.join(unknown)}"
    return Target(asked, NOT_MET if below else MET, figures)


def _pick(data: Json, names: tuple[str, ...], key: str) -> dict[str, Json | None]:
    return {kind["type"]: kind[key] for kind in data["types"] if kind["type"] in names}


def _hot(data: Json | None, isa: str) -> Iterator[Target]:
    label = f"hot rows{', ' * bool(isa)}{isa}: "
    others = tuple(name for name in QUANTISED if name not in SIMPLE)
    asked: list[tuple[str, tuple[str, ...], str, float]] = [
        ("quantised types at least 3x ggml", QUANTISED, "against ggml", 3.0),
        ("F16, BF16 at least ggml's SIMD conversion", ("F16", "BF16"), "against ggml", 1.0),
        ("simple types at least 0.8 of a float32 copy", SIMPLE, "against copy", 0.8),
        ("other quantised types at least 0.4 of a float32 copy", others, "against copy", 0.4),
    ]
    for text, names, key, least in asked:
        target = _least(label + text, {} if data is None else _pick(data, names, key), least)
        if data is not None and key == "against ggml" and target.verdict == NOT_MET:
            target = replace(target, figures=f"{target.figures}{_copies(data, names, least)}")
        yield target
    mean = None if data is None else hot.geometric_mean(data)
    text = label + "geometric mean of quantised types at least 8x ggml"
    if mean is None:
        yield Target(text, NOT_MEASURED)
    else:
        yield Target(text, MET if mean >= 8 else NOT_MET, number(mean))


def _copies(data: Json, names: tuple[str, ...], least: float) -> str:
    """Name the types where even a plain copy of the output is less than `least` times as fast as ggml."""
    copies = {
        kind["type"]: kind["against ggml"]["median"] / kind["against copy"]["median"]
        for kind in data["types"]
        if kind["type"] in names and kind["against ggml"] is not None
    }
    bound = sorted((value, name) for name, value in copies.items() if value < least)
    what = ", ".join(f"{name} {number(value)}" for value, name in bound)
    return f"; a float32 copy is below it too: {what}" if bound else ""


def _portable(data: Json) -> Iterator[Target]:
    ratios = {
        kind["type"]: kind["against ggml"] for kind in data["types"] if kind["against ggml"] is not None
    }
    yield _least("hot rows, portable: at least ggml's speed, every type", ratios, 1.0)


def _parts(data: Json | None) -> Iterator[Target]:
    isa = f", {data['isa']}" if data else ""
    label = f"rows of 4096 in parts{isa}: "
    kinds = data["widths"][0]["kinds"] if data else []
    for text, key, least in (
        ("at least 0.8 of a float32 copy", "against copy", 0.8),
        ("at least 5x torch", "against torch", 5.0),
    ):
        ratios = {kind["kind"]: kind[key] for kind in kinds if kind["kind"] in IN_PARTS}
        yield _least(f"{label}FP8, NVFP4, MXFP4, MLX's 4 bits {text}", ratios, least)


def _memory(data: Json | None) -> Target:
    isa = f", {data['isa']}" if data else ""
    asked = f"rows from memory{isa}: at least 0.9 of the limit, every type"
    target = _least(asked, {k["type"]: k["of the limit"] for k in data["types"]} if data else {}, 0.9)
    if data and data["no room"]:
        return Target(
            target.asked, target.verdict, f"{target.figures}; no room for {', '.join(data['no room'])}"
        )
    return target


def _half(data: Json | None) -> Iterator[Target]:
    for kind, what, bounds in (
        ("into out", "`out` preallocated", {half.NUMPY: 8.0, half.TORCH: 4.0}),
        ("own memory", "each its own output", {half.NUMPY: 3.0, half.TORCH: 2.0}),
    ):
        for peer, least in bounds.items():
            asked = f"F16, {what}, 512 and 8192 rows: at least {least:g}x {peer}"
            if not data or "counts" not in data:
                yield Target(asked, NOT_MEASURED)
                continue
            counts = {f"{c['rows']} rows": c[kind][peer] for c in data["counts"] if c["rows"] >= 512}
            if None in counts.values():
                yield Target(asked, NOT_MEASURED, "that peer is missing")
                continue
            target = _least(asked, counts, least)
            figures = ", ".join(
                f"{name} {number(figure['median'])}" for name, figure in counts.items() if figure
            )
            yield Target(asked, target.verdict, figures)


def _call(data: Json | None) -> Iterator[Target]:
    for columns in (64, 4096) if data is None else [width["columns"] for width in data["widths"]]:
        asked = f"one row of {columns} into `out` no slower than NumPy's {INDEXING}"
        if data is None:
            yield Target(asked, NOT_MEASURED)
            continue
        width = next(width for width in data["widths"] if width["columns"] == columns)
        ratio = width["ratio"][INDEXING]["median"]
        own, theirs = next(iter(width["us"].values()))["median"], width["us"][INDEXING]["median"]
        figures = f"{number(ratio)}x: {number(own)} us against {number(theirs)}"
        yield Target(asked, MET if ratio >= 1 else NOT_MET, figures)


def _threads(data: Json | None) -> Target:
    asked = "two threads, quantised types from memory: at least 1.6x one, or 0.9 of the limit of two"
    if not data or "types" not in data:
        return Target(asked, NOT_MEASURED, data.get("skipped", "") if data else "")
    kinds = [kind for kind in data["types"] if kind["type"] in QUANTISED]
    short = [
        kind
        for kind in kinds
        if kind["two against one"]["median"] < 1.6 and kind["of the limit of two"]["median"] < 0.9
    ]
    shown = short or sorted(kinds, key=lambda kind: float(kind["two against one"]["median"]))[:1]
    figures = ", ".join(
        f"{kind['type']} {number(kind['two against one']['median'])}x, "
        f"{number(kind['of the limit of two']['median'])} of the limit"
        for kind in shown
    )
    figures = f"{'below it' if short else 'least'}: {figures}; pure computation "
    figures += f"{number(data['pure computation']['median'])}x"
    return Target(asked, NOT_MET if short else MET, figures)


def _scan(data: Json | None) -> Iterator[Target]:
    types = {kind["type"]: kind for kind in data["types"]} if data else {}
    for names, least in ((("F16", "Q8_0"), 0.9), (("Q4_0", "Q4_K", "Q6_K"), 0.6)):
        asked = f"one query, one thread, {', '.join(names)}: at least {least} of reading the bytes"
        yield _least(asked, {name: types[name]["of the read"] for name in names if name in types}, least)
    asked = "64 queries at least 8x cheaper than one by one"
    yield _least(asked, {name: kind["cheaper"] for name, kind in types.items()}, 8.0)
    asked = "one query, F16, one thread: faster than NumPy float32 and faiss"
    rivals = {peer["peer"]: peer.get("against") for peer in data["peers"]} if data else {}
    yield _least(asked, rivals, 1.0)


def _names(data: Json | None) -> Target:
    millions = {scheme["scheme"]: scheme["millions"][ROWS] for scheme in data["schemes"]} if data else {}
    return _least("names of hashed rows: at least 150 million a second and thread", millions, 150.0)


def _serve(data: Json | None) -> Iterator[Target]:
    cases = data["cases"] if data else {}
    for what, least in ((serving.TOGETHER, 5.0), (serving.SINGLE, 1.0)):
        case = cases.get(what, {}).get(serving.OURS)
        ratios = {name: case[name] for name in serving.RATIOS} if case else {}
        yield _least(f"over HTTP, {what}: at least {least:g}x FastAPI with model2vec", ratios, least)


def _opening(data: Json | None) -> Iterator[Target]:
    file = data["files"][0] if data else None
    name = f" ({file['file']})" if file else ""
    for peer, least in ((opening.GGUF_PY, 1000.0), (opening.LLAMA, 50.0)):
        rival = file["rivals"].get(peer) if file else None
        asked = f"opening 262,144 tokens{name}: at least {least:g}x {peer}"
        yield _least(asked, {peer: rival["against"]} if rival else {}, least)
    limits: list[tuple[str, float, Callable[[Json], float]]] = [
        ("under 20 ms", 20.0, lambda file: float(file["rivals"][opening.OURS]["ms"]["median"])),
        (
            "under 10 MB of memory",
            10.0,
            lambda file: float(file["rivals"][opening.OURS]["memory"]["VmRSS"] / 1e6),
        ),
    ]
    for text, most, value in limits:
        asked = f"opening 262,144 tokens{name}: {text}"
        if not file or "VmRSS" not in file["rivals"][opening.OURS]["memory"]:
            yield Target(asked, NOT_MEASURED)
        else:
            yield Target(asked, MET if value(file) < most else NOT_MET, number(value(file)))


def _cold(data: Json | None) -> Iterator[Target]:
    known = data if data and "gathers" in data else None
    for key, least, what in (
        ("of the same", 0.9, "fio's buffered reads"),
        ("of the best", 0.8, "fio's best mechanism"),
    ):
        ratios = {f"{c['rows']} x {c['row bytes']} B": c[key] for c in known["gathers"]} if known else {}
        yield _least(f"rows not in memory: at least {least} of {what}", ratios, least)
    ratios = {f"{c['rows']} x {c['row bytes']} B": c["of before"] for c in known["warm"]} if known else {}
    yield _least("rows in memory: at least 0.97 of a mapping that is locked", ratios, 0.97)
    hidden = known["hidden"] if known else None
    for asked, value, most in (
        ("decoding, asked 2 ms ahead: waiting below 0.05 of reading", hidden and hidden["waiting"], 0.05),
        ("prefill: at most 1.1 of reading and computing", hidden and hidden["prefill"]["median"], 1.1),
    ):
        if value is None:
            yield Target(asked, NOT_MEASURED)
        else:
            yield Target(asked, MET if value <= most else NOT_MET, number(value))


def table(found: list[Target]) -> Table:
    """Lay the targets out."""
    rows = [[target.asked, target.verdict, target.figures] for target in found]
    return Table("Targets", ["asked", "verdict", "figures"], list(rows), left=3)


def to_json(found: list[Target]) -> list[Json]:
    """Return the targets for the JSON file."""
    return [asdict(target) for target in found]
