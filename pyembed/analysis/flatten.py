"""Vectors as points of a plane, a few at a time: t-SNE and PCA."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_POINTS = 500
METHODS = ("tsne", "pca")
Floats = npt.NDArray[np.float64]


def flatten(vectors: npt.NDArray[np.float32], method: str, seed: int = 0) -> tuple[Floats, tuple[str, str]]:
    """Return points of the plane for vectors, and names for its axes.

    Directions are what counts: each vector is brought to length 1 first.

    Parameters
    ----------
    vectors : numpy.ndarray of float32, shape (n, columns)
        At least 3, at most 500.
    method : {"tsne", "pca"}
        t-SNE keeps neighbours together; sizes of groups and distances between them mean nothing. PCA shows
        the two directions in which the vectors differ most, and loses the rest.
    seed : int, optional
        Of t-SNE's random numbers.

    Raises
    ------
    ValueError
        For too few vectors, too many, one that is zero or not finite, or an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    n = len(vectors)
    if not 3 <= n <= MAX_POINTS:
        raise ValueError(f"{n} words: a map shows 3 to {MAX_POINTS}")
    units = vectors.astype(np.float64)
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("a row that is zero or not finite has no place on a map")
    units /= lengths
    if method == "pca":
        return _pca(units)
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError("t-SNE needs scikit-learn: pip install 'pyembed-gguf[plot]'") from error
    start = _pca(units)[0]
    start *= 1e-4 / (start[:, 0].std() or 1)
    perplexity = min(30.0, max(1.5, (n - 1) / 3))
    tsne = TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed)
    with threadpool_limits(1):  # few points: threads would wait for each other, and add up in any order
        return tsne.fit_transform(units.astype(np.float32)).astype(np.float64), ("", "")


def _pca(units: Floats) -> tuple[Floats, tuple[str, str]]:
    centred = units - units.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(units), 2))
    points[:, : min(2, len(s))] = (u * s)[:, :2]
    # The sign of a direction is arbitrary: the largest number is made positive, so that pictures repeat.
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    shares = 100 * s**2 / max(1e-300, float((s**2).sum()))
    shares = np.pad(shares, (0, 2))
    return points, (f"first direction, {shares[0]:.0f} % of the variance", f"second, {shares[1]:.0f} %")
