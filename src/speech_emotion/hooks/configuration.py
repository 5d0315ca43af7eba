"""Check the environment and the parameters of a command before anything runs."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast

import yaml
from kedro.framework.hooks import hook_impl

from speech_emotion.runtime import hide_secrets

if TYPE_CHECKING:
    from kedro.config import OmegaConfigLoader
    from kedro.framework.context import KedroContext

__all__ = ["RENAMED_PIPELINES", "ConfigurationError", "ConfigurationHooks", "check_configuration"]

RENAMED_PARAMETERS: Final = {
    "study": "ablation",
    "kernel_lda": "rocket_lda",
    "generated_centre": "simulator",
}
RENAMED_PIPELINES: Final = {"feature_study": "ablation"}

_RUNTIME_PARAMETER = re.compile(r"\$\{\s*runtime_params:\s*([\w.]+)")


class ConfigurationError(ValueError):
    """An environment or a parameter that the project does not have."""


class ConfigurationHooks:
    """Refuse unknown environments and unknown top-level parameters.

    Kedro itself ignores both: ``--params corpora_dirr=…`` would run on the sample corpus.
    """

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the configuration before any plugin reads it."""
        check_configuration(cast("OmegaConfigLoader", context.config_loader))


def check_configuration(loader: OmegaConfigLoader) -> None:
    """Check the environment and the runtime parameters of a configuration loader.

    A parameter is known if ``conf/base`` or the environment has a top-level parameter of that name,
    or if a configuration file reads it by ``${runtime_params:NAME}``. Nested keys are checked by the
    settings classes.

    Args:
        loader: The loader of a session.

    Raises:
        ConfigurationError: If the environment or a parameter is unknown. The message has the nearest
            valid name, or the new name of something that was renamed.
    """
    if "://" in str(loader.conf_source):
        return  # remote configuration is not listed
    files = dict(_read_files(Path(loader.conf_source)))
    environments = {PurePosixPath(name).parts[0] for name in files if "/" in name}
    if not environments:
        raise ConfigurationError(
            f"There is no configuration in {loader.conf_source}: run the command in the project's "
            "folder, or add --conf-source PATH"
        )
    default = loader.default_run_env
    if loader.env and loader.env not in environments | {default}:
        raise ConfigurationError(_unknown("environment", loader.env, environments | {default}, {}))
    if not loader.runtime_params:
        return
    _refuse_secrets(loader.runtime_params)
    used = {loader.base_env, loader.env or default}
    texts = {name: text for name, text in files.items() if PurePosixPath(name).parts[0] in used}
    read = {
        key.split(".")[0] for text in texts.values() for key in _RUNTIME_PARAMETER.findall(text)
    }
    known = read | {key for name, text in texts.items() for key in _parameters(name, text)}
    for name, value in loader.runtime_params.items():
        if name not in known and isinstance(value, dict) and "candidate" in value:
            raise ConfigurationError(f"The parameter '{name}.candidate' is now 'candidates.{name}'")
        if name not in known:
            raise ConfigurationError(_unknown("parameter", name, known, RENAMED_PARAMETERS))


def _refuse_secrets(parameters: dict[str, Any], prefix: str = "") -> None:
    """Refuse passwords and keys before anything shows or tracks the parameters of a command."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            _refuse_secrets(value, f"{prefix}{name}.")
        elif (hidden := hide_secrets(text := f"{prefix}{name}={value}")) != text:
            raise ConfigurationError(
                f"{hidden} contains a password or key, which other users of this machine see in the list of "
                "processes: leave it out, and set variables such as PGPASSWORD, AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )


def _parameters(name: str, text: str) -> Iterable[str]:
    """Return the top-level keys of a file of parameters, and nothing of other files."""
    is_parameters = any(part.startswith("parameters") for part in PurePosixPath(name).parts[1:])
    return (yaml.safe_load(text) or {}) if is_parameters else ()


def _unknown(kind: str, name: str, known: Iterable[str], renamed: dict[str, str]) -> str:
    if name in renamed:
        return f"The {kind} {name!r} is now {renamed[name]!r}"
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(sorted(known))}"
    return f"There is no {kind} {name!r}. {hint}"


def _read_files(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the path below the configuration folder and the text of every YAML file.

    The folder's subfolders are listed too, with an empty text: an environment may have no file.
    """
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source).as_posix()
            if path.is_dir():
                yield f"{name}/", ""
            elif path.suffix in {".yml", ".yaml"}:
                yield name, path.read_text(encoding="utf-8")
    elif source.is_file() and zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if name.endswith((".yml", ".yaml")):
                    yield _below_root(name), archive.read(name).decode()
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                if member.name.endswith((".yml", ".yaml")) and (
                    file := archive.extractfile(member)
                ):
                    yield _below_root(member.name), file.read().decode()


def _below_root(name: str) -> str:
    """Drop the folder ``conf`` that an archive begins with."""
    return "/".join(part for part in PurePosixPath(name).parts if part != ".").split("/", 1)[-1]
