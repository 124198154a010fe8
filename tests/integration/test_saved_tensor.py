"""Payloads of vectors without torch: what it wrote is read, what is written has its form."""

from __future__ import annotations

import base64
import io
import pickle
import random
import sys
import zipfile
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.integrations.prompt_embeds import decode_rows, encode

VALUES = np.array([[1.5, -2, 0], [0.25, 3, -0.0]], np.float32)
# What torch 2.13 saved of VALUES in each dtype, compressed.
GOLDEN = {
    "float32": (
        "eNqlVL9v00AUPtuNE4yUtiwtlajE1CAgdRzHqUE0lYW8eCBNBYpYLNc5gls37tmXIJCQKiEq8S8w8G+wdkDqiGBmY4EysDJy"
        "Z1PXvlKXH0+yzj/e973vnb93XUuYAqBSAadiBlwCTug+9iZweeBgp7677ZtGFTzMxR7v4oBk1e0x9vxIskO4Ofb8gY3hKApC"
        "e6JICNRq/TJhjEimM4SISyCS6QcO3kheSojvcyRHRkJfIKu7O0ZTlohRad0CFm8J+0i0BIvbR+VXrhv4PnSxF4wi6V44gCEc"
        "3PVcLKHKtR66gJHUQxfrXatcOYw2ll4TNnp1z+x0DlxNO60/CsIdB9sTGEaE3zSuMA0z0aBl3n7/9IKK5wrLLID2SZlfe2E7"
        "vjcc7cARNo1mcaXfh6ZSAZ0n6CtPSvCFAmZBJxWw+RTDgG6dadz+l7rH4XsY+5BqeHnn82WRVBELNVTBas5Vy7Jp3PoPAQAc"
        "dAjtQcK+twrA2hq9oYq2nuNv8+RhvlDRNLieKkr/+tKfSmpKtNKHN8P75+//IlBODBA3H8HQIw545lAv297ANOp/uReNVltZ"
        "aeh6q9FYaama2pQVTW5qiqIqui4riqarerMta/E0OEfvakRHLVbJUbGpzuykzJxSzp4DLDo7AHM55FEGzcwWS5I18UKOZJ0D"
        "BZPD8mSNOJvj+ZjhSQeAhWddU83BH/CA8S6LzfpgOof9ksGe0X/29yzmwD0BnGOcriWKN45tJtxMkWVmfc8l6w8hWQku/nRY"
        "Sp6TE6wkJphynJ/k/gQ0d1f0"
    ),
    "float16": (
        "eNqlVDFv00AUPtuNk5oqbVkqOkSIKUiQ2k7iOEVQZCELyRKkQaCIxXLta7Bw4p59CYKpCFGJn8DCyk9gZWNEMHdDDJ2YkBg5"
        "29Q9X2kiypOsk+33fe97d9+7niUsAFCpgFOxAi4CJ3Kf+FO44TnYaew9DUyjCh4XYp93cUiyGvYE+0Es2RHcmfiBZ2M4jsPI"
        "nqoSAvX6oEwYY5LpDCHiMoh01wl2H2TfJMQPOJIiI2EgkNXdm6AFS8SotG0Bi7eEAyRagsUdoPIb1w2DALrYD8exdD/yYAS9"
        "O76LJVS52keLGEl9dKHRs8qV9y8vf39L2JKnd2aja+BK3mhjN4xGDranMIoJv2nUmH7ZUJI6H34cvkrUczPrrIPOSZ0/e2E7"
        "gT8cj+AYm0ZzTqm/htZKBGw9Q0c8KcHPFLAKtnIBO88xDJO9M40b56l7HIGPcQATDa9vfrskkiriTA1VcKvgqg3ZNDb/QwCh"
        "+0hoW8AA+4mKn85ivEQ+LM1UsUwdRX7U59r/ppRU/fJu+HD+/teAemKAtPkYRj5xwAsnMbPte6bR+EcRSruj6kq321YUvd3S"
        "Wk1Z1eROW5UVravpcrepa6qmd1KX3Lu9OaoTHfVUJZeIzXXSo7JySjl7D7BoegDWCsgjCs0MF0tCm3i9QLLNgRmTw/LQRlwt"
        "8HylePIBYOG0g6oF+CMeMN5lsbQPlgvYQwp7Rv/08dQK4L4A5hinZ4nitWObCddzZJlZP3PZ+kvIVoJLf30qZe/ZDVYSM0w5"
        "zc9yfwOc9Fcv"
    ),
    "bfloat16": (
        "eNqlVDFv00AUPtuNE0yVtAhRyJA5SODaTuImIJrKQl48kAaBIhbLdY5g4cY9+xIEUyREJX4EzEiMDKwVCyOCuRsSEgNiYGFB"
        "4i6m7tlVXbU8yTrZft/7vnf3vetZwgIApRI4EkvgAnBC95E3hatDBzvyzmPfNMrgQSpmvIsDkiXbE+z5kWSHcGvi+UMbw3EU"
        "hPZUkxCo1wdFUjEimc4IIi6GSIbpBw5W9bvxdwnxA46kKUgYCGR1dyZowRIxKmxawOItYReJlmBxu6j40nUD34cu9oJxJN0J"
        "hzCEw9ueiyVUutpH5zCS+ui83LOKpT8X31x6RarRp3dssyugljQrPwzCbQfbUxhGpL5pVDM9s6FSjvc/959T5VwuRxWsHXL8"
        "2wvb8b3ReBuOsWk0cmiODb1JBXSfoO88oeBzBSyDbiJg6ymGAd0307h5Ft6D8D2MfUg1vLj19YpIWMRcDWWwnnLVqmIaN/5D"
        "wF4X7AEwW9/YADOqovLtnbxIeBZzVVSYo0iO+Uz735Ao6+fXo3sn738NaIcGmDcfwdAjDnjmUCPb3tA05FOKUFtrWlvtdFqq"
        "2m419WZD0XSlQUJptRWtoet6R9NUrU1Vfvj19nKd6KjPVXJUbKKTHZOlI8qz90AWzQ7ASgr5g0FnBitbhDVxNVVkkwM5k5Ot"
        "wxpxOVXnC1MnGYAsnHVQOQW/z4OMd7NY1geVFHafwR7TP3s8tRS4L4ATjNOzRPHagc2E6wmymFk/cfH6W4hXgpv/+liI3+Mb"
        "rCDGmOI8P879C22aWjk="
    ),
}


def golden(name: str) -> bytes:
    return zlib.decompress(base64.b64decode(GOLDEN[name]))


def payload(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def expected(name: str) -> np.ndarray:
    if name == "bfloat16":
        return (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    return VALUES.astype(name)


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def archive_of(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_torch_is_not_needed() -> None:
    assert "torch" not in sys.modules or sys.modules["torch"] is not None
    with pyembed.load_model(pyembed.demo_model()) as model:
        for dtype in ("float32", "float16", "bfloat16"):
            rows = model.embed([5, 6, 7], dtype=dtype)
            back = decode_rows(encode(rows))
            assert back.dtype == rows.dtype
            np.testing.assert_array_equal(back, rows)
            np.testing.assert_array_equal(decode_rows(encode(rows[::2, 3:90:2])), rows[::2, 3:90:2])
        assert encode(rows) == encode(rows.copy()), "the same vectors are the same text"


@pytest.mark.parametrize("name", GOLDEN)
def test_what_torch_saved_is_read(name: str) -> None:
    rows = decode_rows(payload(golden(name)))
    np.testing.assert_array_equal(rows, expected(name))
    np.testing.assert_array_equal(np.signbit(rows), np.signbit(expected(name)))
    assert rows.flags.writeable


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_written_is_what_torch_saves(name: str) -> None:
    ours, theirs = members(base64.b64decode(encode(expected(name)))), members(golden(name))
    assert set(ours) <= set(theirs)
    assert ours["archive/data/0"] == theirs["archive/data/0"]
    assert ours["archive/version"] == theirs["archive/version"]
    assert ours["archive/byteorder"] == theirs["archive/byteorder"]

    class Names(pickle.Unpickler):
        """Unpickles to what the pickle says, not to tensors."""

        def find_class(self, module: str, name: str) -> Any:
            return {"OrderedDict": OrderedDict}.get(name, lambda *args: (module, name, args))

        def persistent_load(self, identity: Any) -> Any:
            kind, storage, *rest = identity
            return kind, storage()[:2], rest

    loaded = [Names(io.BytesIO(parts["archive/data.pkl"])).load() for parts in (ours, theirs)]
    assert loaded[0] == loaded[1]


PICKLE = members(golden("float32"))["archive/data.pkl"]


def altered(name: str, data: bytes) -> bytes:
    return archive_of({**members(golden("float32")), f"archive/{name}": data})


def repickled(old: bytes, new: bytes) -> bytes:
    assert old in PICKLE
    return altered("data.pkl", PICKLE.replace(old, new))


class Evil:
    """Unpickled, this would run a command."""

    def __reduce__(self) -> Any:
        return (print, ("it was unpickled",))


REFUSED: dict[str, tuple[bytes, str]] = {
    "no zip": (b"some bytes", "not a tensor that torch.save wrote: File is not a zip file"),
    "nothing": (b"", "not a tensor that torch.save wrote"),
    "a short one": (golden("float32")[:400], "not a tensor that torch.save wrote"),
    "an old one": (pickle.dumps(Evil()), "not a tensor that torch.save wrote"),
    "compressed": (archive_of(members(golden("float32")), zipfile.ZIP_DEFLATED), "is compressed"),
    "evil": (altered("data.pkl", pickle.dumps(Evil(), 2)), "calls '__builtin__.print'"),
    "protocol 4": (altered("data.pkl", pickle.dumps(Evil(), 4)), "has the instruction b"),
    "a dict": (altered("data.pkl", pickle.dumps({"a": 1}, 2)), "has the instruction b'}', which no"),
    "a number": (altered("data.pkl", pickle.dumps(5, 2)), "does not hold a plain tensor"),
    "no pickle": (altered("data.pkl", b""), "does not hold a plain"),
    "a long pickle": (altered("data.pkl", bytes(5000)), "pickle is of 5000 bytes"),
    "no such instruction": (altered("data.pkl", b"\xff"), "the instruction"),
    "an empty stack": (altered("data.pkl", b"\x80\x02R."), "does not hold a plain tensor"),
    "an empty memo": (altered("data.pkl", b"\x80\x02h\x05."), "does not hold a plain tensor"),
    "no mark": (altered("data.pkl", b"\x80\x02t."), "does not hold a plain tensor"),
    "more behind it": (altered("data.pkl", PICKLE + b"."), "does not hold a plain"),
    "another function": (repickled(b"_rebuild_tensor_v2", b"_rebuild_sparse_x"), "calls 'torch._ut"),
    "another storage": (repickled(b"FloatStorage", b"FloatXtorage"), "names a storage that no"),
    "a storage of os": (repickled(b"torch\nFloat", b"os\nFloat"), "names a storage that no"),
    "more rows": (repickled(b"K\x02K\x03\x86", b"K\x03K\x03\x86"), "does not lie in its storage of 6"),
    "rows that overlap": (repickled(b"K\x03K\x01\x86", b"K\x00K\x00\x86"), None),  # type: ignore[dict-item]
    "an offset": (repickled(b"QK\x00", b"QK\x01"), "does not lie in its storage"),
    "a negative size": (repickled(b"K\x02K\x03\x86", b"J\xff\xff\xff\xffK\x03\x86"), "calls 'torch._ut"),
    "one axis": (repickled(b"K\x02K\x03\x86", b"K\x06\x85"), "calls|shape"),
    "a huge storage": (repickled(b"K\x06t", b"J\xff\xff\xff\x7ft"), "is of 24 bytes; expected 2147483647"),
    "no storage": (archive_of({"a/data.pkl": PICKLE}), "is of 0 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_payloads_that_are_refused(name: str) -> None:
    data, message = REFUSED[name]
    if message is None:  # a row that is there twice is a tensor too, but a small one
        assert decode_rows(payload(data)).shape == (2, 3)
        return
    with pytest.raises(ValueError, match=message):
        decode_rows(payload(data))


def test_a_view_with_repeated_rows_that_would_be_large() -> None:
    million = b"J" + (10**6).to_bytes(4, "little")
    data = members(repickled(b"K\x03K\x01\x86", b"K\x00K\x00\x86"))
    data["archive/data.pkl"] = data["archive/data.pkl"].replace(b"K\x02K\x03\x86", 2 * million + b"\x86")
    with pytest.raises(ValueError, match="does not lie in its storage"):
        decode_rows(payload(archive_of(data)))


def test_not_base64() -> None:
    with pytest.raises(ValueError, match="is not base64"):
        decode_rows("not base64!")


def test_another_dtype() -> None:
    data = repickled(b"FloatStorage", b"DoubleStorage")
    with pytest.raises(TypeError, match=r"dtype torch\.float64; expected float32, float16, bfloat16"):
        decode_rows(payload(data))


def test_the_other_byte_order() -> None:
    data = members(golden("float32"))
    data["archive/byteorder"] = b"big"
    data["archive/data/0"] = VALUES.astype(">f4").tobytes()
    rows = decode_rows(payload(archive_of(data)))
    assert rows.dtype.isnative
    np.testing.assert_array_equal(rows, VALUES)


@pytest.mark.parametrize("where", ["archive", "pickle"])
def test_damage_is_a_value_error(where: str) -> None:
    rng = random.Random(5)
    whole = golden("float32")
    n_read, kinds = 0, set()
    for _ in range(3000):
        data = bytearray(whole if where == "archive" else PICKLE)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        text = payload(bytes(data) if where == "archive" else altered("data.pkl", bytes(data)))
        try:
            assert decode_rows(text).ndim == 2
            n_read += 1
        except (ValueError, TypeError) as error:
            kinds.add(type(error))
    assert kinds <= {ValueError, TypeError}, "and none of zipfile's own"
    assert n_read, "damage to what nobody reads is not seen"


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.zeros(8, np.float32), ValueError, r"shape \(8,\); expected \(tokens, n_embd\)"),
        (np.zeros((1, 2, 8), np.float32), ValueError, r"shape \(1, 2, 8\)"),
        (np.zeros((0, 8), np.float32), ValueError, r"shape \(0, 8\)"),
        (np.zeros((2, 8)), TypeError, r"dtype float64; expected float32, float16, bfloat16"),
        (np.zeros((2, 8), np.int64), TypeError, r"dtype int64"),
    ],
)
def test_rows_that_are_refused(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        encode(rows)
