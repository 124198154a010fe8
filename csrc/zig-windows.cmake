# The compiler that makes the package for 64-bit Windows, there and on other systems: zig, which its package on PyPI
# (ziglang) calls python-zig. MSVC takes neither the attributes of GNU's C nor its vectors.
if(NOT CMAKE_HOST_WIN32)
  set(CMAKE_SYSTEM_NAME Windows)
  set(CMAKE_SYSTEM_PROCESSOR AMD64)
endif()
find_program(ZIG NAMES python-zig zig REQUIRED)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG)
set(CMAKE_C_COMPILER ${ZIG} cc -target x86_64-windows-gnu)
