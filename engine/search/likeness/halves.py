"""Half-precision numbers inside compiled loops: the bits of a float16 become a float32 as they are read.

One instruction where the processor has it (F16C, every ARMv8), a shift and a product elsewhere; both are exact, and
neither makes a copy of what is read. NumPy's arrays of float16 are handed over as uint16 (`readable`).
"""

from __future__ import annotations

import platform

import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

#: Exponents of float16 begin so far above those of float32.
_SCALE = np.float32(2.0**112)
_SIGN, _REST = np.uint32(0x8000), np.uint32(0x7FFF)


@intrinsic
def _extended(typing, bits):
    """The instruction."""

    def code(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), code


@intrinsic
def _as_float(typing, bits):
    """The float32 of these bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), code


@njit(inline="always")
def by_instruction(bits):
    """float16 bits (uint16) → float32."""
    return _extended(bits)


@njit(inline="always")
def by_shifting(bits):
    """The same for any processor; finite numbers only. Exponents and digits move up, then the scale is put right."""
    wide = np.uint32(bits)
    moved = ((wide & _SIGN) << np.uint32(16)) | ((wide & _REST) << np.uint32(13))
    return _as_float(moved) * _SCALE


@njit(inline="always")
def as_it_is(value):
    """float32 → float32."""
    return value


def _has_instruction() -> bool:
    return platform.machine().lower() in ("arm64", "aarch64") or bool(binding.get_host_cpu_features().get("f16c"))


#: What widens float16 here.
widened = by_instruction if _has_instruction() else by_shifting


def readable(values: np.ndarray) -> np.ndarray:
    """An array as the loops take it: float16 as its bits, float32 as it is, anything else as float32."""
    if values.dtype == np.float16:
        return values.view(np.uint16)
    return values if values.dtype == np.float32 else np.asarray(values, np.float32)
