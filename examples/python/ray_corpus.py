"""The vectors of the texts of Parquet files on a Ray cluster, as Parquet.

On this machine:         python ray_corpus.py MODEL DOCS OUT
On a cluster, from here: ray job submit --address http://HEAD:8265 --working-dir . -- \
                             python ray_corpus.py /shared/MODEL /shared/DOCS /shared/OUT

MODEL, DOCS (a folder of files, or one) and OUT are paths that every node has, and every node has pyembed with
the extra "ray". What was interrupted is continued when it is started again.
"""

import argparse

import ray

from pyembed.integrations.ray import encode_corpus

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("docs")
parser.add_argument("out")
parser.add_argument("--text", default="text")
arguments = parser.parse_args()

ray.init()  # in a job: the cluster that runs it
done = encode_corpus(
    arguments.model, arguments.docs, arguments.out, text=arguments.text, max_errors=None, resume=True
)
print(f"{done.rows} rows in {len(done.parts)} parts in {arguments.out}, {done.failed} failed")
