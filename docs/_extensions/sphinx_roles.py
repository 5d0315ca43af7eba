"""Griffe extension: links for the Sphinx roles of docstrings, such as ``:func:`load_audio```."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?P<kind>func|class|meth|data|mod|attr|exc):`(?P<short>~?)(?P<name>[\w.]+)`")


class SphinxRoles(griffe.Extension):
    """Replace roles by cross-references; names that the site does not describe stay plain text."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object, once its members are known."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(
                lambda match: _reference(match, obj), obj.docstring.value
            )


def _reference(match: re.Match[str], obj: griffe.Object) -> str:
    name = match["name"]
    text = name.rsplit(".", 1)[-1] if match["short"] else name
    if not name.startswith("speech_emotion."):
        owner = obj if obj.is_class else obj.parent
        is_member = match["kind"] in {"meth", "attr"} and "." not in name
        # Public names belong to the package, not to the module that defines them.
        scope = owner.path if is_member and owner else ".".join(obj.path.split(".")[:2])
        name = f"{scope}.{name}"
    return f'<autoref identifier="{name}" optional><code>{text}</code></autoref>'
