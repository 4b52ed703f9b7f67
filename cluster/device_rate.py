"""What a device computes a second: how long a cell takes where no complete run tells.

It is what training comes to, with reading, augmentation and validation, and not what a data sheet
promises.
"""

from __future__ import annotations

from dataclasses import dataclass

TERA = 1e12
GPU_TFLOPS = 6.2
"""TFLOP/s of a GPU, taken where none is stated.

The hours of Bhoodoo et al., NLDL 2026 §4.1 come to it: full fine-tuning of MViTv2-S on one A100
(13 h for 7,394 clips x 100 epochs) at three passes of 137.9 GFLOP a clip.
"""
CPU_TFLOPS = 0.05
"""TFLOP/s of a thread of a CPU, taken where none is stated: MViTv2-S on one core came to 0.05."""
ASSUMED_FACTOR = 3.0
"""How far a rate may be off that nobody has stated: another device, or another network."""
STATED_FACTOR = 2.0
"""How far one may be off that somebody has: networks use a device differently well."""
CLIP_S = 1e-3
"""Seconds that a clip costs at least, with a network of next to no arithmetic (assumed)."""
ASSUMED = "(assumed"
"""What the words of a rate hold that nobody has stated."""


@dataclass(frozen=True)
class DeviceRate:
    """The arithmetic of one device a second.

    Attributes:
        tflops: TFLOP/s of a GPU, or of a rank on CPUs, that somebody has stated. None: assumed.
        threads: CPU threads of a rank.
    """

    tflops: float | None = None
    threads: int = 1

    def flops(self, on_gpu: bool) -> float:
        """Return the operations a second."""
        if self.tflops is not None:
            return self.tflops * TERA
        return TERA * (GPU_TFLOPS if on_gpu else CPU_TFLOPS * self.threads)

    @property
    def factor(self) -> float:
        """How far it may be off."""
        return ASSUMED_FACTOR if self.tflops is None else STATED_FACTOR

    def words(self, on_gpu: bool) -> str:
        """Say what the rate is, and where it is from."""
        return f"the encoder's FLOPs at {self.short(on_gpu)}, for want of complete runs"

    def short(self, on_gpu: bool) -> str:
        """Say the rate, where it is from and how far it may be off."""
        source = "as stated"
        if self.tflops is None:
            source = f"{ASSUMED} of a CPU rank; on SLURM --tflops says another)"
            if on_gpu:
                source = f"{ASSUMED} from the paper's hours on an A100; --tflops says another)"
        rate = f"{self.flops(on_gpu) / TERA:.3g} TFLOP/s {source}"
        return f"{rate}, within a factor of {self.factor:g}"


UNSTATED = DeviceRate()
"""The rate of a device of which nobody has said anything."""
