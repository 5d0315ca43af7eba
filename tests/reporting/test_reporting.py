import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from speech_emotion.datasets import Sound
from speech_emotion.evaluation import DetectionSettings
from speech_emotion.pipelines.reporting.nodes import write_report
from speech_emotion.reporting.models import (
    Evidence,
    figures,
    html_report,
    markdown_report,
    model_card,
)
from speech_emotion.reporting.models import sounds as pictures

LABELS = ["angry", "happy", "sad"]


LINE = {
    "uar_clean": 0.623,
    "uar": 0.6,
    "uar_low": 0.5,
    "uar_high": 0.7,
    "loss": 0.023,
    "loss_low": 0.001,
    "loss_high": 0.052,
}


def board_row(model, protocol, evaluation, uar, champion=False, condition="clean"):
    row = {"model": model, "protocol": protocol, "condition": condition}
    row |= {"evaluation": evaluation}
    row |= {"n_utterances": 40, "n_speakers": 4, "fit_seconds": 1.25, "predict_ms": 0.5}
    for metric in ("accuracy", "uar", "macro_f1"):
        row |= {metric: uar, f"{metric}_low": uar - 0.1, f"{metric}_high": uar + 0.1}
    return row | {"champion": champion}


@pytest.fixture
def leaderboard():
    return pd.DataFrame(
        [
            board_row("mlp", "speaker_independent", "cross-validation", 0.61, True),
            board_row("mlp", "speaker_independent", "test", 0.623, True),
            board_row("mlp", "random_split", "test", 0.847),
            board_row("xgboost", "speaker_independent", "test", 0.5),
            board_row("mlp", "speaker_independent", "test", 0.5, True, "telephone"),
            board_row("mlp", "speaker_independent", "cross-validation", 0.55, True, "telephone"),
            board_row("mlp", "cross_corpus", "cross-validation", 0.3),
        ]
    )


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "label": ["angry", "angry", "happy", "sad"],
            "prediction": ["angry", "happy", "happy", "sad"],
            "speaker": ["s1", "s1", "s2", "s3"],
        }
    )


@pytest.fixture
def breakdown():
    rows = [("corpus", "tess", 30, 1), ("sex", "female", 30, 3), ("speaker", "tess_oaf", 30, 1)]
    table = pd.DataFrame(rows, columns=["by", "value", "n_utterances", "n_speakers"])
    table = table.assign(accuracy=0.5, uar=0.55, uar_low=0.4, uar_high=0.6)
    table.loc[table["n_speakers"] == 1, ["uar_low", "uar_high"]] = np.nan
    return table


@pytest.fixture
def evidence(leaderboard, breakdown):
    keys = {
        "model": "mlp",
        "protocol": "speaker_independent",
        "condition": "clean",
        "evaluation": "test",
    }
    counts = {"n_utterances": 40, "n_speakers": 4}
    areas = {"auc": 0.912, "auc_low": 0.8, "auc_high": 0.95, "recall": 0.7, "precision": 0.4}
    detection = pd.DataFrame([keys | counts | areas | {"corpus": "all"}])
    differences = {"difference": -0.123, "difference_low": -0.2, "difference_high": 0.1}
    paired = pd.DataFrame([keys | counts | differences | {"better": 0.1, "model": "xgboost"}])
    lines = pd.DataFrame([keys | counts | LINE | {"line": line} for line in ("all", "gsm")])
    calibration = pd.DataFrame([keys | {"temperature": 1.7, "ece_raw": 0.2, "ece": 0.034}])

    def make(synthetic=False, rejected=(("<script>alert(1)</script>.wav", "silent"),)):
        return Evidence(
            utterances=pd.DataFrame({"synthetic": [synthetic], "speaker": ["s1"]}),
            rejected=pd.DataFrame(list(rejected), columns=["path", "reason"]),
            leaderboard=leaderboard,
            per_class=pd.DataFrame(
                {"label": LABELS, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 8}
            ),
            breakdown=breakdown,
            detection=detection,
            paired=paired,
            lines=lines,
            calibration=calibration,
            champion="mlp",
            members=["mlp"],
            protocol="speaker_independent",
            details={"seed": "0"},
            corpora=[
                {
                    "title": "TESS",
                    "licence": "CC BY-NC-ND 4.0",
                    "source": "doi.org",
                    "languages": "en",
                    "utterances": "30",
                    "speakers": "1",
                }
            ],
        )

    return make


def summary_of(figure):
    return figure.layout.meta["summary"]


def title_of(figure):
    return f"{figure.layout.title.text} {figure.layout.title.subtitle.text}"


def test_confusion_shows_shares_and_counts(predictions):
    figure = figures.confusion_figure(predictions, LABELS, title="Confusion", note=" (SYNTHETIC)")
    heat = figure.data[0]
    np.testing.assert_allclose(heat.z, [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    assert (heat.z[0][1], heat.text[0][1]) == (0.5, 1)
    assert "n = 4 utterances of 3 speakers (SYNTHETIC)" in title_of(figure)
    assert summary_of(figure) == (
        "Recall: angry 50%, happy 100% and sad 100%. "
        "Most frequent confusion: angry predicted as happy, 50%."
    )


def test_labels_without_utterances_have_no_row_of_confusions(predictions):
    some = predictions[predictions["label"] != "happy"]
    figure = figures.confusion_figure(some, LABELS, title="Confusion")
    heat = figure.data[0]
    assert (list(heat.y), list(heat.x)) == (["angry", "sad"], LABELS)
    np.testing.assert_allclose(heat.z, [[0.5, 0.5, 0], [0, 0, 1]])
    assert "Recall: angry 50% and sad 100%." in summary_of(figure)


def test_leaderboard_separates_protocols_and_conditions(leaderboard):
    figure = figures.leaderboard_figure(leaderboard, labels=3)
    traces = {trace.name: trace for trace in figure.data}
    # The selecting protocol comes first, the leaky one last.
    assert list(traces) == [
        "speaker_independent",
        "speaker_independent, telephone",
        "cross_corpus",
        "random_split",
    ]
    test_set = traces["speaker_independent"]
    values = dict(zip(test_set.x, test_set.y, strict=True))
    assert values == {"MLP": 0.623, "XGBoost": 0.5}
    np.testing.assert_allclose(test_set.error_y.arrayminus, 0.1)
    assert list(traces["cross_corpus"].y) == [0.3]  # it has no test set
    assert figure.layout.shapes[0].y0 == pytest.approx(1 / 3)
    assert "40 utterances of 4 speakers" in title_of(figure)


@pytest.fixture
def scored():
    table = pd.DataFrame({"condition": ["clean"] * 4 + ["telephone"] * 4})
    table["label"] = ["angry", "angry", "happy", "sad"] * 2
    table["prediction"] = ["angry", "happy", "happy", "sad"] * 2
    table["speaker"] = ["s1", "s1", "s2", "s3"] * 2
    for name, values in {"angry": [0.9, 0.4, 0.1, 0.1], "happy": [0.05, 0.6, 0.8, 0.1]}.items():
        table[f"p_{name}"] = values * 2
    return table.assign(p_sad=1 - table["p_angry"] - table["p_happy"])


def test_detection_and_reliability_are_drawn_by_condition(scored):
    figure = figures.detection_figure(scored, DetectionSettings(), title="Angry", note=" (X)")
    roc = next(trace for trace in figure.data if trace.name == "clean")
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert max(roc.y[roc.x == 0]) == 1  # both angry ones score above all others
    assert "n = 4 utterances of 3 speakers (X)" in title_of(figure)
    lines = {t.name: t for t in figures.reliability_figure(scored, title="R").data}
    assert {"clean", "telephone"} <= set(lines)
    assert dict(zip(lines["clean"].x.round(3), lines["clean"].y, strict=True)) == {
        0.6: 0.0,
        0.8: 1.0,
        0.9: 1.0,
    }


def test_breakdown_has_no_interval_for_one_speaker(breakdown):
    figure = figures.breakdown_figure(breakdown, title="By group")
    bars = {bar.name: bar for bar in figure.data}
    assert np.isnan(bars["corpus"].error_y.array[0])
    assert bars["sex"].error_y.array[0] == pytest.approx(0.05)
    assert "30 utterances of 1 speaker" in title_of(figure)
    assert (
        summary_of(figure)
        == "UAR by corpus: tess 55%; by sex: female 55%; by speaker: tess_oaf 55%."
    )


def test_emotions_are_counted():
    table = pd.DataFrame(
        {"corpus": ["a", "a", "b"], "label": ["sad", "sad", "angry"], "speaker": ["x", "x", "y"]}
    )
    figure = figures.emotions_figure(table)
    bars = {bar.name: dict(zip(bar.x, bar.y, strict=True)) for bar in figure.data}
    assert bars == {"a": {"angry": 0, "sad": 2}, "b": {"angry": 1, "sad": 0}}


def test_curves_trials_and_components():
    curves = pd.DataFrame({"run": ["fold 0", "fold 0", "final"], "epoch": [1, 2, 1]})
    curves = curves.assign(loss=[2.0, 1.0, 2.0], val_loss=[2.1, 1.5, np.nan])
    names = [trace.name for trace in figures.learning_curves_figure(curves, trained_on="").data]
    assert names == ["final, training", "fold 0, training", "fold 0, validation"]
    states = ["complete", "pruned", "complete"]
    trials = pd.DataFrame({"model": "mlp", "trial": [0, 1, 2], "state": states})
    trials["uar"] = [0.5, 0.3, 0.4]
    best = next(
        t for t in figures.tuning_figure(trials, trained_on="").data if t.name == "MLP, best"
    )
    assert list(best.y) == [0.5, 0.5]
    many = pd.concat([trials.assign(model=f"model {number}") for number in range(12)])
    marks = [
        t.marker for t in figures.tuning_figure(many, trained_on="").data if t.showlegend is None
    ]
    assert len({(mark.color, mark.symbol) for mark in marks}) == len(marks) == 12
    variance = pd.DataFrame({"component": [1, 2], "explained": [0.8, 0.2]})
    variance["cumulative"] = [0.8, 1.0]
    pca = figures.pca_figure(variance, trained_on="")
    assert list(pca.data[1].y) == [0.8, 1.0]
    assert "first 2 of 2 components explain 90%" in summary_of(pca)


def test_empty_tables_draw_empty_figures():
    curves = pd.DataFrame(columns=["run", "epoch", "loss", "val_loss"])
    assert len(figures.learning_curves_figure(curves, trained_on="").data) == 0


def test_pictures_have_one_panel_per_label(tone):
    examples = {label: (tone(300), f"u:{label}") for label in LABELS}
    for draw in (pictures.waveform_picture, pictures.mfcc_picture):
        figure = draw(examples, 22050, note=" (SYNTHETIC)")
        shown = [axes for axes in figure.axes if axes.get_visible() and axes.get_title()]
        assert [axes.get_title().split("\n")[0] for axes in shown] == LABELS
        assert "SYNTHETIC" in figure.get_suptitle()
    pair = {"gain 6 dB": (tone(300), tone(300))}
    figure = pictures.augmentation_picture(pair, 22050)
    assert [axes.get_title() for axes in figure.axes] == ["before: gain 6 dB", "after: gain 6 dB"]
    long = "a line\npeak -14 dBFS, noise -56 dBFS, 150–3400 Hz, MP3 8 kbit/s, IMA ADPCM 32 kbit/s"
    figure = pictures.augmentation_picture({long: pair["gain 6 dB"]}, 22050)
    figure.draw_without_rendering()
    left, right = (axes.title.get_window_extent() for axes in figure.axes)
    assert left.x0 > 0
    assert left.x1 < right.x0
    assert right.x1 < figure.bbox.x1


class _Page(HTMLParser):
    """Collect links, anchors, landmarks and text alternatives of a page."""

    def __init__(self, page):
        super().__init__()
        self.links, self.ids, self.tags, self.unlabelled = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if attributes.get("id") else []
        self.links += [attributes[name] for name in ("src", "href") if attributes.get(name)]
        if tag == "img" and len(attributes.get("alt", "")) < 20:
            self.unlabelled.append(attributes)
        if attributes.get("role") == "img" and len(attributes.get("aria-label", "")) < 20:
            self.unlabelled.append(attributes)

    @property
    def outside(self):
        return [link for link in self.links if not link.startswith(("data:", "#"))]


@pytest.fixture
def drawn(predictions, scored, leaderboard, breakdown):
    def make(evidence):
        return {
            "emotions": figures.leaderboard_figure(leaderboard, labels=3),
            "leaderboard": figures.leaderboard_figure(leaderboard, labels=3),
            "confusion": figures.confusion_figure(predictions, LABELS, title="Confusion"),
            "lines": figures.lines_figure(evidence.lines, title="Lines"),
            "breakdown": figures.breakdown_figure(breakdown, title="By group"),
            "detection": figures.detection_figure(scored, DetectionSettings(), title="Angry"),
            "reliability": figures.reliability_figure(scored, title="Reliability"),
        }

    return make


@pytest.fixture
def report(drawn, tone):
    def make(evidence, run=None):
        sounds = {"gain_after": (tone(300, seconds=0.1), 22050)}
        pictures = {"waveform": Image.new("RGB", (4, 4))}
        return html_report(evidence, drawn(evidence), pictures, sounds, run)

    return make


RUN = {"date": "2026-11-26 18:00 UTC", "commit": "0123abc", "run_id": "f" * 32}


def test_report_is_self_contained_and_escapes_names(report, evidence):
    page = report(evidence())
    assert _Page(page).outside == ["index.html"]
    assert page.count("plotly.js v") == 1
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "data:audio/wav;base64," in page
    for number in ("62.3% [52.3, 72.3]", "84.7%", "0.91 [0.80, 0.95]", "-12.3%", "3.4%", "1.70"):
        assert number in page
    text = re.sub(r"\s+", " ", page)
    assert "test set of 40 utterances of 4 unseen speakers" in text


def test_report_plays_each_sound_before_and_after_its_transform(evidence, drawn, tone):
    sound = Sound(tone(300, seconds=0.1), 22050)
    names = ["recording", "gain_before", "gain_after", "time_shift_before", "time_shift_after"]
    sounds = {name: lambda: sound for name in sorted(names)}
    page = write_report(evidence(), sounds, {}, None, **drawn(evidence()))
    assert re.findall(r'<audio [^>]*aria-label="([^"]+)"', page) == names


def test_report_has_contents_landmarks_and_text_alternatives(
    report, evidence, tmp_path, audit_file
):
    (tmp_path / "report.html").write_text(report(evidence()), encoding="utf-8")
    audit_file(tmp_path / "report.html")
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert {"models", "groups", "detection", "limits"} < set(anchors)
    assert set(anchors) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {"header", "nav", "main", "footer", "figcaption"} <= set(page.tags)
    assert page.unlabelled == []


@pytest.mark.browser
def test_report_fits_phones_and_paper_and_follows_dark_mode(report, evidence, visit, tmp_path):
    (tmp_path / "report.html").write_text(report(evidence()), encoding="utf-8")
    page = visit(tmp_path / "report.html")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    color = (
        "[...document.querySelectorAll('.js-plotly-plot')].every(p => p.layout.font.color === '{}')"
    )
    for scheme, ink in (("dark", "#e6eaef"), ("light", "#1f2328")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(color.format(ink))
        body = page.evaluate("getComputedStyle(document.body).color")
        assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", body)) == ink
    page.set_viewport_size({"width": 1400, "height": 800})
    widest = "Math.max(...[...document.querySelectorAll('.main-svg')].map(e => e.clientWidth))"
    page.wait_for_function(f"{widest} > 700")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{widest} <= 700")  # of paper
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{widest} > 700")


def test_report_shows_the_loss_over_each_line(report, evidence):
    page = report(evidence())
    assert "+2.3% [+0.1, +5.2]" in page
    without = dataclasses.replace(evidence(), lines=evidence().lines.iloc[:0])
    assert "No telephone sound was tested" in report(without)


def test_lines_figure_shows_clean_and_line(evidence):
    figure = figures.lines_figure(evidence().lines, title="Lines", note=" (SYNTHETIC)")
    assert [trace.name for trace in figure.data] == ["clean", "over the line"]
    assert list(figure.data[1].x) == ["all lines", "GSM"]
    assert summary_of(figure) == "Loss of UAR: all lines 2.3% and GSM 2.3%."
    assert "n = 40 utterances of 4 speakers (SYNTHETIC)" in title_of(figure)
    empty = figures.lines_figure(evidence().lines.iloc[:0], title="Lines")
    assert "no telephone sound was tested" in title_of(empty)


def test_report_names_run_commit_and_model_version(report, evidence):
    page = report(evidence(), run=RUN | {"model": "speech-emotion version 3 (champion)"})
    for text in (*RUN.values(), "speech-emotion version 3 (champion)"):
        assert text in page
    assert "not registered" in report(evidence(), run=RUN)


def test_report_shows_the_selecting_protocol_first(evidence):
    assert [(row["protocol"], row["condition"]) for row in evidence().headline()] == [
        ("speaker_independent", "clean"),
        ("speaker_independent", "telephone"),
        ("cross_corpus", "clean"),
    ]
    order = [row["protocol"] for row in evidence().sorted_leaderboard]
    assert order == ["speaker_independent"] * 5 + ["cross_corpus", "random_split"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_corpus_is_marked(report, evidence, synthetic):
    page, card = report(evidence(synthetic)), model_card(evidence(synthetic))
    assert ("SYNTHETIC SAMPLE CORPUS" in page) is synthetic
    assert ("SYNTHETIC SAMPLE CORPUS" in card) is synthetic


@pytest.mark.parametrize("protocol", ["speaker_independent", "leaking_folds"])
def test_folds_that_leak_are_named_beside_the_score(report, evidence, protocol):
    renamed = {
        field.name: value.replace("speaker_independent", protocol)
        for field in dataclasses.fields(Evidence)
        if isinstance(value := getattr(evidence(), field.name), pd.DataFrame)
    }
    found = dataclasses.replace(evidence(), **renamed, protocol=protocol)
    for text in (report(found), model_card(found)):
        assert ("These folds leak" in text) is (protocol == "leaking_folds")
        assert protocol in text
    assert ("unseen speakers" in " ".join(report(found).split())) is (protocol != "leaking_folds")


def test_report_states_that_nothing_was_rejected(report, evidence):
    assert "No file was rejected." in report(evidence(rejected=()))


def test_model_card_states_metrics_data_and_limits(evidence):
    card = model_card(evidence())
    for part in (
        "| UAR | 62.3% [52.3, 72.3] | 61.0% [51.0, 71.0] |",
        "n = 40 utterances of 4 speakers",
        "| TESS | 30 | 1 | CC BY-NC-ND 4.0 | doi.org |",
        "| corpus | tess | 30 | 1 | 55.0% |",
        "EU AI Act",
        "models:/speech-emotion@champion",
    ):
        assert part in card
    assert "tess_oaf" not in card  # speakers are people


def test_markdown_contains_every_protocol_with_intervals(evidence, leaderboard):
    by_corpus = leaderboard[leaderboard["evaluation"] == "cross-validation"].assign(corpus="tess")
    text = markdown_report(evidence(), by_corpus)
    for line in (
        "| `speaker_independent` | clean | MLP | 62.3% [52.3, 72.3] | 40 / 4 | "
        "61.0% [51.0, 71.0] | 40 / 4 |",
        "| `cross_corpus` | clean | MLP | – | – | 30.0% [20.0, 40.0] | 40 / 4 |",
        "| MLP (champion) | 62.3% [52.3, 72.3] | 61.0% [51.0, 71.0] | 55.0% [45.0, 65.0] |",
        "| tess | `speaker_independent` | clean | 40 / 4 | 61.0% [51.0, 71.0] | 61.0% |",
    ):
        assert line in text
    assert "| GSM | test set | 40 / 4 | 62.3% | 60.0% [50.0, 70.0] | +2.3% [+0.1, +5.2] |" in text
    assert "SYNTHETIC" not in text
    assert "SYNTHETIC" in markdown_report(evidence(synthetic=True), by_corpus)
