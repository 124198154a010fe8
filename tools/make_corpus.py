"""Write the texts that tokenizers are compared on, ``pyembed/data/texts.json.xz``.

They are sentences of many languages that were written for this, and what Unicode's tables, numbers, code and
whitespace give by rule; the same every time.

Usage: ``python tools/make_corpus.py [--check]``; with ``--check`` nothing is written, and the exit code is 1 if the
file holds other texts.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import sys
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parent.parent / "pyembed" / "data" / "texts.json.xz"
SEED = 20240229

SENTENCES = (
    "The river was cold, but the children swam until the evening.",
    "She didn't know what they'd say; he's late and we're already here.",
    "Please send 3 copies (A4, 80 g/m\u00b2) to room 12-B by 14:30!",
    "Das M\u00e4dchen f\u00e4hrt \u00fcber die gro\u00dfe Br\u00fccke nach K\u00f6ln.",
    "\u00c0 la fin de l'\u00e9t\u00e9, les \u00e9l\u00e8ves n'avaient plus qu'une le\u00e7on par semaine.",
    "\u00bfD\u00f3nde est\u00e1 la biblioteca? \u00a1All\u00ed, detr\u00e1s del \u00e1rbol!",
    "Questa mattina il gatto \u00e8 rimasto sul tetto perch\u00e9 pioveva.",
    "A menina n\u00e3o comeu o p\u00e3o que estava sobre a mesa.",
    "De kinderen zagen twee zwanen op het ijs.",
    "Flickan \u00e5t sm\u00f6rg\u00e5sar vid sj\u00f6n.",
    "Poika l\u00e4hti y\u00f6ll\u00e4 mets\u00e4\u00e4n etsim\u00e4\u00e4n hevosta.",
    "\u017beglarz wr\u00f3ci\u0142 do \u0141odzi, gdy spad\u0142 \u015bnieg.",
    "P\u0159\u00edli\u0161 \u0161kared\u00e9 po\u010das\u00ed, \u0159ekla \u017eena u okna.",
    "A fi\u00fa h\u0171v\u00f6s t\u0171zn\u00e9l \u0151rizte a l\u00e1ng\u00f3t.",
    "K\u0131\u015f\u0131n \u0130stanbul'da ya\u011fmur ya\u011fd\u0131, \u00e7ocuklar \u0131sl\u0131kla \u015fark\u0131 s\u00f6yledi.",
    "C\u00f4 g\u00e1i \u0111ang \u0111\u1ecdc m\u1ed9t quy\u1ec3n s\u00e1ch c\u0169 \u1edf tr\u01b0\u1eddng.",
    "\u0421\u0442\u0430\u0440\u044b\u0439 \u043c\u0430\u0441\u0442\u0435\u0440 \u043f\u043e\u0447\u0438\u043d\u0438\u043b \u0447\u0430\u0441\u044b, \u043d\u043e \u0435\u0449\u0451 \u0436\u0434\u0430\u043b \u0434\u043e\u0436\u0434\u044f.",
    "\u0423\u043a\u0440\u0430\u0457\u043d\u0441\u044c\u043a\u0430 \u043c\u043e\u0432\u0430 \u043c\u0430\u0454 \u043b\u0456\u0442\u0435\u0440\u0438 \u0457, \u0454 \u0442\u0430 \u0491.",
    "\u039f \u03b3\u03ad\u03c1\u03bf\u03c2 \u03ae\u03c0\u03b9\u03b5 \u03c4\u03bf \u03bd\u03b5\u03c1\u03cc \u03ba\u03b1\u03b9 \u03ad\u03c6\u03c5\u03b3\u03b5 \u03c0\u03c1\u03bf\u03c2 \u03c4\u03b7 \u03b8\u03ac\u03bb\u03b1\u03c3\u03c3\u03b1.",
    "\u05d4\u05d9\u05dc\u05d3 \u05e7\u05e8\u05d0 \u05e1\u05e4\u05e8 \u05d9\u05e9\u05df \u05dc\u05d9\u05d3 \u05d4\u05d7\u05dc\u05d5\u05df. \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "\u0630\u0647\u0628 \u0627\u0644\u0648\u0644\u062f \u0625\u0644\u0649 \u0627\u0644\u0645\u062f\u0631\u0633\u0629 \u0641\u064a \u0627\u0644\u0635\u0628\u0627\u062d\u060c \u062b\u0645\u0651 \u0639\u0627\u062f.",
    "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627\u06cc \u0642\u062f\u06cc\u0645\u06cc \u0631\u0648\u06cc \u0645\u06cc\u0632 \u0628\u0648\u062f\u0646\u062f.",
    "\u0932\u0921\u093c\u0915\u0940 \u0928\u0947 \u0928\u0926\u0940 \u0915\u0947 \u0915\u093f\u0928\u093e\u0930\u0947 \u090f\u0915 \u092a\u0924\u094d\u0925\u0930 \u0926\u0947\u0916\u093e\u0964",
    "\u09ae\u09c7\u09af\u09bc\u09c7\u099f\u09bf \u09aa\u09c1\u09b0\u09cb\u09a8\u09cb \u09ac\u0987 \u09aa\u09a1\u09bc\u099b\u09c7\u0964",
    "\u0b95\u0bc1\u0bb4\u0ba8\u0bcd\u0ba4\u0bc8 \u0bae\u0bb0\u0ba4\u0bcd\u0ba4\u0bbf\u0ba9\u0bcd \u0b95\u0bc0\u0bb4\u0bcd \u0ba4\u0bc2\u0b99\u0bcd\u0b95\u0bbf\u0baf\u0ba4\u0bc1.",
    "\u0e40\u0e14\u0e47\u0e01\u0e19\u0e31\u0e48\u0e07\u0e2d\u0e48\u0e32\u0e19\u0e2b\u0e19\u0e31\u0e07\u0e2a\u0e37\u0e2d\u0e43\u0e15\u0e49\u0e15\u0e49\u0e19\u0e44\u0e21\u0e49",
    "\u10d1\u10d8\u10ed\u10db\u10d0 \u10eb\u10d5\u10d4\u10da\u10d8 \u10ec\u10d8\u10d2\u10dc\u10d8 \u10ec\u10d0\u10d8\u10d9\u10d8\u10d7\u10ee\u10d0.",
    "\u053f\u056b\u0576\u0568 \u0563\u056b\u0580\u0584 \u0567 \u056f\u0561\u0580\u0564\u0578\u0582\u0574\u0589",
    "\u8001\u4eba\u5728\u6cb3\u8fb9\u770b\u4e662024\u5e74\u7684\u62a5\u7eb8\uff0c\u5929\u6c14\u5f88\u597d\u3002",
    "\u8001\u4eba\u5728\u6cb3\u908a\u770b\u66f8\uff0c\u8aaa\uff1a\u300c\u5929\u6c23\u5f88\u597d\uff01\u300d",
    "\u5c11\u5e74\u306f\u53e4\u3044\u30ab\u30e1\u30e9\u3092\u6301\u3063\u3066\u3001\u6d77\u307e\u3067\u6b69\u3044\u305f\u3002\u30c6\u30b9\u30c8\uff11\uff12\uff13\u3002",
    "\uc544\uc774\ub294 \uac15\uac00\uc5d0\uc11c \uc791\uc740 \ub3cc\uc744 \ubcf4\uc558\ub2e4.",
    "\u178e\u17b6\u1798\u179f\u17d2\u179a\u17b8\u17a2\u17b6\u1793\u179f\u17c0\u179c\u1797\u17c5",
    "Ol\u00fa\u1ecd\u0301s\u00ec l\u1ecd s\u00ed \u1ecdj\u00e0 n\u00ed \u00e0\u00e1r\u1ecd\u0300.",
)
CODE = (
    "def area(r: float) -> float:\n    return 3.14159 * r ** 2\n",
    "for (size_t i = 0; i < n; ++i) {\n\tsum += a[i] * 0x1Fu;\n}\n",
    'if __name__ == "__main__":\n    print(f"{x!r:>10}")',
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY 1;",
    "<p class='intro'>Tom &amp; Jerry<br/></p>",
    "curl -s https://example.org/a/b?x=1&y=%20 | jq '.items[0]'",
    "#include <stdio.h>\r\nint main(void) { return 0; }\r\n",
    "\\begin{equation} e^{i\\pi} + 1 = 0 \\end{equation}",
    "let re = /^[a-z_]\\w*$/gi; // snake_case, camelCase, HTTPServer2",
    '{"key": [1, 2.5e-10, null, true], "\\u00e9": "\\n"}',
    'git commit -m "fix: don\'t retry" && git push --force-with-lease',
    "user@example.com, +49 (0)30 123-45, $HOME/.config, C:\\Users\\x",
)
EMOJI = (
    *(
        "\U0001f600",
        "\U0001f44d\U0001f3fd",
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
        "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    ),
    *(
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "\u2615\u2728",
    ),
    *("\U0001f9d1\U0001f3ff\u200d\U0001f680", "\U0001f600\U0001f600\U0001f600"),
)
#: First and last letters of scripts, one block or part of a block each.
SCRIPTS = (
    *(
        (0x61, 0x7A),
        (0xC0, 0xFF),
        (0x100, 0x17F),
        (0x180, 0x24F),
        (0x250, 0x2AF),
        (0x370, 0x3FF),
        (0x400, 0x45F),
    ),
    *((0x460, 0x52F), (0x531, 0x556), (0x5D0, 0x5EA), (0x620, 0x64A), (0x671, 0x6D3), (0x710, 0x72F)),
    *((0x780, 0x7A5), (0x7C0, 0x7EA), (0x904, 0x939), (0x985, 0x9B9), (0xA05, 0xA39), (0xA85, 0xAB9)),
    *((0xB05, 0xB39), (0xB83, 0xBB9), (0xC05, 0xC39), (0xC85, 0xCB9), (0xD05, 0xD39), (0xD85, 0xDC6)),
    *((0xE01, 0xE30), (0xE81, 0xEB0), (0xF40, 0xF6C), (0x1000, 0x102A), (0x10A0, 0x10FF), (0x1100, 0x11FF)),
    *((0x1200, 0x135A), (0x13A0, 0x13F5), (0x1401, 0x166C), (0x16A0, 0x16EA), (0x1780, 0x17B3)),
    *((0x1820, 0x1878), (0x1950, 0x1974), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2C00, 0x2C5F)),
    *((0x2C80, 0x2CEE), (0x2D30, 0x2D67), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x3105, 0x312F)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA48C), (0xA4D0, 0xA4F7), (0xA500, 0xA60C)),
    *((0xA840, 0xA871), (0xA984, 0xA9B2), (0xABC0, 0xABE2), (0xAC00, 0xD7A3), (0xFB50, 0xFBB1)),
    *((0xFF21, 0xFF5A), (0xFF66, 0xFF9D), (0x10000, 0x1000B), (0x10330, 0x1034A), (0x10400, 0x1044F)),
    *((0x10900, 0x10915), (0x11103, 0x11126), (0x12000, 0x12399), (0x13000, 0x1342E), (0x16800, 0x16A38)),
    *((0x1D400, 0x1D454), (0x1E900, 0x1E943), (0x20000, 0x2A6DF)),
)
MARKS = (
    (0x300, 0x36F),
    (0x591, 0x5BD),
    (0x64B, 0x655),
    (0x93A, 0x94D),
    (0x9BC, 0x9CD),
    (0xE31, 0xE3A),
    (0x20D0, 0x20DC),
)
SIGNS = (
    (0x21, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x60),
    (0x7B, 0x7E),
    (0xA1, 0xBF),
    (0x2010, 0x205E),
    (0x20A0, 0x20BF),
)
MORE_SIGNS = (
    (0x2100, 0x214F),
    (0x2190, 0x21FF),
    (0x2200, 0x22FF),
    (0x2500, 0x25FF),
    (0x3001, 0x301F),
    (0xFF01, 0xFF0F),
)
NUMBERS = (
    (0x30, 0x39),
    (0x660, 0x669),
    (0x966, 0x96F),
    (0xB2, 0xB3),
    (0xBC, 0xBE),
    (0x2150, 0x217F),
    (0x2460, 0x249B),
)
SPACES = (
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x85",
    "\xa0",
    "\u2003",
    "\u2028",
    "\u202f",
    "\u3000",
    "\u200b",
)
CONTRACTIONS = (
    "'s",
    "'S",
    "'t",
    "'T",
    "'re",
    "'RE",
    "'ve",
    "'m",
    "'ll",
    "'LL",
    "'d",
    "'D",
    "'x",
    "\u2019s",
    "''s",
)


def _word(rng: random.Random, block: tuple[int, int], most: int = 9) -> str:
    return "".join(chr(rng.randint(*block)) for _ in range(rng.randint(1, most)))


def _texts() -> Iterator[str]:
    rng = random.Random(SEED)
    for sentence in SENTENCES:
        yield sentence
        yield f" {sentence}"
        yield sentence.upper()
        yield sentence.replace(" ", "  ")
        words = sentence.split(" ")
        yield from words
    yield from CODE
    for code in CODE:
        yield f"    {code}"
    for emoji in EMOJI:
        yield from (emoji, f"a {emoji}b", f"{emoji} {emoji}")
    for block in SCRIPTS:
        for _ in range(9):
            first, second = _word(rng, block), _word(rng, block)
            yield rng.choice(["{} {}", "{}{}", "{}, {}.", " {}\n{}", "x{} 1{}", "{}-{}"]).format(
                first, second
            )
        yield _word(rng, block, 5) + _word(rng, rng.choice(MARKS), 2) + _word(rng, block, 3)
    for block in (*MARKS, *SIGNS, *MORE_SIGNS, *NUMBERS):
        for _ in range(9):
            sign = _word(rng, block, 3)
            yield rng.choice(["{0}", "a{0}", "{0}a", " {0} ", "a {0}b", "1{0}2", "{0}\n"]).format(sign)
    for n in (*range(1, 20), 25, 40, 64, 127):
        digits = "".join(rng.choice("0123456789") for _ in range(n))
        yield from (digits, f" {digits}", f"a{digits}b", f"{digits}.{digits[:3]}", f"-{digits},")
    for space in (" ", *SPACES):
        for n in (1, 2, 3, 4, 7, 16, 33):
            yield from (space * n, f"a{space * n}b", f"{space * n}1", f".{space * n}", f"{space * n}a")
        yield from (f" {space}a", f"{space} a", f"a{space}\n\n b")
    for contraction in CONTRACTIONS:
        yield from (f"it{contraction} so", f"A{contraction}B", f" {contraction}", f"1{contraction}2")
    for sign in "!?.-=*_#/\\~`'\"@&|<>()[]{}+":
        yield from (sign * 2, sign * 5, f"a{sign * 3}b", f" {sign * 17}\n", f"{sign}a {sign} {sign}1")
    yield from (f"a{chr(point)}b" for point in range(32))
    yield from (
        "",
        " ",
        "\n",
        "a",
        "A",
        "\ufffd",
        "\ufeffa",
        "x" * 60,
        "xY" * 30,
        "\u0130I\u0131i",
        "\ufb01\u00b2\u2460",
    )
    for _ in range(500):
        parts = (
            rng.choice(SENTENCES).split(" "),
            rng.choice(SENTENCES).split(" "),
            rng.choice(CODE).split(" "),
        )
        chosen = [rng.choice(part) for part in parts]
        chosen += [_word(rng, rng.choice(SCRIPTS), 4), str(rng.randint(0, 10**9)), rng.choice(EMOJI)]
        rng.shuffle(chosen)
        yield rng.choice(["", " ", " ", "  ", "\n", "_"]).join(chosen[: rng.randint(2, 6)])


def texts() -> list[str]:
    """Return the texts, each once."""
    return list(
        dict.fromkeys(text for text in _texts() if not any("\ud800" <= sign <= "\udfff" for sign in text))
    )


def main(argv: list[str] | None = None) -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    made = texts()
    if arguments.check:
        return int(json.loads(lzma.decompress(FILE.read_bytes())) != made)
    data = json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    FILE.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(made)} texts, {len(data)} bytes, {FILE.stat().st_size} in the file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
