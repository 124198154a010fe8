"""Generate the C source of ``pyembed._native`` from the library's public header.

The declarations that cffi gets are those of ``csrc/include/pyembed.h`` itself, without what its parser
does not take: comments, conditional sections, includes, ``extern "C"`` and ``PYE_API``. Integer macros stay
as they are; ``UINT64_MAX`` is left for the compiler to fill in. Whatever else the header may come to contain
is an error here rather than a name that silently lacks in Python.

The build runs it; the output is not kept in the repository.

Usage: ``python tools/cffi_source.py HEADER OUTPUT``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import cffi

MODULE = "pyembed._native"

#: Implemented in Python, called from C through ``pye_progress`` and ``pye_interrupted`` pointers.
CALLBACKS = """
extern "Python" int pye_python_progress(uint64_t, uint64_t, void *);
extern "Python" int pye_python_interrupted(void *);
"""

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_CONDITION = re.compile(r"#\s*(?:if|ifdef|ifndef)\b")
_GUARD = re.compile(r"#\s*ifndef\s+PYEMBED_H$")
_GUARD_MACRO = re.compile(r"#\s*define\s+PYEMBED_H$")
_INCLUDE = re.compile(r"#\s*include\b")
_INTEGER = re.compile(r"#\s*define\s+(PYE_\w+)\s+(0[xX][0-9a-fA-F]+|[0-9]+|UINT64_MAX)$")
_FUNCTION = re.compile(r"\bPYE_API\b[^;(]*?\b(pye_\w+)\s*\(")


class HeaderError(ValueError):
    """The header holds something that this script does not know how to hand on."""


def declarations(header: str) -> str:
    """Return the header's declarations in the subset of C that cffi parses."""
    lines = []
    depth = 0  # conditional sections that are open here, the include guard among them
    guard = False
    for raw in _COMMENT.sub(" ", header).splitlines():
        line = raw.rstrip()
        if _CONDITION.match(line):
            guard = guard or (depth == 0 and _GUARD.match(line) is not None)
            depth += 1
        elif re.match(r"#\s*endif\b", line):
            depth -= 1
        elif depth > 1:
            pass  # inside a section for C++ or for a particular compiler
        elif macro := _INTEGER.match(line):
            name, value = macro.groups()
            lines.append(f"#define {name} {'...' if value == 'UINT64_MAX' else value}")
        elif line.startswith("#"):
            if not _INCLUDE.match(line) and not _GUARD_MACRO.match(line):
                raise HeaderError(f"a directive that cannot be handed on: {line!r}")
        elif depth == 1 and line:
            lines.append(re.sub(r"\bPYE_API\s+", "", line))
        elif line:
            raise HeaderError(f"outside the include guard: {line!r}")
    if not guard or depth != 0:
        raise HeaderError("the include guard PYEMBED_H is missing or not closed")
    return "\n".join(lines) + "\n"


def public_functions(header: str) -> list[str]:
    """Return the names of all functions that the header marks as exported, in its order."""
    text = re.sub(r"^\s*#[^\n]*$", "", _COMMENT.sub(" ", header), flags=re.MULTILINE)
    names: list[str] = _FUNCTION.findall(text)
    n_marked = len(re.findall(r"\bPYE_API\b", text))
    if len(names) != n_marked or len(set(names)) != len(names) or not names:
        raise HeaderError(f"{n_marked} declarations are marked PYE_API, {len(set(names))} are functions")
    return names


def generate(header: str, output: Path) -> None:
    """Write the source of the extension module and check that no public function is missing."""
    ffi = cffi.FFI()
    ffi.cdef(declarations(header) + CALLBACKS)
    ffi.set_source(MODULE, '#include "pyembed.h"\n')
    output.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(output))
    source = output.read_text(encoding="utf-8")
    missing = [name for name in public_functions(header) if f"_cffi_f_{name}(" not in source]
    if missing:
        output.unlink()
        raise HeaderError(f"not handed on to Python: {', '.join(missing)}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("header", type=Path, help="csrc/include/pyembed.h")
    parser.add_argument("output", type=Path, help="the C file to write")
    arguments = parser.parse_args()
    generate(arguments.header.read_text(encoding="utf-8"), arguments.output)


if __name__ == "__main__":
    main()
