import inspect
import re

import mlflow
import pytest
from kedro.io import DatasetError

from speech_emotion.datasets import (
    AudioDataset,
    DocumentDataset,
    ModelCardDataset,
    RunInfoDataset,
    Sound,
)

PAGE = """<html><head><style>p {}</style></head><body class="x"><nav>Contents</nav><h1>Report</h1>
<div class="scroll" role="img" aria-label="UAR by model. MLP is best."><div id="a"
 class="plotly-graph-div" style="height: 450px"></div><script>Plotly.newPlot("a")</script></div>
<img alt="MFCC" src="data:image/png;base64,AAAA"></body></html>"""


def preview_type(dataset):
    """Return the type of the preview as kedro-viz reads it."""
    annotation = inspect.signature(dataset.preview).return_annotation
    return getattr(annotation, "__name__", str(annotation))


def test_page_is_previewed_without_scripts(tmp_path):
    dataset = DocumentDataset(filepath=str(tmp_path / "report.html"))
    dataset.save(PAGE)
    shown = dataset.preview()
    assert preview_type(dataset) == "HTMLPreview"
    assert "<h1>Report</h1>" in shown
    assert "Chart: UAR by model. MLP is best." in shown
    assert 'alt="MFCC"' in shown
    assert not re.search("script|style|plotly|nav|html", shown)
    assert dataset.load() == PAGE


def test_markdown_is_previewed_as_formatted_text(tmp_path):
    dataset = DocumentDataset(filepath=str(tmp_path / "card.md"))
    dataset.save("# Card\n\n| metric | value |\n|---|---|\n| UAR | 62 % |\n")
    assert "<h1>Card</h1>" in dataset.preview()
    assert "<td>UAR</td>" in dataset.preview()


def test_sound_preview_is_an_image(tmp_path, tone):
    dataset = AudioDataset(filepath=str(tmp_path / "tone.wav"))
    dataset.save(Sound(tone(440), 22050))
    assert preview_type(dataset) == "ImagePreview"
    assert dataset.preview().startswith("iVBOR")


def test_saved_pages_are_linked_by_the_index(tmp_path):
    def save(path):
        DocumentDataset(filepath=str(tmp_path / path), index=str(tmp_path)).save(PAGE)
        return re.findall('href="([a-z_/]+.html)"', (tmp_path / "index.html").read_text())

    assert save("calls/calls.html") == ["calls/calls.html"]
    assert save("report.html") == ["report.html", "calls/calls.html"]
    assert save("recipes/recipes.html")[-1] == "recipes/recipes.html"


def test_document_without_index_writes_only_itself(tmp_path):
    DocumentDataset(filepath=str(tmp_path / "report.html")).save(PAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture
def tracking(empty_store, tmp_path):
    before = mlflow.get_tracking_uri()
    store = tmp_path / "mlflow.db"
    store.write_bytes(empty_store.read_bytes())
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    experiment = mlflow.create_experiment("reports", artifact_location=str(tmp_path / "artifacts"))
    yield experiment
    mlflow.set_tracking_uri(before)


def test_run_info_names_run_commit_and_registered_version(tracking):
    dataset = RunInfoDataset(name="speech-emotion")
    assert set(dataset.load()) == {"date"}
    with mlflow.start_run(experiment_id=tracking) as run:
        mlflow.set_tag("git_commit", "0123abc")
        info = dataset.load()
        assert info["run_id"] == run.info.run_id
        assert info["commit"] == "0123abc"
        assert "model" not in info
        client = mlflow.MlflowClient()
        client.create_registered_model("speech-emotion")
        client.create_model_version("speech-emotion", run.info.artifact_uri, run_id="0" * 32)
        version = client.create_model_version(
            "speech-emotion", run.info.artifact_uri, run_id=run.info.run_id
        ).version
        client.set_registered_model_alias("speech-emotion", "champion", version)
        assert dataset.load()["model"] == f"speech-emotion version {version} (champion)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", info["date"])


def test_run_info_cannot_be_saved():
    with pytest.raises(DatasetError, match="read-only"):
        RunInfoDataset(name="speech-emotion").save({"date": "today"})


def test_model_card_describes_the_version_that_the_run_registered(tracking, tmp_path):
    card = ModelCardDataset(filepath=str(tmp_path / "model_card.md"), name="speech-emotion")
    client = mlflow.MlflowClient()
    client.create_registered_model("speech-emotion")
    with mlflow.start_run(experiment_id=tracking) as run:
        model = client.create_logged_model(tracking, source_run_id=run.info.run_id)
        create = client.create_model_version
        other = create("speech-emotion", run.info.artifact_uri, run_id="0" * 32)
        source = f"models:/{model.model_id}"
        client.finalize_logged_model(model.model_id, "READY")
        version = create("speech-emotion", source, run_id=run.info.run_id, model_id=model.model_id)
        card.save("# Card")
    assert card.load() == "# Card"
    assert client.get_model_version("speech-emotion", version.version).description == "# Card"
    assert not client.get_model_version("speech-emotion", other.version).description
    assert client.get_registered_model("speech-emotion").description == "# Card"
    assert client.get_logged_model(model.model_id).tags["mlflow.note.content"] == "# Card"
