"""The Compress tab: a sound becomes a small file and comes back, the file is saved and opened again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page

from soundloom.codecs.container import Compressed
from soundloom.codecs.ecdc.write_ecdc import write_ecdc
from soundloom.codecs.encodec import EnCodec
from soundloom.core.audio import mix, resample, write_audio
from soundloom.demo import roundtrip
from soundloom.demo.codecs import Codecs
from soundloom.demo.restore import restore
from soundloom.evaluation.spectral_distance import reconstruction_metrics

WaitForSound = Callable[[Page, str], float]


def melody(seconds: float, rate: int, channels: int = 1) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    tones = [torch.sin(2 * torch.pi * (220 + 330 * c) * time * (1 + time / 10)) for c in range(channels)]
    return 0.5 * torch.stack(tones)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_sound_is_compressed_saved_and_opened_again(
    served: str, open_page: Any, wait_for_sound: WaitForSound, tmp_path: Path, width: int
) -> None:
    seconds, rate = 2.345, 44100
    source = write_audio(tmp_path / "My Melody.wav", melody(seconds, rate, 2), rate)
    samples = soundfile.info(source).frames
    complaints: list[str] = []
    with open_page(served, width) as page:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.get_by_role("tab", name="Compress").click()
        page.set_input_files("#to-compress input[type=file]", source)
        page.wait_for_selector("#to-compress audio, #to-compress .waveform-container", state="attached")
        page.fill("#rate input[type=number]", "2")
        page.press("#rate input[type=number]", "Enter")
        page.get_by_text("6.4 kbit/s, 2 of 3 codebooks").wait_for()
        page.click("#compress")
        for player in ("original", "restored"):
            assert wait_for_sound(page, player) == pytest.approx(seconds, abs=0.01)
            page.wait_for_function(
                f"() => document.querySelector('#{player}-spectrogram img')?.naturalWidth > 0"
            )
        table = page.inner_text("#figures")
        assert "2.345 s, 44100 Hz, stereo, comes back mono" in table
        assert "tiny, 6.4 kbit/s (2 codebooks)" in table
        assert page.get_by_text("Restored: tiny, 6.4 kbit/s").is_visible()
        assert f"{source.stat().st_size:,} bytes".replace(",", " ") in table
        assert "nominal 6.4" in table
        assert " times smaller." in page.inner_text("#how-small")
        assert "Mel distance" in table
        assert "nothing above 8 kHz" in table

        with page.expect_download() as expected:
            page.click("#get-loom")
        assert expected.value.suggested_filename == "my-melody.loom"
        loom = tmp_path / "my-melody.loom"
        expected.value.save_as(loom)
        compressed = Compressed.load(loom)
        assert compressed.header.shape == (2,)
        assert compressed.header.length == samples
        assert f"{loom.stat().st_size:,} bytes".replace(",", " ") in table

        page.set_input_files("#to-open input[type=file]", loom)
        assert wait_for_sound(page, "opened-sound") == pytest.approx(seconds, abs=0.01)
        page.wait_for_function(
            "() => document.querySelector('#opened-status')?.innerText.includes('codec tiny')"
        )
        with page.expect_download() as expected:
            page.click("#get-wav")
        expected.value.save_as(tmp_path / "back.wav")
        assert soundfile.info(tmp_path / "back.wav").frames == samples
        assert soundfile.info(tmp_path / "back.wav").samplerate == rate
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out
        assert not complaints


@pytest.fixture(scope="module")
def client(served: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(served, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.mark.parametrize(
    "sound", ["silence", "one sample", "5.1 at 48 kHz", "8 bit at 4 kHz", "beyond full scale"]
)
def test_unusual_sounds_come_back_with_their_length(client: Client, tmp_path: Path, sound: str) -> None:
    samples, rate = {
        "silence": (torch.zeros(1, 8000), 16000),
        "one sample": (torch.full((1, 1), 0.5), 16000),
        "5.1 at 48 kHz": (melody(0.5, 48000, 6), 48000),
        "8 bit at 4 kHz": (melody(0.5, 4000), 4000),
        "beyond full scale": (4 * melody(0.5, 22050), 22050),
    }[sound]
    path = tmp_path / "x.wav"
    subtype = {"8 bit at 4 kHz": "PCM_U8", "beyond full scale": "FLOAT"}.get(sound, "PCM_24")
    soundfile.write(path, samples.T.numpy(), rate, subtype)
    loom, after, figures = client.predict(handle_file(path), api_name="/compress")
    info = soundfile.info(after)
    assert (info.frames, info.samplerate) == (samples.shape[-1], rate)
    assert Path(loom).suffix == ".loom"
    assert figures["compressed_bytes"] == Path(loom).stat().st_size
    assert figures["codec"] == "tiny"
    if sound == "silence":
        assert figures["si_sdr"] is None
    assert ("mel_distance" in figures) == (sound != "8 bit at 4 kHz")  # is not measured below 8 kHz


def test_bad_sounds_are_explained(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, message: str, **choice: Any) -> None:
        with pytest.raises(AppError, match=f"(?i){message}"):
            client.predict(handle_file(path), **choice, api_name="/compress")

    words = tmp_path / "words.wav"
    words.write_text("this is no sound")
    refused(words, "cannot read sound from words.wav")
    write_audio(tmp_path / "long.wav", torch.zeros(601 * 1000), 1000)
    refused(tmp_path / "long.wav", "long.wav lasts 10 min 1 s; here at most 10 minutes are allowed")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 16000)
    refused(tmp_path / "empty.wav", "empty.wav holds 0 samples")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, "FLOAT")
    refused(tmp_path / "nan.wav", "nan.wav holds 100 NaN")
    good = write_audio(tmp_path / "good.wav", melody(0.1, 16000), 16000)
    refused(good, "bitrate 1 kbit/s is too low for SEANetCodec, which has: 3.2", bitrate=1000)
    refused(good, "codebooks is 7; SEANetCodec has: 1, 2, 3", codebooks=7)
    refused(good, "this needs the codec 'other', which this machine does not have", codec="other")


def test_every_codec_and_rate_can_be_asked_for_by_a_program(client: Client, tmp_path: Path) -> None:
    good = write_audio(tmp_path / "good.wav", melody(0.5, 16000), 16000)
    for bitrate, codebooks in ((3300, 1), (6400, 2), (None, 3)):
        loom, _, figures = client.predict(handle_file(good), "tiny", bitrate, api_name="/compress")
        assert Compressed.load(loom).header.shape == (codebooks,)
        assert figures["bitrate"] == 3200 * codebooks
    rows = client.predict(handle_file(good), api_name="/compare_codecs")
    ours = [row for row in rows if row["codec"] == "tiny"]
    assert [row["name"] for row in ours] == ["tiny 3.2", "tiny 6.4", "tiny 9.6"]
    assert {row["codec"] for row in rows} <= {"tiny", "Opus"}
    assert all(row["mel_distance"] > 0 for row in rows)


def test_what_is_damaged_is_recovered_as_far_as_it_is_intact(
    client: Client, codecs: Codecs, tmp_path: Path
) -> None:
    path = tmp_path / "x.loom"
    whole = codecs.get("tiny").compress(melody(3.0, 16000), 16000).to_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    path.write_bytes(damaged)
    sound = client.predict(handle_file(path), recover=True, api_name="/decompress")
    samples, rate = soundfile.read(sound)
    assert (len(samples), rate) == (48000, 16000)
    assert re.fullmatch(r"x-(1|2)(-\d+)?-s-of-3-s-recovered\.wav", Path(sound).name)
    path.write_bytes(whole)
    opened = client.predict(handle_file(path), api_name="/decompress")
    assert Path(opened).name == "x.wav"
    intact, _ = soundfile.read(opened)
    assert 0.2 < np.mean(samples == intact) < 0.9  # a chunk of a second or so is silent
    path.write_bytes(whole[:10])
    with pytest.raises(AppError, match=r"(?i)x\.loom"):
        client.predict(handle_file(path), recover=True, api_name="/decompress")


def test_the_page_offers_recovery_and_refuses_what_is_no_sound_at_once(
    served: str, open_page: Any, wait_for_sound: WaitForSound, codecs: Codecs, tmp_path: Path
) -> None:
    whole = codecs.get("tiny").compress(melody(3.0, 16000), 16000).to_bytes()
    damaged = tmp_path / "damaged.loom"
    damaged.write_bytes(whole[: len(whole) * 3 // 4])
    words = tmp_path / "words.wav"
    words.write_text("this is no sound")
    nothing = tmp_path / "nothing.wav"
    soundfile.write(nothing, np.zeros(0), 16000)
    with open_page(served) as page:
        page.get_by_role("tab", name="Compress").click()
        page.set_input_files("#to-compress input[type=file]", words)
        page.get_by_text("cannot read sound from words.wav").wait_for()
        page.wait_for_selector("#to-compress input[type=file]", state="attached")  # taken out again
        page.set_input_files("#to-compress input[type=file]", nothing)
        page.get_by_text("nothing.wav holds 0 samples").wait_for()
        page.wait_for_selector("#to-compress input[type=file]", state="attached")
        page.set_input_files("#to-open input[type=file]", damaged)
        page.wait_for_selector("#recover")
        said = page.inner_text("#damage").lower()
        assert said.startswith("this file is damaged. damaged.loom")
        assert "recover" not in said
        page.click("#recover")
        seconds = wait_for_sound(page, "opened-sound")
        assert 1 < seconds < 3
        said = page.inner_text("#opened-status")
        assert said.startswith(f"Not the whole sound: {seconds:.4g} s of 3 s could be recovered.")
        with page.expect_download() as expected:
            page.click("#get-wav")
        assert expected.value.suggested_filename.startswith("damaged-2-")
        assert expected.value.suggested_filename.endswith("-s-of-3-s-recovered.wav")
        assert "codec tiny" in page.inner_text("#opened-status")
        assert not page.is_visible("#recover")


def test_stop_ends_the_work(served: str, open_page: Any, tmp_path: Path) -> None:
    long = write_audio(tmp_path / "long.wav", melody(400.0, 16000), 16000)
    with open_page(served) as page:
        page.get_by_role("tab", name="Compress").click()
        page.set_input_files("#to-compress input[type=file]", long)
        page.wait_for_selector("#to-compress audio, #to-compress .waveform-container", state="attached")
        page.click("#compress")
        page.click("#stop-compress")
        page.wait_for_selector("#compress")
        assert not page.is_visible("#stop-compress")
        assert not page.is_visible("#compressed")
        # The next one does not have to wait for the one that was stopped.
        short = write_audio(tmp_path / "short.wav", melody(0.5, 16000), 16000)
        page.click("#to-compress [aria-label=Clear]")
        page.set_input_files("#to-compress input[type=file]", short)
        page.wait_for_selector("#to-compress audio, #to-compress .waveform-container", state="attached")
        page.click("#compress")
        page.wait_for_selector("#restored-spectrogram img")


def test_the_switch_keeps_the_place_and_the_blind_test_ends_with_a_verdict(
    served: str, open_page: Any, tmp_path: Path
) -> None:
    source = write_audio(tmp_path / "x.wav", melody(2.0, 16000), 16000)
    state = "() => ({...document.querySelector('#ab [data-chosen], #ab[data-chosen]')?.dataset})"
    with open_page(served) as page:
        page.get_by_role("tab", name="Compress").click()
        page.set_input_files("#to-compress input[type=file]", source)
        page.wait_for_selector("#to-compress audio, #to-compress .waveform-container", state="attached")
        page.click("#compress")
        page.wait_for_selector("#restored-spectrogram img")
        page.click("#ab .play")
        page.wait_for_function(f"() => ({state})().playing === 'true'")
        page.wait_for_function(f"() => Number(({state})().place) > 0")
        before = page.evaluate(state)
        page.click("#ab [data-which=b]")
        after = page.evaluate(state)
        assert (before["chosen"], after["chosen"], after["playing"]) == ("a", "b", "true")
        page.wait_for_function(f"place => ({state})().place !== place", arg=before["place"])  # it goes on
        page.click("#ab .play")
        paused = page.evaluate(state)
        page.click("#ab [data-which=a]")
        assert page.evaluate(state)["place"] == paused["place"]

        page.get_by_text("Blind test: do you hear a difference?").click()
        page.click("#blind-begin")
        for number in range(1, 11):
            page.get_by_text(f"Round {number} of 10.").wait_for()
            page.click("#x-is-a")
        page.locator("#blind-said", has_text="of 10 right").wait_for()
        assert "p = " in page.inner_text("#blind-said")
        assert not page.is_visible("#x-is-a")


def test_damaged_and_foreign_files_are_explained(client: Client, codecs: Codecs, tmp_path: Path) -> None:
    compressed = codecs.get("tiny").compress(melody(3.0, 16000), 16000)
    whole = compressed.to_bytes()

    def refused(data: bytes, message: str, name: str = "x.loom") -> None:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(AppError) as error:
            client.predict(handle_file(path), api_name="/decompress")
        assert re.search(message, str(error.value), re.IGNORECASE), error.value
        assert "/tmp" not in str(error.value)  # no folders of this machine

    refused(whole[:-9], "x.loom.*byte")
    refused(whole[: len(whole) // 2], "x.loom.*byte")
    refused(whole[:10], "x.loom.*byte")
    refused(b"", "x.loom")
    refused(b"RIFF" + bytes(100), "x.loom.*byte 0")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    refused(bytes(damaged), "x.loom.*byte")
    other = Compressed(replace(compressed.header, codec="someone/else"), compressed.frames)
    refused(other.to_bytes(), "the codec 'someone/else', which this machine does not have; it has: tiny")
    changed = Compressed(replace(compressed.header, config_hash="0" * 16), compressed.frames)
    refused(changed.to_bytes(), "configuration 0000000000000000")
    slow = replace(compressed.header, sample_rate=1, frame_rate=compressed.header.frame_rate / 16000)
    refused(Compressed(replace(slow, length=700), compressed.frames).to_bytes(), "at most 10 minutes")
    nothing = Compressed(replace(compressed.header, length=0), compressed.frames[:, :0])
    refused(nothing.to_bytes(), "x.loom|samples")
    refused(b"ECDC" + bytes(40), "x.ecdc: byte 5: the header has 0 bytes", "x.ecdc")
    encodec = EnCodec.from_pretrained("encodec-24khz", random_weights=True, bandwidth=1.5)
    file = write_ecdc(tmp_path / "y.ecdc", melody(0.2, 24000), 24000, encodec)
    refused(file.read_bytes(), "the codec 'encodec-24khz', which this machine does not have", "x.ecdc")


def test_files_of_encodec_open_where_its_weights_are(tmp_path: Path) -> None:
    encodec = EnCodec.from_pretrained("encodec-24khz", random_weights=True, bandwidth=1.5)
    codecs = Codecs({"encodec-24khz": encodec})
    assert "1.5 kbit/s, 2 of 32 codebooks" in codecs.storages("encodec-24khz")
    source = write_ecdc(tmp_path / "x.ecdc", melody(0.2, 24000), 24000, encodec)
    found = restore(source, tmp_path / "x.wav", codecs, lambda share, what: None)
    assert found.samples.shape == (1, 4800)
    assert found.codec == "encodec-24khz"
    assert soundfile.info(tmp_path / "x.wav").frames == 4800
    source.write_bytes(source.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"x\.ecdc: byte"):
        restore(source, tmp_path / "y.wav", codecs, lambda share, what: None)


def test_codecs_that_would_have_to_be_fetched_are_not_offered() -> None:
    names = Codecs().names
    assert names[0] == "seanet-16khz"
    assert "music2latent2" in names
    assert not {"encodec-24khz", "encodec-48khz"} & set(names)
    with pytest.raises(ValueError, match="'encodec-24khz', which this machine does not have"):
        Codecs().get("encodec-24khz")


def test_figures_are_those_of_the_files(codecs: Codecs, tmp_path: Path) -> None:
    source = write_audio(tmp_path / "x.wav", melody(3.0, 16000), 16000)
    codec, storage = codecs.get("tiny"), codecs.storages("tiny")["3.2 kbit/s, 1 of 3 codebooks"]
    shares: list[float] = []
    trip = roundtrip.round_trip(
        source,
        tmp_path / "x.loom",
        tmp_path / "y.wav",
        codec,
        storage,
        lambda share, what: shares.append(share),
    )
    size = (tmp_path / "x.loom").stat().st_size
    assert trip.compressed_bytes == size
    assert trip.kbps == pytest.approx(8 * size / 3000)
    assert trip.pcm_bytes == 2 * 48000
    assert trip.source_bytes == source.stat().st_size
    assert shares == sorted(shares)
    assert len(set(shares)) > 4
    assert shares[0] == 0.0
    assert shares[-1] <= 1.0
    back, _ = soundfile.read(tmp_path / "y.wav", dtype="float32")
    original, _ = soundfile.read(source, dtype="float32")
    assert trip.restored == tmp_path / "y.wav"
    assert trip.original == source  # browsers play it as it is
    expected = reconstruction_metrics(torch.from_numpy(back), torch.from_numpy(original), 16000)
    assert trip.metrics == expected
    assert "A negative SI-SDR only says" in roundtrip.figures(trip)  # random weights
    assert f"{trip.metrics['mel_distance']:.2f} dB" in roundtrip.figures(trip)


def test_numbers_have_no_exponents() -> None:
    shown = {
        0: "0",
        0.01234: "0.0123",
        1.5: "1.5",
        2: "2",
        411.4: "411",
        2010.4: "2 010",
        1411.2e3: "1 411 200",
    }
    assert {value: roundtrip.say_number(value) for value in shown} == shown


def test_an_original_keeps_its_channels_and_what_browsers_do_not_play_is_converted(tmp_path: Path) -> None:
    stereo = write_audio(tmp_path / "a.wav", melody(0.5, 8000, 2), 8000)
    assert roundtrip.playable(stereo, tmp_path / "b.wav") == stereo
    soundfile.write(tmp_path / "a.aiff", melody(0.5, 8000, 2).T.numpy(), 8000)
    converted = roundtrip.playable(tmp_path / "a.aiff", tmp_path / "b.wav")
    np.testing.assert_array_equal(soundfile.read(converted)[0], soundfile.read(stereo)[0])


def test_the_beginning_of_a_sound_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roundtrip, "BLOCK_SECONDS", 0.3)
    samples = melody(1.0, 44100, 2)
    source = write_audio(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    whole = roundtrip.read_beginning(source, 9.0, 16000, 1)
    expected = mix(resample(samples, 44100, 16000), 1)
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=0)
    part = roundtrip.read_beginning(source, 0.5, 16000, 2)
    assert part.shape == (2, 8000)
    torch.testing.assert_close(part[:, :7000], resample(samples, 44100, 16000)[:, :7000], atol=1e-3, rtol=0)
    mono, rate = roundtrip.read_mono(source)
    torch.testing.assert_close(mono, samples.mean(0))
    assert rate == 44100
