"""Several engines behind one address, by Ray Serve: for what one machine, or one process on it, cannot serve.

    pip install soundloom 'ray[serve]'
    cd deploy/ray_serve && serve run replicas:application replicas=2 model=foley

Every replica is a process with a model, an engine and the HTTP interface of `soundloom serve`. Requests
depend on nothing but themselves, so Ray may send each to any replica, and a seed makes the same sound on all
that run on the same kind of processor.
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp

from soundloom import AudioGen, Engine
from soundloom.server.launch import ServerSettings, build_server, read_keys


def build_replica(
    model: str = "foley", *, max_batch: int = 8, keys: str = "", hosts: str = "", **options: Any
) -> ASGIApp:
    """The HTTP interface to an engine of its own.

    Args:
        model: name or folder, as for `AudioGen.from_pretrained`.
        max_batch: sounds that the engine makes at once.
        keys: environment variable with the keys of which a request needs one; empty: none.
        hosts: further names that it may be addressed by, separated by commas.
        options: of `AudioGen.from_pretrained`, such as `quantization`.
    """
    engine = Engine(AudioGen.from_pretrained(model, **options), max_batch=int(max_batch))
    settings = ServerSettings(
        name=model,
        keys=read_keys(keys) if keys else (),
        hosts=[host for host in hosts.split(",") if host],
        demo=False,
    )
    return build_server(engine, settings)


def application(arguments: dict[str, str]) -> Any:
    """What `serve run` starts: `replicas` (1), `cpus` of each (1) and the arguments of `build_replica`."""
    from ray import serve

    chosen: dict[str, Any] = dict(arguments)
    replicas, cpus = int(chosen.pop("replicas", 1)), float(chosen.pop("cpus", 1))

    @serve.deployment(name="soundloom", num_replicas=replicas, ray_actor_options={"num_cpus": cpus})
    @serve.ingress(lambda: build_replica(**chosen))  # called in each replica's process
    class Replica:
        pass

    deployment: Any = Replica
    return deployment.bind()
