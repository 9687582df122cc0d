"""The demo beside the interface: one engine, one guard."""

from __future__ import annotations

import base64
import json

import soundfile

from soundloom.gen.engine.engine import Engine
from soundloom.gen.pipeline import AudioGen
from tests.server.running_server import running


def test_the_demo_makes_its_sounds_with_the_engine(tiny_model: AudioGen) -> None:
    key = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}
    with (
        Engine(tiny_model) as engine,
        running(engine, demo=True, keys=["secret"]) as server,
        server.client(headers=key) as client,
    ):
        assert client.get("/", headers={"Authorization": ""}).status_code == 401
        page = client.get("/")
        assert page.status_code == 200
        assert "soundloom" in page.text
        assert client.get("/health").json()["running"] == 0  # the interface goes before the page
        names = client.get("/gradio_api/info").json()["named_endpoints"]["/generate"]["parameters"]
        values = {"prompt": "rain", "duration": 0.5, "seed": 3}
        given = [values.get(name["parameter_name"], name.get("parameter_default")) for name in names]
        event = client.post("/gradio_api/call/generate", json={"data": given}).json()["event_id"]
        events = client.get(f"/gradio_api/call/generate/{event}").text
        assert "event: complete" in events, events
        data = json.loads(events.rpartition("event: complete")[2].partition("data: ")[2].splitlines()[0])
        path = next(value["path"] for value in data if isinstance(value, dict) and "path" in value)
        samples, _ = soundfile.read(path, dtype="int16")
        assert len(samples) == engine.count_samples(0.5)
        assert engine.load.running == 0
