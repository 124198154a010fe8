"""What a payload of a stranger may claim, checked before anything of that size is made. Needs no torch."""

from __future__ import annotations

import io
import zipfile


def check_archive(data: bytes) -> None:
    """Raise ValueError if a zip file's parts take more than the file itself.

    ``torch.save`` stores parts as they are: compressed, two kilobytes could become gigabytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            n_bytes = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"the payload is a damaged zip file: {error}") from None
    if n_bytes > len(data):
        raise ValueError(
            f"the payload's parts take {n_bytes} bytes and the payload {len(data)}: expected parts that are "
            "stored as torch.save stores them"
        )


def check_extent(shape: tuple[int, ...], item_bytes: int, stored_bytes: int) -> None:
    """Raise ValueError if a tensor has more elements than are stored for it: its strides repeat some."""
    n_bytes = item_bytes
    for n in shape:
        n_bytes *= n
    if n_bytes > stored_bytes:
        raise ValueError(
            f"the payload holds {stored_bytes} bytes for a tensor of shape {shape}, which takes {n_bytes}: "
            "its strides repeat elements; save tensor.contiguous()"
        )
