"""What the explorer's page asks of the server, on a live one."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.core.system import HOLDS_OPEN_FILES
from pyembed.serve.explorer.cloud import TRAINING, Cloud
from pyembed.serve.explorer.questions import QUESTIONS
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model
from tools.servers import Server, exploring

PAGE = Path(pyembed.__file__).parent / "serve/explorer/page"


@pytest.fixture(scope="module")
def demo() -> Any:
    with pyembed.load_model(pyembed.demo_model()) as model:
        yield model


def ask(server: Server, question: str, **fields: Any) -> Any:
    answer = server.post(f"/explorer/{question}", fields)
    assert answer.status == 200, answer.value
    return answer.value


# ------------------------------------------------------------------------------------------ the page


def test_every_file_of_the_page_is_served_and_nothing_else(server: Server) -> None:
    index = server.get("/")
    assert index.status == 200
    assert index.value == (PAGE / "index.html").read_bytes()
    policy = index.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in PAGE.iterdir():
        answer = server.get(f"/explorer/page/{path.name}")
        assert (answer.status, answer.value) == (200, path.read_bytes()), path.name
        again = server.get(f"/explorer/page/{path.name}", **{"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.value) == (304, b"")
    for name in ("none.js", "../routes.py", "..%2froutes.py", "%2e%2e/routes.py", "index.html/", "%00"):
        assert server.get(f"/explorer/page/{name}").status in (307, 404), name


def test_the_page_loads_nothing_from_elsewhere_and_parses_no_markup() -> None:
    for path in PAGE.iterdir():
        text = path.read_text("utf-8")
        known = {"http://www.w3.org/2000/svg"}
        assert set(re.findall(r"https?://[^\"'`\s)<]+", text)) <= known, path.name
        ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|style=\"|\son\w+=\""
        assert re.findall(ways, text) == [], path.name
        for name in re.findall(r'from "\./([\w.]+)"', text):
            assert (PAGE / name).is_file(), f"{path.name} imports {name}"


# -------------------------------------------------------------------------------------------- tokens


def test_tokens_of_a_text(server: Server, demo: pyembed.Model) -> None:
    text = "Open the file \U0001f98a"
    found = ask(server, "tokens", text=text, special=True)["tokens"]
    pieces = demo.vocabulary.pieces(text, add_special=True, parse_special=True)
    assert [(one["id"], one["start"], one["end"]) for one in found] == [
        (p.id, p.start, p.end) for p in pieces
    ]
    first, unknown = found[0], found[-2]
    assert (first["type"], first["roles"]) == ("control", ["bos", "cls"])
    assert "unk" in unknown["roles"]
    token = demo.vocabulary[found[1]["id"]]
    assert (bytes.fromhex(found[1]["bytes"]), found[1]["stored"]) == (token.bytes, token.text)


def test_search_finds_parts_words_and_ids(server: Server, demo: pyembed.Model) -> None:
    found = ask(server, "search", text="FILE", most=200)["tokens"]
    wanted = {token.id for token in demo.vocabulary if b"file" in token.bytes.lower()}
    assert {one["id"] for one in found} == wanted
    assert ask(server, "search", text="file")["tokens"][0]["id"] == demo.vocabulary.find(" file")
    assert ask(server, "search", text="#17")["tokens"][0]["id"] == 17
    for text in ("#99999999", "#" + "9" * 100, "\n", "no such text"):
        assert ask(server, "search", text=text)["tokens"] == []


def test_tokens_of_a_static_encoder_have_their_texts(server: Server, word_model: Path) -> None:
    found = ask(server, "tokens", model="words", text="The cat")["tokens"]
    assert [(one["text"], one["start"], one["end"]) for one in found] == [("the", 0, 3), ("cat", 4, 7)]
    assert ask(server, "search", model="words", text="ABLE")["tokens"][0]["stored"] == "##able"
    answer = ask(server, "nearest", model="words", word="cat", k=3)
    assert answer["of"]["text"] == "cat"
    assert all(one["text"] for one in answer["found"])
    assert ask(server, "file", model="words")["vocabulary"]["model"] == "bert"
    neighbours = server.post("/v1/nearest", {"model": "words", "input": "cat", "k": 3}).value["data"]
    assert [one["id"] for one in neighbours] == [one["id"] for one in answer["found"]]
    with pyembed.load_encoder(word_model) as encoder:
        wanted = pyembed.Geometry(encoder.table).nearest(answer["of"]["id"], 3)
    assert [one["id"] for one in neighbours] == [one.id for one in wanted]


# ---------------------------------------------------------------------------------------------- rows


def test_a_row_its_numbers_and_where_it_lies(server: Server, demo: pyembed.Model) -> None:
    row = ask(server, "row", word="file")
    values = np.frombuffer(base64.b64decode(row["values"]), "<f4")
    np.testing.assert_array_equal(values, demo.table.gather(row["id"]))
    assert row["norm"] == pytest.approx(float(np.linalg.norm(values.astype(np.float64))))
    assert row["rank"] == pytest.approx(float((demo.table.norms < np.float32(row["norm"])).mean()))
    assert row["block"] == {"weights": 32, "bytes": 34}
    (place,) = row["places"]
    with open(demo.path, "rb") as file:
        file.seek(place["offset"])
        assert file.read(place["n_bytes"]) == base64.b64decode(row["raw"])
    assert place["file"] == "demo.gguf", "the folder is nobody's business"


def test_a_row_without_a_token_that_is_not_finite(server: Server, plain_rows: Path) -> None:
    row = ask(server, "row", model="rows", id=3)
    assert (row["text"], row["type"], row["norm"], row["rank"]) == (None, "none", None, None)
    assert np.isnan(np.frombuffer(base64.b64decode(row["values"]), "<f4")[2])
    raw = plain_rows.read_bytes()
    (place,) = row["places"]
    assert raw[place["offset"] : place["offset"] + place["n_bytes"]] == base64.b64decode(row["raw"])


# ---------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_neighbours_beside_chance(server: Server, demo: pyembed.Model, metric: Any) -> None:
    answer = ask(server, "nearest", word="file", k=7, metric=metric)
    wanted = demo.nearest("file", 7, metric)
    assert [(one["id"], one[metric]) for one in answer["found"]] == [(one.id, one.score) for one in wanted]
    query = demo.table.gather(answer["of"]["id"])
    for one in answer["found"] + answer["random"]:
        row = demo.table.gather(one["id"]).astype(np.float64)
        assert one["dot"] == pytest.approx(float(row @ query), rel=1e-5, abs=1e-6)
    assert len({one["id"] for one in answer["random"]}) == 4
    baseline = demo.geometry.baseline("file", metric)
    assert answer["baseline"] == pytest.approx(baseline._asdict())


def test_sums_and_similarities(server: Server, demo: pyembed.Model) -> None:
    answer = ask(server, "sum", sum="files - file + directory", k=3)
    wanted = demo.analogy(["files", "directory"], ["file"], 3)
    assert [one["id"] for one in answer["found"]] == [one.id for one in wanted]
    assert [one["text"] for one in answer["negative"]] == ["file"]
    scores = ask(server, "similarity", ids=[5, 6, 7])["scores"]
    np.testing.assert_allclose(scores, demo.geometry.similarities([5, 6, 7]))


def test_pairs_of_words(server: Server, demo: pyembed.Model) -> None:
    answer = ask(server, "pairs", pairs=[["file", "files"], ["file", "no-such-word"]])["pairs"]
    assert answer[0]["cosine"] == pytest.approx(demo.similarity("file", "files"))
    assert (answer[1]["words"], answer[1]["cosine"]) == (["file", "no-such-word"], None)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_maps_are_those_of_plot(server: Server, demo: pyembed.Model, method: str) -> None:
    pytest.importorskip("sklearn")
    plot = pytest.importorskip("pyembed.plot")
    groups = [
        {"name": "things", "words": ["file", "string", "no-such-word"]},
        {"name": "acts", "words": ["open"]},
    ]
    answer = ask(server, "map", groups=groups, near=["class"], k=4, method=method, seed=3)
    assert answer["unknown"] == ["no-such-word"]
    ids = [one["id"] for one in answer["points"]]
    flat, axes = plot.flatten(demo.table.gather(ids), method, 3)
    np.testing.assert_allclose([(one["x"], one["y"]) for one in answer["points"]], flat, atol=1e-9)
    assert tuple(answer["axes"]) == axes
    centre = [one for one in answer["points"] if one["centre"]]
    assert [one["text"] for one in centre] == ["class"]
    assert {one["group"] for one in answer["points"]} == {"things", "acts", "near class"}


# ----------------------------------------------------------------------------------------- all tokens


def cloud_of(data: bytes) -> dict[str, Any]:
    (size,) = struct.unpack_from("<I", data)
    head: dict[str, Any] = json.loads(data[4 : 4 + size])
    at = 4 + size
    assert at % 4 == 0
    for name in head["arrays"]:
        kind = "<f4" if name in ("x", "y", "norm") else "u1"
        head[name] = np.frombuffer(data, kind, head["n"], at)
        at += head[name].nbytes
    assert at == len(data)
    return head


@pytest.mark.parametrize("method", ["pca", "random"])
def test_all_tokens(server: Server, demo: pyembed.Model, method: str) -> None:
    cloud = cloud_of(server.get(f"/explorer/cloud?method={method}").value)
    assert cloud["n"] == len(demo.table)
    np.testing.assert_allclose(cloud["norm"], demo.table.norms, rtol=1e-5)
    types = [cloud["types"][code] for code in cloud["type"]]
    assert types[:200] == [token.type.name.lower().replace("_", " ") for token in demo.vocabulary[:200]]
    file = demo.vocabulary.find(" file")
    assert cloud["scripts"][cloud["script"][file]] == "Latin"
    np.testing.assert_array_equal(np.isfinite(cloud["x"]), demo.table.norms > 0)


def test_all_rows_without_tokens(server: Server) -> None:
    cloud = cloud_of(server.get("/explorer/cloud?model=rows").value)
    assert {cloud["types"][code] for code in cloud["type"]} == {"no token"}
    assert "Too few rows" in cloud["no_untrained"]
    assert np.flatnonzero(np.isnan(cloud["x"])).tolist() == [3]


def test_rows_that_look_untrained(tmp_path: Path) -> None:
    rows = rows_of_floats(300, 32)
    rows[:20] = 0.01 + 0.001 * rows[:20]
    rows[77] = 0.01 + 0.001 * rows[77]
    tokens = [f"<unused{i}>" if i < 20 else f"token{i}" for i in range(300)]
    path = write_model(tmp_path / "m.gguf", model="gpt2", tokens=tokens, tensors={TOKEN_TABLE: rows})
    with pyembed.load_model(path, validate="off") as model:
        facts = Cloud(model.table, model.vocabulary).facts()
    assert np.flatnonzero(facts.training == TRAINING.index("known unused")).tolist() == list(range(20))
    assert np.flatnonzero(facts.training == TRAINING.index("looks untrained")).tolist() == [77]


def test_parquet_opens_as_columns(server: Server) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    answer = server.get("/explorer/tokens.parquet?model=demo&method=random")
    table = parquet.read_table(io.BytesIO(answer.value))
    cloud = cloud_of(server.get("/explorer/cloud?method=random").value)
    ids = table["id"].to_numpy()
    np.testing.assert_array_equal(table["projection_x"].to_numpy(), cloud["x"][ids])
    assert set(range(cloud["n"])) - set(ids.tolist()) == set(np.flatnonzero(np.isnan(cloud["x"])).tolist())
    assert table["training"].to_pylist()[0] in cloud["training_names"]
    assert table["text"].to_pylist()[ids.tolist().index(178)] == "▁files"
    rows = parquet.read_table(io.BytesIO(server.get("/explorer/tokens.parquet?model=rows").value))
    assert rows["id"].to_pylist() == [0, 1, 2, 4, 5, 6, 7, 8, 9], "a row that is not finite has no place"


# ------------------------------------------------------------------------------------------- the file


def test_the_file(server: Server, demo: pyembed.Model) -> None:
    facts = ask(server, "file")
    assert (facts["rows"], facts["columns"], facts["type"]) == (*demo.table.shape, "Q8_0")
    assert facts["n_bytes"] == demo.table.n_bytes
    assert {one["type"]: one["n_bytes"] for one in facts["sizes"]}["F16"] == 2 * facts["rows"] * facts[
        "columns"
    ]
    assert [one["name"] for one in facts["published"]["models"]][:2] == ["GPT-2", "Gemma 3 270M"]
    report = ask(server, "validation", level="full")
    wanted = demo.validate("full")
    assert (report["ok"], len(report["findings"])) == (wanted.ok, len(wanted.findings))
    assert ask(server, "file", model="rows")["validates"] is False


def test_whether_tables_are_tied_is_seen_by_bytes(tmp_path: Path) -> None:
    from pyembed.serve.explorer.file_facts import tied_facts

    rows = rows_of_floats(8, 32)
    other = rows.copy()
    other[7, 31] += 1
    for name, output, wanted in (("absent", None, "absent"), ("same", rows, "bytes"), ("other", other, "no")):
        tensors = {TOKEN_TABLE: rows} | ({} if output is None else {"output.weight": output})
        path = write_model(tmp_path / f"{name}.gguf", tensors=tensors)
        with pyembed.load_model(path, validate="off") as model:
            assert tied_facts(model) == {"tied": wanted}


# ---------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("question", "fields", "status", "words"),
    [
        ("row", {"id": 5286}, 404, "not a row"),
        ("row", {"id": -1}, 400, "expected 0"),
        ("row", {"id": 10**400}, 400, "too large"),
        ("row", {"id": True}, 400, "whole number"),
        ("row", {"word": "no-such-word"}, 404, "not a single token"),
        ("row", {"word": "x" * 201}, 400, "at most 200"),
        ("row", {"word": "file", "model": "rows"}, 422, "write ids"),
        ("row", {"id": 1, "model": "../demo"}, 404, "no model"),
        ("row", {"id": 1, "model": 7}, 400, "not a string"),
        ("nearest", {"word": "file", "k": 101}, 400, "1 to 100"),
        ("nearest", {"word": "file", "metric": []}, 400, "one of cosine, dot"),
        ("nearest", {"id": 3, "model": "rows"}, 400, "not finite"),
        ("sum", {"sum": "file -"}, 400, "does not end"),
        ("similarity", {"ids": [1, 10**30]}, 404, "not a row"),
        ("similarity", {"ids": list(range(97))}, 400, "at most 96"),
        ("similarity", {"ids": [1.5]}, 400, "whole numbers"),
        ("tokens", {"text": "a" * 20_001}, 400, "at most 20000"),
        ("tokens", {"text": "\ud800"}, 400, "surrogate"),
        ("tokens", {"text": "file", "model": "rows"}, 422, "no vocabulary"),
        ("map", {"groups": [{"name": "a", "words": "file"}]}, 400, "list of words"),
        ("map", {"near": ["file"], "method": "umap"}, 400, "tsne, pca"),
        ("map", {"groups": []}, 400, "3 to 500"),
        ("pairs", {"pairs": [["file"]]}, 400, "two words"),
        ("pairs", {"pairs": ["ab"]}, 400, "list of words"),
        ("pairs", {"pairs": []}, 400, "1 to 64"),
        ("names", {"ids": [[]]}, 400, "whole numbers"),
        ("validation", {"model": "rows"}, 400, "GGUF"),
    ],
)
def test_bad_requests_are_answered_in_words(
    server: Server, question: str, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = server.post(f"/explorer/{question}", fields)
    assert answer.status == status, answer.value
    assert words in answer.value["error"]
    assert "/" not in answer.value["error"].replace("../demo", ""), "no path of the server's"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"1" * 5000, b"[" * 100_000, b'{"id": NaN}'])
def test_bodies_that_are_no_question(server: Server, body: bytes) -> None:
    for question in QUESTIONS:
        if body == b'{"id": NaN}' and question not in ("row", "nearest"):
            continue
        answer = server.post(f"/explorer/{question}", body)
        assert answer.status == 400, (question, answer.value)


def test_other_sites_cannot_ask(server: Server) -> None:
    answer = server.ask("POST", "/explorer/row", b'{"id": 1}', {"Content-Type": "text/plain"})
    assert answer.status in (400, 415)
    assert server.get("/explorer/row").status == 405
    assert server.get("/explorer/cloud?method=umap").status == 400


# ---------------------------------------------------------------------------------- files of strangers


def test_texts_of_a_file_come_out_harmless_and_broken_models_are_shown(tmp_path: Path) -> None:
    evil = ["<img src=x onerror=alert(1)>", "\x1b[31mred", "\u202eabc", b"\xff\xfe", "a\nb", "plain"]
    path = tmp_path / "evil.gguf"
    write_model(
        path, model="gpt2", tokens=evil, types=[1] * 6, tensors={TOKEN_TABLE: rows_of_floats(5, 32)}
    )  # a row is missing: an error of the validation
    with pytest.raises(pyembed.PyembedError):
        pyembed.load_model(path).close()
    with exploring(path) as server:
        names = ask(server, "names", ids=list(range(5)))["tokens"]
        for one in names:
            assert (one["text"] + one["stored"]).isprintable()
        assert names[0]["text"] == evil[0], "markup is text: the page never parses it"
        assert names[3]["text"] == "\\xff\\xfe"
        assert not ask(server, "validation")["ok"]
        assert ask(server, "search", text="b")["tokens"]


def test_a_huge_table_is_looked_at_by_some_of_its_rows(tmp_path: Path) -> None:
    """Four times as many rows as are read as a whole, in a sparse file, within a budget if there are any."""
    n, path = 1 << 24, tmp_path / "huge.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (n, 16)})
        begin = file.tell()
        file.write(np.arange(1, 17, dtype=np.float16).tobytes())
        file.truncate(begin + n * 32)
    budget = [] if HOLDS_OPEN_FILES else ["--memory-budget", "64MiB"]  # Windows unmaps no single pages
    with exploring(f"huge={path}", *budget) as server:
        assert ask(server, "prepare", model="huge") == {"n_rows": n}
        row = ask(server, "row", model="huge", id=n - 1)
        assert (row["norm"], row["rank"]) == (0, 0)
        first = ask(server, "row", model="huge", id=0)
        assert 0.99 < first["rank"] < 1
        assert first["ranked"] < n / 100
        refused = server.get("/explorer/cloud?model=huge&method=pca")
        assert refused.status == 400
        assert b"16,777,216 rows; a map shows up to 4,194,304" in json.dumps(refused.value).encode()
