"""The vectors of a Parquet file's texts on a Ray cluster, written as Parquet.

On this machine:         python ray_corpus.py MODEL docs.parquet OUT
On a cluster, from here: ray job submit --address http://HEAD:8265 --working-dir . -- \
                             python ray_corpus.py /shared/MODEL /shared/docs.parquet /shared/OUT

MODEL, the input and OUT are paths that every node has, and every node has pyembed with the extra "ray".
"""

import argparse

import ray
import ray.data

from pyembed.integrations.ray import encode_dataset

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("input")
parser.add_argument("out")
parser.add_argument("--text", default="text")
arguments = parser.parse_args()

ray.init()  # in a job: the cluster that runs it
documents = ray.data.read_parquet(arguments.input)
encoded = encode_dataset(documents, arguments.model, text=arguments.text, errors="null")
# Vectors neither repeat nor compress: without dictionaries they are written twice as fast.
encoded.write_parquet(arguments.out, use_dictionary=[arguments.text])
print(f"{ray.data.read_parquet(arguments.out).count()} rows in {arguments.out}")
