import pandas as pd
import pytest

from speech_emotion.corpora import SampleSettings, write_sample
from speech_emotion.settings import PROJECT, on_disk

STAGES = ["ingestion", "augmentation", "feature_engineering", "model_selection", "reporting"]
SMALL = {
    "features": {"feature_set": "means_184"},
    "augmentation": {"copies": [], "variants": 1, "telephone": False},
    "selection": {"families": ["shrinkage_lda"], "compared": ["speaker_independent"]},
}


@pytest.mark.slow
def test_corpora_and_all_results_lie_in_an_object_store(store, run_kedro, tmp_path):
    files, bucket = store
    sample = SampleSettings(
        ravdess_actors=4,
        ravdess_statements=1,
        tess_words=0,
        savee_speakers=0,
        crema_d_speakers=4,
        crema_d_sentences=1,
    )
    write_sample(tmp_path / "corpora", sample, progress=False)
    files.put(f"{tmp_path}/corpora/", f"{bucket}/corpora", recursive=True)
    here = {"corpora_dir": str(tmp_path / "corpora")}
    run_kedro(tmp_path / "here", params=SMALL | here, pipeline_names=STAGES[:3])
    there = {"corpora_dir": f"s3://{bucket}/corpora"}
    run_kedro(f"s3://{bucket}/run", params=SMALL | there, pipeline_names=STAGES)

    def read(path):
        return pd.read_parquet(tmp_path / "here" / path), pd.read_parquet(
            f"s3://{bucket}/run/{path}"
        )

    here, there = read("02_intermediate/utterances.parquet")
    assert there["path"].str.startswith(f"s3://{bucket}/corpora/").all()
    pd.testing.assert_frame_equal(here.drop(columns="path"), there.drop(columns="path"))
    pd.testing.assert_frame_equal(*read("04_feature/features.parquet"))
    rejected = [
        pd.read_csv(f"{place}/02_intermediate/rejected_audio.csv")["reason"].str.split(";").str[0]
        for place in (tmp_path / "here", f"s3://{bucket}/run")
    ]
    assert "a Git-LFS pointer, not the recording" in set(rejected[1])
    kept = ~rejected[0].str.startswith("duplicate of")
    pd.testing.assert_series_equal(rejected[0][kept], rejected[1][kept])
    made = [name.removeprefix(f"{bucket}/run/") for name in files.find(f"{bucket}/run")]
    assert {
        "04_feature/sequences.npy",
        "06_models/shrinkage_lda/estimator/estimator.skops",
        "06_models/champion/predictor.json",
        "07_model_output/leaderboard.parquet",
        "08_reporting/report.html",
    } <= set(made)
    assert not [name for name in made if "partial" in name]
    assert "SYNTHETIC" in files.cat(f"{bucket}/run/08_reporting/report.html").decode()


def test_what_cannot_lie_in_an_object_store_lies_in_the_project():
    assert on_disk("s3://bucket/run") == f"{PROJECT}/data/bucket/run"
    assert on_disk("data/full") == f"{PROJECT}/data/full"
    assert on_disk("/somewhere") == "/somewhere"
