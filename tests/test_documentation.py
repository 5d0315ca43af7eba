"""Documents must agree with the code: links, names of pipelines and protocols, version, Makefile."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import speech_emotion
from speech_emotion.corpora import CORPORA, PROTOCOLS
from speech_emotion.features import FEATURE_SETS
from speech_emotion.pipeline_registry import register_pipelines

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXT = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
PIPELINES = set(register_pipelines()) - {"__default__"}


def first_column(path, heading):
    """Names in the first column of the first table below a heading."""
    section = (ROOT / path).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.M)[0]
    return {name for row in table.splitlines() for name in re.findall(r"^\| `(\w+)`", row)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_exist(path):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", TEXT[path])
    missing = [
        target
        for target in targets
        if not re.match(r"\w+:", target) and not (path.parent / target).is_file()
    ]
    assert not missing


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md"])
def test_tables_list_every_pipeline(path):
    # call_report is the second half of call_scoring and described there.
    assert first_column(path, "Pipelines") | {"call_report"} == PIPELINES


def test_commands_name_pipelines_that_exist():
    written = {
        name
        for text in TEXT.values()
        for names in re.findall(r"kedro run[^`\n]*--pipelines? ([a-z_,]+)", text)
        for name in names.split(",")
    }
    assert len(written) > 5
    # The changelog of older versions names what existed then; it holds no commands of this form.
    assert written <= PIPELINES


def test_protocols_are_explained():
    assert first_column("docs/protocols-and-metrics.md", "Protocols") == set(PROTOCOLS)


def test_feature_sets_are_explained():
    assert first_column("docs/how-to/add-a-feature.md", "Feature sets") == set(FEATURE_SETS)


def test_every_corpus_has_its_license():
    table = TEXT[ROOT / "docs/legal.md"].split("\n## Licenses\n")[1]
    titles = {corpus.title.split(" ")[0] for corpus in CORPORA.values()}
    assert titles == set(re.findall(r"^\| (\S+) \|", table, re.M)) - {"corpus", "---"}


def test_every_corpus_is_listed_with_its_defects():
    section = TEXT[ROOT / "docs/corpora.md"].split("\n## Which corpora\n")[1].split("\n## ")[0]
    rows = {
        row[0].strip("`"): row[1:]
        for row in (
            [cell.strip() for cell in line.strip("|").split(" | ")]
            for line in section.splitlines()
            if line.startswith("| `")
        )
    }
    assert set(rows) == set(CORPORA)
    for name, (title, language, tested, defects) in rows.items():
        entry = CORPORA[name]
        assert title == entry.title
        assert language == ", ".join(
            entry.language if isinstance(entry.language, dict) else [entry.language]
        )
        assert tested.startswith("yes") == entry.tested
        assert defects == "; ".join(entry.defects)


def test_every_package_and_module_is_explained_once():
    source = ROOT / "src/speech_emotion"
    section = TEXT[ROOT / "docs/architecture.md"].split("\n## Packages\n")[1].split("\n### ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    modules = {path.stem for path in source.glob("[a-z]*.py")}
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    assert sorted(explained) == sorted(modules | packages)


def test_layers_are_drawn_as_they_are_checked():
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = [set(re.findall(r"speech_emotion\.(\w+)", layer)) for layer in layers]
    drawing = (ROOT / "docs/images/layers.svg").read_text(encoding="utf-8")
    rows: dict[str, set[str]] = {}
    for y, name in re.findall(r'class="title" x="[\d.]+" y="(\d+)">(\w+)<', drawing):
        rows.setdefault(y, set()).add(name)
    assert list(rows.values()) == expected
    described = re.search(r"lower rows: (.*)\.</desc>", drawing)[1].split("; ")
    assert [set(row.split(" and ")) for row in described] == expected


def test_data_flow_shows_every_pipeline():
    drawing = (ROOT / "docs/images/data-flow.svg").read_text(encoding="utf-8")
    drawn = {name for text in re.findall(r">([^<]+)</text>", drawing) for name in text.split(", ")}
    assert drawn >= PIPELINES


def test_version_is_cited():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == speech_emotion.__version__


def test_every_package_has_an_api_page():
    source = ROOT / "src/speech_emotion"
    packages = {path.parent.name for path in source.glob("*/__init__.py")} - {"hooks", "pipelines"}
    modules = {"config", "serving"}
    written = {path.stem for path in ROOT.glob("docs/api/*.md")} - {"index"}
    assert written == packages | modules


def test_container_has_a_health_check_and_no_folder_of_recordings():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    instructions = [line for line in lines if not line.startswith("#")]
    assert any("HEALTHCHECK" in line for line in instructions)
    assert any(re.match(r"USER [1-9]\d*$", line) for line in instructions)
    assert not any("RECORDINGS" in line for line in instructions)
