/* The system's own header, of Windows 8 and newer, without what nobody here needs. */
#pragma once

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#include <windows.h>

/* Newer than the headers that some compilers bring. */
#ifndef ERROR_DIRECTORY_NOT_SUPPORTED
#define ERROR_DIRECTORY_NOT_SUPPORTED 336L
#endif
