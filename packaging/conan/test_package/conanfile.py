"""Builds ``examples/c`` with the package, and runs a program of it on the demo model."""

from pathlib import Path

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout

ROOT = Path(__file__).parents[3]


class Consumer(ConanFile):
    """A program that uses the package."""

    settings = "os", "arch", "compiler", "build_type"

    def requirements(self) -> None:
        """Ask for the package under test."""
        self.requires(self.tested_reference_str)

    def layout(self) -> None:
        """Build where all is built."""
        cmake_layout(self, build_folder=str(ROOT / "build" / "conan"))

    def generate(self) -> None:
        """Write the toolchain's file, which finds the package's own configuration."""
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        toolchain.generate()

    def build(self) -> None:
        """Build the examples."""
        cmake = CMake(self)
        cmake.configure(build_script_folder=str(ROOT / "examples" / "c"))
        cmake.build()

    def test(self) -> None:
        """Run one of them where this machine can."""
        if can_run(self):
            program = Path(self.build_folder) / self.cpp.build.bindir / "cosine"
            self.run(f"'{program}' '{ROOT / 'pyembed' / 'data' / 'demo.gguf'}' ▁file ▁open", env="conanrun")
