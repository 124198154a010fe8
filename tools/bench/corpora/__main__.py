"""Measure and print: ``python -m tools.bench.corpora``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..measure import Json
from . import __doc__ as about
from . import cluster, corpus, here, peers
from .processes import child, run

_CHILDREN: dict[str, Callable[..., Json]] = {**corpus.CHILDREN, **peers.CHILDREN, **cluster.CHILDREN}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.corpora", description=about)
    parser.add_argument("--rows", type=int, default=1_000_000, help="documents; default: a million")
    parser.add_argument(
        "--peer-rows", type=int, default=1_000_000, help="rows that peers get; default: a million"
    )
    parser.add_argument(
        "--cluster-rows", type=int, default=4_000_000, help="rows on a cluster; default: 4 million"
    )
    parser.add_argument("--kills", type=int, default=10, help="how often one run is killed; default: 10")
    parser.add_argument("--folder", type=Path, help="where files are written; default: a temporary one")
    parser.add_argument("--only", default="here,killed,peers,ray", help="default: here,killed,peers,ray")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *rest = arguments.child
        print(json.dumps(_CHILDREN[name](*rest)))
        return 0
    with tempfile.TemporaryDirectory(prefix="pyembed-corpora-", dir=arguments.folder) as folder:
        home = Path(folder)
        run(child("model", home), 2)  # in a process of its own: what this one has, others would begin with
        model = home / "model2vec"
        wanted = arguments.only.split(",")
        if "here" in wanted or "killed" in wanted:
            documents = home / "corpus" / "00000.parquet"
            run(child("corpus", documents.parent, arguments.rows, 1), 2)
            here.compare(model, documents, home, arguments.rows).print()
        if "killed" in wanted:
            print(f"\n{here.killed(model, documents, home, arguments.kills)}")
        if "peers" in wanted:
            some = home / "some" / "00000.parquet"
            run(child("corpus", some.parent, arguments.peer_rows, 1), 2)
            peers.compare(model, some, home, arguments.peer_rows).print()
        if "ray" in wanted:
            files = home / "files"
            run(child("corpus", files, arguments.cluster_rows, cluster.FILES), 2)
            cluster.compare(model, files, home, arguments.cluster_rows).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
