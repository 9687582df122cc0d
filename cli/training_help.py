"""The short help of `lightning fit` and its like: which recipes there are, and what people change in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import shorten

from .recipe_files import RECIPES, recipe_name, recipe_of

OPTIONS = {
    "--data.folders '[mysounds]'": "the sounds to train on",
    "--data.batch_size 8": "items a step and process; smaller ones need less memory",
    "--trainer.max_steps 2000": "how long it trains",
    "--model.learning_rate 3e-4": "how large its steps are",
    "--trainer.default_root_dir DIR": "where all that the run writes goes (default: runs/NAME)",
    "--ckpt_path last": "go on with the run in that folder; or a .ckpt file",
    "--checkpoint.every_n_train_steps 500": "how often a checkpoint is kept",
    "--trainer.val_check_interval 200": "steps from one validation to the next (and at the end)",
    "--trainer.accelerator gpu --trainer.devices 2": "where it runs (default: what is there, one device)",
    "--trainer.precision bf16-mixed": "how it computes; 32-true is the slow and safe way",
}
EVALUATED = {
    "--ckpt_path FILE": "the checkpoint, .ckpt; without it, the model as it starts",
    "--data.folders '[mysounds]'": "other sounds than the recipe names",
    "--data.batch_size 8": "items a step",
    "--trainer.default_root_dir DIR": "where what it writes goes (default: runs/NAME)",
}
PREDICTED = {
    "--trainer.limit_predict_batches 2": "only so many batches",
    **EVALUATED,
}


def recipes() -> dict[str, str]:
    """Names of the recipes of the package -> what each trains, one sentence."""
    found = {}
    for path in sorted(RECIPES.rglob("*.yaml")):
        header = re.match(r"# Trains (.*(?:\n# (?! ).*)*)", path.read_text(encoding="utf-8"))
        text = " ".join(header[1].replace("\n# ", " ").split()) if header else ""
        found[recipe_name(path)] = shorten(text.split(". ")[0].rstrip("."), 80, placeholder=" …")
    return found


def overview(commands: Mapping[str, str], program: str) -> str:
    """The help of `lightning` itself; `program` is the word that it was called by."""
    lines = [f"  {name:<10}{summary}" for name, summary in commands.items()]
    other = next(name for name in ("soundloom", "lightning") if name != program)
    return f"usage: {program} COMMAND --config recipes/NAME.yaml [options]\n\n" + "\n".join(
        [*lines, "", f"{program} COMMAND --help says more. `{other} COMMAND` does the same."]
    )


def command_help(name: str, examples: str, program: str) -> str:
    """The help of one training command of `program`; ends with its examples."""
    options = {"fit": OPTIONS, "predict": PREDICTED}.get(name, EVALUATED)
    width = max(map(len, options)) + 2
    lines = [
        f"usage: {program} {name} --config NAME [options]",
        "",
        "recipes (NAME, or a .yaml file of yours; each begins with hardware, time and what to expect):",
    ]
    known = recipes()
    longest = max(map(len, known)) + 2
    lines += [f"  {recipe:<{longest}}{text}" for recipe, text in known.items()]
    lines += ["", "what people change:"]
    lines += [f"  {option:<{width}}{text}" for option, text in options.items()]
    lines += [
        "",
        "all settings of a recipe:",
        f"  {program} {name} --config NAME --model.help     what its model takes; --data.help: its data",
        f"  {program} {name} --config NAME --print_config   all settings and their values",
        f"  {program} {name} --help-all                     every option of the trainer",
        "An error shows its traceback with --debug.",
        "",
        f"examples:\n{examples.rstrip()}",
    ]
    return "\n".join(lines)


def with_model_class(words: Sequence[str]) -> list[str]:
    """`--model.help` and `--data.help` without a class: that of the recipe's model or data."""
    out = list(words)
    for part in ("model", "data"):
        flag = f"--{part}.help"
        if flag not in out:
            continue
        place = out.index(flag)
        if place + 1 < len(out) and not out[place + 1].startswith("-"):
            continue  # a class is named
        if kind := _class_of(out, part):
            # Lightning shows it and stops, so what else was said does not matter.
            return [out[0], f"{flag}={kind}"]
    return out


def _class_of(words: Sequence[str], part: str) -> str | None:
    section = (recipe_of(words) or {}).get(part)
    return section.get("class_path") if isinstance(section, dict) else None
