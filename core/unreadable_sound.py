"""Say why a file cannot be read as sound, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from .samples import AudioError

# First bytes (after some that do not matter) of what libsndfile has no decoder for.
UNDECODED = (
    (4, b"ftyp", "MPEG-4 audio (m4a, AAC or ALAC)"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"ADIF", "AAC"),
    (0, bytes.fromhex("3026b2758e66cf11"), "Windows Media audio"),
    (0, bytes.fromhex("1a45dfa3"), "WebM or Matroska"),
    (0, b"#!AMR", "AMR"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"DSD ", "DSD"),
)
# What this program itself makes of sounds.
COMPRESSED = ((b"\x89LOOM", ".loom"), (b"ECDC", ".ecdc"))
NO_SOUND = (
    (b"version https://git-lfs", "a Git LFS pointer in place of the file: run git lfs pull"),
    (b"<!doctype", "a web page: fetch the file again"),
    (b"<html", "a web page: fetch the file again"),
)


def unreadable_sound(name: str, head: bytes | None, error: Exception) -> AudioError:
    """The error to raise about a file that cannot be opened as sound.

    Args:
        name: of the file, for the message.
        head: its first bytes; None of a pipe.
        error: what the decoder said.
    """
    for offset, magic, what in UNDECODED:
        if head is not None and head[offset:].startswith(magic):
            file = name if Path(name).suffix else "FILE"
            return AudioError(
                f"{name} holds {what}, for which there is no decoder here; convert it first: "
                f"ffmpeg -i {file} {Path(file).stem}.wav"
            )
    for magic, suffix in COMPRESSED:
        if head is not None and head.startswith(magic):
            return AudioError(
                f"{name} is compressed already, as {suffix}; `soundloom decode` makes a sound of it"
            )
    reason = getattr(error, "error_string", str(error)) or "damaged"
    if head == b"":
        reason = "it is empty"
    for magic, what in NO_SOUND:
        if head is not None and head.lower().startswith(magic):
            reason = f"it is {what}"
    return AudioError(
        f"cannot read sound from {name} ({reason.rstrip('. ')}); use a wav, flac, ogg or mp3 file, or "
        "convert it to one first"
    )
