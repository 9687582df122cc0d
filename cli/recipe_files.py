"""Recipe files: laid over the recipe that they extend, with settings under the names of today."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.moved_settings import MovedSettings
from .command import CommandError, did_you_mean

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
EXTENDS = "extends"
RENAMED = {"judge": "classifier"}  # recipes whose old names are still understood
# Settings of data modules as they were called: name then -> dotted name now, for all of them and for some.
_MOVED_DATA = {
    "render_clips": "render.clips",
    "render_jobs": "render.jobs",
    "render_compositions": "render.compositions",
    "seconds": "render.seconds",
    "seed": "render.seed",
}
_MOVED_BY_CLASS = {
    "AudioGenDataModule": {
        "segment_seconds": "segment.seconds",
        "tail_seconds": "segment.tail_seconds",
        "frames": "segment.frames",
        "captions": "caption.required",
        "normalize_captions": "caption.normalize",
        "samples_per_epoch": "shards.samples_per_epoch",
        "shuffle_buffer": "shards.shuffle_buffer",
        "codec": "render.codec",
        "train_dirs": "folders",  # of audiogen_foley, whose data had a class of its own
        "val_dirs": "val_folders",
    },
    "TokenDataModule": {"codec": "render.codec"},
}


def bundled_recipe(name: str) -> Path | None:
    """The recipe of the package that NAME, NAME.yaml or recipes/NAME.yaml stands for, or None."""
    plain = name.removeprefix("recipes/").removesuffix(".yaml")
    path = RECIPES / f"{RENAMED.get(plain, plain)}.yaml"
    return path if path.is_file() and path.resolve().is_relative_to(RECIPES) else None


def recipe_names() -> list[str]:
    """The names of the recipes of the package."""
    return sorted(map(recipe_name, RECIPES.rglob("*.yaml")))


def recipe_name(path: str | Path) -> str:
    """What a user calls a recipe: those of the package have names, others are files."""
    path = Path(path)
    return path.relative_to(RECIPES).as_posix()[:-5] if path.is_relative_to(RECIPES) else str(path)


def find_recipe(name: str, beside: Path | None = None) -> Path:
    """The file that a recipe's name means: a path, a file beside another recipe, or one of the package.

    Raises:
        CommandError: there is none; the message names those that are near.
    """
    if Path(name).exists():
        return Path(name)
    if beside is not None and (beside.parent / name).is_file():
        return beside.parent / name
    found = bundled_recipe(name)
    if found is None:
        known = recipe_names()
        hint = did_you_mean(name, known) or f"; use a .yaml file, or one of {', '.join(known)}"
        raise CommandError(f"there is no recipe {name!r}{hint}")
    return found


def read_recipe(path: Path, above: Sequence[Path] = ()) -> Any:
    """What a recipe says, over what the recipe that it `extends` says; `${…}` stay as they are.

    Args:
        path: a YAML file.
        above: recipes that extend this one.

    Raises:
        CommandError: it extends a recipe that is not there, or itself.
        OSError, ValueError: it cannot be read, or is no YAML.
    """
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    if not isinstance(found, dict):
        return found
    base = found.pop(EXTENDS, None)
    if base is not None:
        lower = find_recipe(str(base), path)
        if lower.resolve() in [each.resolve() for each in (path, *above)]:
            raise CommandError(f"{path} extends {base}, which extends it in turn; leave out one of the two")
        found = laid_over(read_recipe(lower, (path, *above)), found)
    return under_present_names(found)


def laid_over(base: Any, upper: Any) -> Any:
    """`upper` in place of `base`, but mapping by mapping; a part of another class replaces the whole part."""
    if not isinstance(base, dict) or not isinstance(upper, dict):
        return upper
    if upper.get("class_path", base.get("class_path")) != base.get("class_path"):
        return upper
    return base | {key: laid_over(base.get(key), value) for key, value in upper.items()}


def under_present_names(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe whose settings have the names of today.

    The default optimiser of its model stands in it too, so that its learning rate can be set on the command
    line.
    """
    found = recipe
    model, moved = recipe.get("model"), _moved_model(recipe)
    if moved is not None and isinstance(model, dict):
        settings = {"optimizer": moved.defaults["optimizer"], **moved.nested(model.get("init_args") or {})}
        found = _renamed_references(found | {"model": model | {"init_args": settings}}, moved)
    data, moved = found.get("data"), _moved_data(recipe)
    if moved is not None and isinstance(data, dict) and data.get("init_args"):
        found = found | {"data": data | {"init_args": moved.nested(data["init_args"])}}
    return found


def _moved_model(recipe: Mapping[str, Any] | None) -> MovedSettings | None:
    """Settings of a recipe's model that have another name today; None where it has none."""
    from ..codecs.flat_trainer_settings import TRAINERS  # imports torch
    from ..gen.training.flat_settings import AUDIOGEN

    model = (recipe or {}).get("model")
    path = str(model.get("class_path")) if isinstance(model, Mapping) else ""
    return {**TRAINERS, "AudioGenModule": AUDIOGEN}.get(path.rpartition(".")[2])


def _moved_data(recipe: Mapping[str, Any] | None) -> MovedSettings | None:
    """Settings of a recipe's data that have another name today; None where the data is not ours."""
    data = (recipe or {}).get("data")
    path = str(data.get("class_path")) if isinstance(data, Mapping) else ""
    if not path.startswith("soundloom.recipes.data"):
        return None
    return MovedSettings(_MOVED_DATA | _MOVED_BY_CLASS.get(path.rpartition(".")[2], {}))


def _renamed_references(value: Any, moved: MovedSettings) -> Any:
    if isinstance(value, dict):
        return {key: _renamed_references(each, moved) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed_references(each, moved) for each in value]
    if not isinstance(value, str):
        return value
    return re.sub(
        r"\$\{model\.init_args\.([\w.]+)\}",
        lambda found: f"${{model.init_args.{moved.present_name(found[1])}}}",
        value,
    )


def present_words(words: Sequence[str]) -> list[str]:
    """Command-line words under the names of today: `--model.dim 64` is `--model.lm.dim 64`.

    What every recipe has stays a word for all of them: `--model.learning_rate`, `--data.segment_seconds`.
    """
    recipe = recipe_of(words)
    moved = {"model": _moved_model(recipe), "data": _moved_data(recipe)}
    found = []
    for word in words:
        option, equals, value = word.partition("=")
        match = re.fullmatch(r"--(model|data)\.(?:init_args\.)?([\w.]+)", option)
        if match and (names := moved[match[1]]):
            option = f"--{match[1]}.{names.present_name(match[2])}"
        found.append(f"{option}{equals}{value}")
    return _with_null_parts(found, [part for part, names in moved.items() if names is not None])


def _with_null_parts(words: Sequence[str], parts: Sequence[str]) -> list[str]:
    """`--model.text.settings null` as `--model.text={settings: null}`.

    jsonargparse takes the null of a part of a part for the word "None".
    """
    found = list(words)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        match = re.fullmatch(r"--(model|data)\.(\w+)\.(\w+)", option)
        if not match or match[1] not in parts:
            continue
        if equals and value == "null":
            found[place] = f"--{match[1]}.{match[2]}={{{match[3]}: null}}"
        elif not equals and words[place + 1 : place + 2] == ["null"]:
            found[place : place + 2] = [f"--{match[1]}.{match[2]}", f"{{{match[3]}: null}}"]
    return found


def config_of(words: Sequence[str]) -> str | None:
    """The last recipe that a command line names, or None."""
    config = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in ("-c", "--config"):
            config = value if equals else following
    return config


def recipe_of(words: Sequence[str]) -> dict[str, Any] | None:
    """What the last recipe on a command line says, or None."""
    config = config_of(words)
    if config is None or not Path(config).is_file():
        return None
    try:
        found = read_recipe(Path(config))
    except (OSError, ValueError):  # the parser says what is wrong with it
        return None
    return found if isinstance(found, dict) else None
