"""The C library as a Conan package, built by its own CMake: ``conan create packaging/conan``.

The package has both libraries, as ``make install`` does: its targets are ``pyembed::pyembed`` and
``pyembed::pyembed_static``, from the configuration that the library itself installs.
"""

import re
from pathlib import Path

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy

ROOT = Path(__file__).parents[2]


class Pyembed(ConanFile):
    """Recipe of the C library."""

    name = "pyembed"
    description = "Embedding tables of model files, from bytes on disk to rows of floats"
    license = "MIT"
    topics = ("embeddings", "gguf", "safetensors", "quantization")
    settings = "os", "arch", "compiler", "build_type"

    def set_version(self) -> None:
        """Take the version from the header."""
        header = (ROOT / "csrc" / "include" / "pyembed.h").read_text("utf-8")
        self.version = ".".join(re.findall(r"^#define PYE_VERSION_\w+ (\d+)$", header, re.MULTILINE))

    def export_sources(self) -> None:
        """Take the sources along, and no build that lies beside them."""
        copy(self, "LICENSE", ROOT, self.export_sources_folder)
        copy(self, "csrc/*", ROOT, self.export_sources_folder)

    def configure(self) -> None:
        """Leave out what only C++ would need."""
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def layout(self) -> None:
        """Say where the CMake project is."""
        cmake_layout(self)

    def generate(self) -> None:
        """Write the toolchain's file."""
        CMakeToolchain(self).generate()

    def build(self) -> None:
        """Build the library."""
        cmake = CMake(self)
        cmake.configure(build_script_folder="csrc")
        cmake.build()

    def package(self) -> None:
        """Install the library."""
        copy(self, "LICENSE", self.source_folder, str(Path(self.package_folder) / "licenses"))
        CMake(self).install()

    def package_info(self) -> None:
        """Leave CMake to the installed configuration; the rest is for other generators."""
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = ["lib/cmake/pyembed"]
        self.cpp_info.libs = ["pyembed"]
        if self.settings.os == "Linux":
            self.cpp_info.system_libs = ["m", "pthread"]
