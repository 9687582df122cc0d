"""The page at /docs: the OpenAPI description as one plain page, without a script from elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { border: 1px solid #8888; padding: .2rem .6rem; text-align: left; }
pre { background: #8882; padding: .6rem; overflow-x: auto; } code { font-family: ui-monospace, monospace; }
:root { color-scheme: light dark; }
"""


def reference_page(openapi: Mapping[str, Any]) -> str:
    """HTML that says what an OpenAPI description says: paths, fields, answers, a command for each example."""
    parts = [
        f"<h1>{escape(openapi['info']['title'])}</h1>",
        f"<p>{escape(openapi['info']['description'])}</p>",
    ]
    parts.append('<p>For programs: <a href="/openapi.json">/openapi.json</a>.</p>')
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                schema, command = _resolve(openapi, body["schema"]), COMMANDS[kind]
                parts.append(_fields(schema))
                parts.extend(command(path, example) for example in schema.get("examples", []))
            if "requestBody" not in operation:
                parts.append(f"<pre>curl http://127.0.0.1:8000{escape(path)}</pre>")
            parts.append(_answers(operation["responses"]))
    title = escape(openapi["info"]["title"])
    return f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>{''.join(parts)}"


def _resolve(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference names."""
    for name in schema["$ref"].lstrip("#/").split("/"):
        openapi = openapi[name]
    return openapi


def _kind(field: Mapping[str, Any]) -> str:
    """The types that a field may have, in words."""
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    if "anyOf" in field:
        return " or ".join(map(_kind, field["anyOf"]))
    if "contentMediaType" in field:
        return "file"
    if field["type"] == "array":
        return f"[{_kind(field['items'])}, …]"
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{field['type']}, {low:g} to {high:g}"
    return f"{field['type']}, at least {low:g}" if low is not None else str(field["type"])


def _fields(schema: Mapping[str, Any]) -> str:
    rows = ["<tr><th>field</th><th>type</th><th>default</th><th>what it is</th></tr>"]
    for name, field in schema["properties"].items():
        default = "" if name in schema.get("required", ()) else json.dumps(field.get("default"))
        cells = (f"<code>{name}</code>", escape(_kind(field)), default, escape(field.get("description", "")))
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _command(path: str, example: Mapping[str, Any], sent: str) -> str:
    """A command that sends an example, for which it has the options `sent`."""
    suffix = example.get("response_format", "wav")
    command = f"curl http://127.0.0.1:8000{path} {sent} -o sound.{suffix}"
    return f"<pre>{escape(command)}</pre>"


def _json_command(path: str, example: Mapping[str, Any]) -> str:
    return _command(path, example, f"-H 'Content-Type: application/json' \\\n  -d '{json.dumps(example)}'")


def _form_command(path: str, example: Mapping[str, Any]) -> str:
    fields = " ".join(f"-F {shlex.quote(f'{name}={value}')}" for name, value in example.items())
    return _command(path, example, f"\\\n  {fields}")


COMMANDS = {"application/json": _json_command, "multipart/form-data": _form_command}


def _answers(responses: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>{code}</td><td>{escape(answer['description'])}</td></tr>"
        for code, answer in responses.items()
    ]
    return f"<table>{''.join(rows)}</table>"
