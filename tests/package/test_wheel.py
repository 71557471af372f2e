"""The wheel carries all that the dashboard needs, inside the package, and the commands know where it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import featurelib
from featurelib import installation
from featurelib.schema import Refusal
from precompute.__main__ import main
from precompute.commands.serve import check_options, server_arguments
from tests.support import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_every_file_of_the_product_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    packed = set(wheel.namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    wanted = {name for name in tracked if name.startswith(("featurelib/", "precompute/"))}
    wanted |= {f"featurelib/dashboard/{name}" for name in tracked if name == "app.py" or name.startswith("pages/")}
    wanted |= {"featurelib/dashboard/.streamlit/config.toml"}
    assert wanted <= packed, wanted - packed
    assert {name.split("/")[0] for name in packed if "dist-info" not in name} == {"featurelib", "precompute"}


def test_the_wheel_says_what_the_requirements_say(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
    assert f"\nVersion: {featurelib.__version__}\n" in metadata
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split(">")[0].split("=")[0].lower() for line in lines if line and not line.startswith("#")}
    needed = [
        line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Requires-Dist") and ";" not in line
    ]
    assert {line.split(">")[0].split("=")[0].split("<")[0].lower() for line in needed} == listed
    scripts = wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))).decode()
    assert "feature-browser = precompute.__main__:main" in scripts


def test_from_a_wheel_the_app_and_the_data_are_found_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: zipfile.ZipFile
) -> None:
    wheel.extractall(tmp_path / "site")
    code = (
        "from featurelib import installation as i; print(i.checkout(), i.app_script().is_file(), i.data_folder());"
        "print(i.command('serve'), '|', i.command('build X'))"
    )
    (tmp_path / "elsewhere").mkdir()
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "elsewhere",
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = child.stdout.splitlines()
    assert first == f"None True {tmp_path / 'elsewhere' / 'data'}"
    assert second == "feature-browser serve | feature-browser build X"


def test_in_a_checkout_the_commands_are_those_of_the_readme() -> None:
    assert installation.checkout() == ROOT and installation.app_script() == ROOT / "app.py"
    assert installation.command("serve") == "streamlit run app.py"
    assert installation.command("build X") == "python -m precompute build X"


def test_serve_hands_streamlits_options_on_and_names_the_data_folder(tmp_path: Path) -> None:
    options = check_options(["--server.port", "8600", "--server.address=0.0.0.0"])
    arguments = server_arguments(tmp_path, options)
    assert arguments[1:4] == ["-m", "streamlit", "run"] and arguments[4] == str(ROOT / "app.py")
    assert arguments[5:8] == options and arguments[8:] == ["--", "--data", str(tmp_path.resolve())]
    for wrong in (["--port", "8600"], ["8600"], ["--server.port=1", "8600"]):
        with pytest.raises(Refusal, match="is not a flag of serve"):
            check_options(wrong)


def test_serve_refuses_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "runs")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["serve", str(tmp_path), "--port", "1"]) == 2
    assert "--port is not a flag of serve" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"feature-browser {featurelib.__version__}\n"
