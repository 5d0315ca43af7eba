import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.hooks.manager import _create_hook_manager

from speech_emotion.context import ProjectContext
from speech_emotion.hooks import ConfigurationError
from speech_emotion.hooks.configuration import check_configuration
from speech_emotion.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[2]


def loader(params=None, env=None, source=PROJECT / "conf"):
    return OmegaConfigLoader(str(source), env=env, runtime_params=params, **CONFIG_LOADER_ARGS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"corpora_dirr": "/x"}, "no parameter 'corpora_dirr'. Did you mean 'corpora_dir'?"),
        ({"selecton": {"seed": 1}}, "Did you mean 'selection'?"),
        ({"zzz": 1}, "no parameter 'zzz'. Use one of: "),
        ({"kernel_lda": {}}, "The parameter 'kernel_lda' is now 'rocket_lda'"),
        ({"svm": {"candidate": {"trials": 3}}}, "'svm.candidate' is now 'candidates.svm'"),
    ],
)
def test_unknown_and_renamed_parameters_are_refused(params, message):
    with pytest.raises(ConfigurationError) as error:
        check_configuration(loader(params))
    assert message in str(error.value)


def test_parameters_of_files_and_of_resolvers_are_known():
    check_configuration(loader({"data_dir": "/x", "corpora_dir": "/x", "selection": {"seed": 1}}))


def test_a_parameter_of_an_environment_is_known_there_only(tmp_path):
    source = shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (source / "test/parameters_more.yml").write_text("more: {}\n")
    check_configuration(loader({"more": 1}, env="test", source=source))
    with pytest.raises(ConfigurationError, match="no parameter 'more'"):
        check_configuration(loader({"more": 1}, source=source))


@pytest.mark.parametrize("env", [None, "local", "base", "test", "full"])
def test_environments_with_a_folder_are_known(env):
    check_configuration(loader(env=env))


def test_unknown_environments_are_refused():
    with pytest.raises(ConfigurationError, match="no environment 'tset'"):
        check_configuration(loader(env="tset"))


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="There is no configuration in"):
        check_configuration(loader(source=tmp_path))


def test_the_configuration_of_a_package_is_checked(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "conf"), "gztar", PROJECT, "conf")
    check_configuration(loader({"data_dir": "x"}, env="test", source=archive))
    with pytest.raises(ConfigurationError, match="Did you mean 'data_dir'"):
        check_configuration(loader({"datadir": "x"}, source=archive))


def test_data_lies_in_the_folder_of_the_project_wherever_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("speech_emotion.settings.PROJECT", tmp_path)
    monkeypatch.setattr("speech_emotion.context._current", [])
    context = ProjectContext(
        package_name="speech_emotion",
        project_path=PROJECT,
        config_loader=loader(),
        env=None,
        hook_manager=_create_hook_manager(),
    )
    path = str(context.catalog["utterances"]._describe()["filepath"])
    assert path == (tmp_path / "data/02_intermediate/utterances.parquet").as_posix()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "ful"], "Error: There is no environment 'ful'. Did you mean 'full'?"),
        (["--params", "corpora_dirr=x"], "Did you mean 'corpora_dir'?"),
        (["--pipelines", "feature_study"], "Error: The pipeline 'feature_study' is now 'ablation'"),
    ],
)
@pytest.mark.parametrize("program", ["kedro", "speech_emotion"])
def test_commands_refuse_them_with_one_message(program, arguments, message):
    command = [sys.executable, "-m", program, "run", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1
