"""Static encoders: texts become vectors, the pooled rows of their tokens.

``files`` finds what an encoder consists of, and by which library's ``rules`` it pools; ``tokenizer_facts``
reads what those need to know of a tokenizer. ``engines`` are the packages that cut texts; ``choice`` takes a
fast one only where it was seen to cut as `tokenizers` does, on the texts of ``corpus``, and ``verdicts``
remembers that. ``counting`` says which of the tokens count, ``whole`` what stands around
them.
"""

from .choice import EngineChoice
from .encoder import Encoder
from .opening import encoder_of, load_encoder

__all__ = ["Encoder", "EngineChoice", "encoder_of", "load_encoder"]
