"""Bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.tiny_codecs import sound

MEASURE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from soundloom.codecs import decode_file, encode_file
from tests.tiny_codecs import seanet
codec = seanet(sample_rate=4000, ratios=(8, 5))
what, source, destination = sys.argv[2:]
(encode_file if what == "encode" else decode_file)(source, destination, codec)
try:  # what Linux says of a child with getrusage has the parent's memory in it
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0])
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    peaks: dict[tuple[str, int], int] = {}
    for minutes in (1, 60):
        wav, packed, back = (tmp_path / name for name in ("a.wav", "a.loom", "b.wav"))
        minute = sound(60, 8000, 2).T.numpy()
        with soundfile.SoundFile(wav, "w", 8000, 2) as file:
            for _ in range(minutes):
                file.write(minute)
        for what, source, destination in (("encode", wav, packed), ("decode", packed, back)):
            command = [sys.executable, "-c", MEASURE, str(root), what, str(source), str(destination)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[what, minutes] = int(done.stdout)
        assert soundfile.info(back).frames == minutes * 60 * 8000
        for path in (wav, packed, back):
            path.unlink()
    print(peaks)
    for what in ("encode", "decode"):
        assert peaks[what, 60] <= 1.3 * peaks[what, 1]
        assert peaks[what, 60] <= peaks[what, 1] + 20_000, "kB; an hour of this sound alone would be 115 MB"
