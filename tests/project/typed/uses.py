"""How programs use the package: mypy must complain of exactly the lines that end in `# wrong`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import pyembed

Floats = npt.NDArray[np.float32]
model = pyembed.load_model("m.gguf", load_mode="mmap", validate="off")
table = pyembed.open_table("m.npy", dtype=np.dtype(">f4"), shape=(2, 2))

# What comes back has a type, and `out` its own.
rows: Floats = model.embed([[1, 2], [3, 4]])
rows = table.gather(np.arange(3), dtype="float32")
rows = table[[1, 2]]
text: str = model.embed(1)  # wrong
halves: npt.NDArray[np.float16] = model.embed(range(5), dtype="float16")
halves = model.embed([1], out=halves)
rows = model.embed([1], out=halves)  # wrong
logits: Floats = model.logits(rows)
buffer: memoryview = table.gather(1, out=memoryview(b""))
inputs: npt.NDArray[np.uint16] = model.embeddings_for("llama.cpp", (1, 2), dtype="bfloat16")

# Ids are whole numbers.
model.embed("file")  # wrong
model.embed(["file", "open"])  # wrong
model.embed(1.5)  # wrong
table.gather("file")  # wrong
table.gather([np.arange(2), np.arange(2)])
model.embed_padded([[1], [2, 3]], padding_side="left")
model.embed_padded(np.arange(n) for n in (3, 5))
model.embed_padded(["file"])  # wrong
model.input_embeddings("file")  # wrong

# Names are known.
pyembed.load_model("m.gguf", load_mode="mmapp")  # wrong
pyembed.load_model("m.gguf", validate="nope")  # wrong
pyembed.load_model("m.gguf", validate="full")
pyembed.validate("m.gguf", level="nope")  # wrong
model.validate("off")  # wrong
model.embed([1], dtype="float")  # wrong
model.embed([1], dtype=np.float16)
pyembed.open_table("m.bin", shape=(2, 2), dtype="float30")  # wrong
model.embed_padded([[1]], padding_side="middle")  # wrong
model.embeddings_for("lama.cpp", [1])  # wrong
model.nearest("file", metric="euclid")  # wrong
model.nearest("file", 5, "dot")
table.scores(rows, "cos")  # wrong
table.top(rows, 3, metric="cosine", exclude=[1])

# Names of hashed rows, and what a sequence remembers.
ngram = pyembed.open_ngram("m.gguf")
history = ngram.history(max_rewind=8)
history.advance([1, 2])
names: npt.NDArray[np.int64] = ngram.rows([1, 2], history=history)
names = ngram.rows(np.arange(4), offsets=[0, 1, 4], history=[None, history], layer=1)
names = ngram.rows("file")  # wrong
names = ngram.rows([1], history=[1])  # wrong
names = model.ngram.rows([1])  # wrong
history.advance("file")  # wrong
