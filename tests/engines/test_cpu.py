"""What a CPU is called, and which of its instructions are told."""

from pathlib import Path

import pytest

from watchline.engines import cpu

X86 = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu sse2 avx2 bmi1\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm sve\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (X86, "AMD EPYC 7B13 (avx2)"),
        (X86.replace("bmi1", "avx_vnni"), "AMD EPYC 7B13 (avx2 avx_vnni)"),
        (ARM, "aarch64 (asimd asimddp i8mm sve)"),
        ("", "aarch64 (features unknown)"),
    ],
)
def test_the_kind(text: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu.platform, "machine", lambda: "aarch64")
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu.kind(tmp_path / "cpuinfo") == kind


def test_no_cpuinfo_is_no_failure(tmp_path: Path) -> None:
    assert cpu.kind(tmp_path / "none").endswith("(features unknown)")
