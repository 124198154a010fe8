"""What rows and texts together come to. It works on plain data, so that what is judged can be made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from ...core.progress import Report, part_of, silent
from .partners import Partners, find_partners
from .profile import Evidence, Predicted, ranks
from .rows import Gather, Rows, load_rows
from .score import Score
from .search import LEAST_Z, Candidate, find_maps
from .segments import Run, Segmentation, cut, worst_run
from .structure import LEARNED, RANDOM, Structure
from .surface import surfaces

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

#: Less than this is not evidence.
_MIN_STRONG, _MIN_ALIKE, _MIN_ROWS, _MIN_COLUMNS = 30, 300, 100, 8
#: Nats against the stated order that no run of a table in order reaches, by far.
_NO_DOUBT = 15.0
#: What a run needs to be called misplaced: nats, and tokens with evidence.
_SHIFTED_NATS, _MISPLACED_NATS, _MISPLACED_TOKENS = 30.0, 25.0, 12
#: Ids around one by which it is called in place: permuted windows of this size are found in trials.
_WINDOW = 64
#: Mean ranks lie this many deviations below chance where a run still agrees with the stated order a little.
_STILL_AGREES = -3.5
#: With fewer first ranks than this, what single tokens say is too little to judge blocks by.
_LEAST_FIRST_RATE = 0.25
_LEAST_AGREEMENT = 0.1
#: The largest effect, in deviations a pair, that may hide in a z before rows are called unrelated.
_HIDDEN_EFFECT = 0.2
#: Pairs that separate a weak signal from none, where no other order was found.
_MOST_PAIRS = 30_000


class Verdict(Enum):
    """What the rows say about the stated order."""

    ORDERED = "ordered"
    MISPLACED = "misplaced"
    UNRELATED = "unrelated"
    NO_SIGNAL = "no signal"


@dataclass(frozen=True)
class Misplaced:
    """Ids whose rows are not where they should be.

    Attributes
    ----------
    run : Run
        Which, and where their rows are, if that is known.
    certain : bool
        Whether the evidence is strong; weak evidence is worth a note.
    """

    run: Run
    certain: bool


@dataclass
class Judgement:
    """What the rows say.

    Attributes
    ----------
    verdict : Verdict
    reason : str
        Why there is no signal, ``""`` otherwise.
    z : float
        How many standard errors the rows of like spellings are closer than those of random pairs.
    first_rate : float
        Share of tokens whose row agrees with their partners best of the 65 rows around, among those in place.
    misplaced : list of Misplaced
        In order of id.
    map_name : str or None
        What was done to the rows as a whole, where it is not a shift.
    rows_of : int64, shape (tokens,), or None
        The row of each token then.
    random_runs : list of Run
        Ids whose rows look like random numbers.
    in_place : bool, shape (tokens,)
        Ids of windows that are certainly in the stated order; none where anything is not.
    """

    verdict: Verdict
    reason: str = ""
    z: float = 0.0
    first_rate: float = 0.0
    misplaced: list[Misplaced] = field(default_factory=list)
    map_name: str | None = None
    rows_of: Ints | None = None
    random_runs: list[Run] = field(default_factory=list)
    in_place: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def agrees_by_token(self) -> bool:
        """Whether single tokens say enough to judge blocks by."""
        return self.first_rate >= _LEAST_FIRST_RATE


def judge(
    texts: Sequence[bytes],
    types: Sequence[int],
    stored: Sequence[str],
    gather: Gather,
    shape: tuple[int, int],
    *,
    report: Report = silent,
    seed: int = 0,
) -> Judgement:
    """Judge by the rows alone whether token i belongs to row i.

    Parameters
    ----------
    texts : sequence of bytes
        What each token stands for.
    types : sequence of int
        Their `TokenType`.
    stored : sequence of str
        The texts as the file stores them, by which somebody may have sorted.
    gather : callable
        Returns the rows of an int64 array of ids, as float32 of shape (ids, columns).
    shape : (int, int)
        Rows and columns of the table.
    report : callable, optional
        Told what is being done and the share of it that is done.
    seed : int, optional
        Of the random choice of columns and pairs.
    """
    rng = np.random.default_rng(seed)
    report("comparing the spellings of tokens", 0.0)
    n = min(len(texts), shape[0])
    partners = find_partners(surfaces(texts[:n], types[:n]))
    n_alike = int(np.count_nonzero(partners.closeness))
    if len(partners.strong) < _MIN_STRONG or n_alike < _MIN_ALIKE:
        return Judgement(Verdict.NO_SIGNAL, "too few tokens are spelled alike")
    if shape[1] < _MIN_COLUMNS:
        return Judgement(Verdict.NO_SIGNAL, "rows have too few columns")
    rows = load_rows(gather, *shape, rng, part_of(report, "reading rows"))
    if np.count_nonzero(rows.usable[:n]) < _MIN_ROWS:
        return Judgement(Verdict.NO_SIGNAL, "nearly all rows are alike, zero or not finite")
    report("comparing rows with spellings", 0.0)
    judgement = _Case(rows, partners, texts[:n], stored[:n], rng).decide()
    report("comparing rows with spellings", 1.0)
    return judgement


@dataclass
class _Case:
    """One table's rows and partners, on their way to a judgement."""

    rows: Rows
    partners: Partners
    texts: Sequence[bytes]
    stored: Sequence[str]
    rng: np.random.Generator

    def decide(self) -> Judgement:
        identity = np.arange(len(self.texts))
        score = Score(self.rows, self.partners.strong, len(identity), self.rng)
        z = score.of(identity)
        if z < LEAST_Z:
            return self._out_of_order(score, z)
        rank = ranks(Predicted(self.rows, self.partners, identity), 0)
        evidence = Evidence(self.partners)
        evidence.learn(rank)
        if worst_run(evidence.of(rank)) < _NO_DOUBT:
            result = Judgement(Verdict.ORDERED, z=z, first_rate=float((rank[~np.isnan(rank)] < 0.5).mean()))
            result.in_place = self._in_place(rank, result)
            return result
        return self._weigh(cut(self.rows, self.partners, identity), z)

    def _out_of_order(self, score: Score, z: float) -> Judgement:
        """Judge a table that does not agree with the stated order as a whole."""
        for candidate in find_maps(score, self.rows, self.texts, self.stored):
            if candidate.in_shifts:
                weighed = self._weigh(cut(self.rows, self.partners, candidate.rows_of), z)
                if any(place.run.shift and place.certain for place in weighed.misplaced):
                    return weighed
            elif self._agrees(candidate):
                return Judgement(Verdict.MISPLACED, z=z, map_name=candidate.name, rows_of=candidate.rows_of)
        z_of_all = score.of(np.arange(len(self.texts)), score.within(0, len(self.texts), _MOST_PAIRS))
        if z_of_all >= LEAST_Z:
            return self._weigh(cut(self.rows, self.partners, np.arange(len(self.texts))), z_of_all)
        share = Structure(self.rows, self.rng).learned_share(np.flatnonzero(self.rows.usable))
        n_pairs = len(score.pairs)
        if share >= LEARNED and (z + 3) < _HIDDEN_EFFECT * np.sqrt(n_pairs):
            return Judgement(Verdict.UNRELATED, z=z)
        reason = (
            "rows look like random numbers, as before training"
            if share < RANDOM
            else "like spellings do not show in these rows, and neither does another order"
        )
        return Judgement(Verdict.NO_SIGNAL, reason, z=z)

    def _agrees(self, candidate: Candidate) -> bool:
        """Return whether a map of the whole table holds for most of it, token by token."""
        order = candidate.rows_of
        moved = Rows(
            self.rows.values[order], self.rows.usable[order], self.rows.blank[order], self.rows.clumped[order]
        )
        cutting = cut(moved, self.partners, np.arange(len(order)))
        held = sum(
            run.last - run.first + 1 for run in cutting.runs if run.shift == 0 and run.nats >= _SHIFTED_NATS
        )
        telling = cutting.rank[~np.isnan(cutting.rank)]
        return held > len(order) / 2 and bool((telling < 0.5).mean() >= _LEAST_AGREEMENT)

    def _weigh(self, segmentation: Segmentation, z: float) -> Judgement:
        """Turn runs into what is certain, what is worth a note, and rows that are merely random."""
        result = Judgement(Verdict.ORDERED, z=z, first_rate=segmentation.first_rate)
        structure = Structure(self.rows, self.rng)
        for run in segmentation.runs:
            ids = np.arange(run.first, run.last + 1)
            if run.shift == 0:
                continue
            if run.shift is not None:
                result.misplaced.append(Misplaced(run, run.nats >= _SHIFTED_NATS))
            elif run.nats < _NO_DOUBT / 2:
                continue
            elif structure.learned_share(ids) < LEARNED or structure.at_one_point(ids):
                result.random_runs.append(run)
            else:
                result.misplaced.append(Misplaced(run, self._is_certain(run, segmentation)))
        if any(place.certain for place in result.misplaced):
            result.verdict = Verdict.MISPLACED
        else:
            result.in_place = self._in_place(segmentation.rank, result)
        return result

    def _in_place(self, rank: Floats, judged: Judgement) -> Bools:
        """Return the ids in the middle of windows whose tokens speak for the stated order beyond doubt."""
        nothing = np.zeros(len(rank), np.bool_)
        if not judged.agrees_by_token:
            return nothing
        evidence = Evidence(self.partners)
        evidence.learn(rank)
        total = np.concatenate([[0.0], np.cumsum(evidence.of(rank))])
        ids = np.arange(len(rank))
        first = np.clip(ids - _WINDOW // 2, 0, max(len(rank) - _WINDOW, 0))
        nats = total[np.minimum(first + _WINDOW, len(rank))] - total[first]
        in_place: Bools = nats >= _SHIFTED_NATS
        in_place &= self.rows.usable[: len(rank)]
        for run in (*(place.run for place in judged.misplaced), *judged.random_runs):
            in_place[run.first : run.last + 1] = False
        return in_place

    def _is_certain(self, run: Run, segmentation: Segmentation) -> bool:
        """Return whether a run's rows are certainly not its tokens'.

        Rows in order may agree with like spellings less than in the rest of a table, but they do agree:
        under a wrong order all ranks are equally likely.
        """
        rank = segmentation.rank[run.first : run.last + 1]
        rank = rank[~np.isnan(rank)]
        # Of ranks 0 to 64, equally likely: mean 32, variance (65 ** 2 - 1) / 12.
        deviations = (rank.mean() - 32) / np.sqrt(352 / len(rank)) if len(rank) else 0.0
        return bool(
            run.nats >= _MISPLACED_NATS
            and run.n_telling >= _MISPLACED_TOKENS
            and deviations > _STILL_AGREES
            and segmentation.first_rate >= _LEAST_FIRST_RATE
        )
