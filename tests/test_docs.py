"""README.md, CONTRIBUTING.md and docs/ against the program: generated parts are current, and links lead somewhere."""

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "checkpoints/README.md", *(ROOT / "docs").glob("*.md")]
STALE = "is stale: run scripts/docs, and look at what it changed with git diff"


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/build_docs.py."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield import_module("build_docs")
    sys.modules.pop("build_docs", None)


def text(page: Path) -> str:
    return page.read_text("utf-8")


def test_the_readme_is_short() -> None:
    assert len(text(ROOT / "README.md").encode()) <= 12_000


# What is generated: the list of files, flags, transcripts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_and_files_are_current(docs: ModuleType, page: Path) -> None:
    assert docs.with_tables(text(page)) == text(page), f"{page.name} {STALE}"


def on_disk(folder: str) -> set[str]:
    made = {"__pycache__", ".so", ".pyd"}  # by Python and by pip
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file() and not made & {*path.parts, path.suffix}]
    names = {str(path.relative_to(ROOT)) for path in paths}
    return {name for name in names if name.count("/") == 1 or not name.endswith("/__init__.py")}


def listed(page: str) -> dict[str, str]:
    """Path -> purpose, from the list of files."""
    found, folder = {}, ""
    for line in page.partition("<!-- files -->")[2].partition("<!-- end -->")[0].splitlines():
        if heading := re.match(r"\*\*(\S+/)\*\*", line):
            folder = heading[1]
        elif row := re.fullmatch(r"\| `(.+)` \| (.*) \|", line):
            found[folder + row[1]] = row[2]
    return found


def test_every_file_is_listed_once_with_its_purpose_in_one_line() -> None:
    files = listed(text(ROOT / "docs/design.md"))
    assert files.keys() == on_disk("minigpt") | on_disk("scripts"), f"docs/design.md {STALE}"
    assert [path for path, purpose in files.items() if not 0 < len(purpose) <= 120] == []


def test_every_folder_says_what_it_is_for() -> None:
    folders = [path for path in (ROOT / "minigpt").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) > 5
    for folder in folders:
        assert f"\n**minigpt/{folder.name}/**: " in text(ROOT / "docs/design.md"), f"docs/design.md {STALE}"


@pytest.mark.torch
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_transcripts_show_what_the_program_prints(docs: ModuleType, page: Path) -> None:
    """As far as it depends on neither the processor nor the clock: `docs.difference` says what may differ."""
    with docs.workplace():
        for transcript in docs.TRANSCRIPT.finditer(text(page)):
            if transcript["kind"] == "run":
                assert docs.again(transcript) == transcript[0], f"{page.name} {STALE}"


@pytest.mark.torch
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_python_run(docs: ModuleType, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with docs.workplace():
        for code in re.findall(r"(?ms)^<!-- run -->\n```python\n(.*?)^```$", text(page)):
            exec(compile(code, page.name, "exec"), {})
            assert capsys.readouterr().out


def test_there_are_transcripts_and_examples_of_all_kinds(docs: ModuleType) -> None:
    kinds = [transcript["kind"] for page in PAGES for transcript in docs.TRANSCRIPT.finditer(text(page))]
    assert kinds.count("run") >= 20
    assert kinds.count("recorded") >= 1
    assert "<!-- run -->\n```python\n" in text(ROOT / "docs/python.md")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    1  ␣the  ███▊  42.64 %", "    1  ␣the  ███▉  42.65 %"),
        (" 60 tokens, 151 a second", " 60 tokens, 1,967 a second"),
        ("  1.0e-07 apart", "  1.1e-07 apart"),
        (
            "$ minigpt train x\nstep 40  loss 3.78\n  “a b”\n",
            "$ minigpt train x\nstep 40  loss 3.91\n  “the”\n  “of”\n",
        ),
        ("top token\nwas drawn 50 %", "top\ntoken was drawn 50 %"),
    ],
)
def test_what_a_processor_or_a_clock_decides_may_differ(docs: ModuleType, before: str, after: str) -> None:
    assert docs.difference(before, after) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    1  ␣the  ███▊  42.64 %", "    1  ␣the  ███▊  42.67 %"),
        ("    1  ␣the  ███▊  42.64 %", "    1  ␣the  █████▊  42.64 %"),
        ("    1  ␣the  42.64 %", "    1  ␣a  42.64 %"),
        (" 60 tokens", " 61 tokens"),
        ("one line", "one line\nand another"),
        ("$ minigpt train x\nstep 40  loss 3.78", "$ minigpt train x\nstep 40  losses 3.78"),
        ("$ minigpt train x\n$ minigpt runs\n 3.78", "$ minigpt train x\n$ minigpt runs\n 3.91"),
    ],
)
def test_whatever_else_differs_is_found(docs: ModuleType, before: str, after: str) -> None:
    assert docs.difference(before, after) != ""


# Links


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    prose = re.sub(r"(?ms)^```.*?^```$", "", text(page))
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.*)$", prose)}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text(page)) + re.findall(r'(?:src|href|srcset)="([^"]+)"', text(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert not re.match(r"\w+:", link), f"{link}: pages can be read without a network"
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_links_are_found() -> None:
    assert slug("`--corpus`: was it memorised?") == "--corpus-was-it-memorised"
    assert len(links(ROOT / "README.md")) >= 20


def test_pictures_load_nothing_from_a_network() -> None:
    pictures = list((ROOT / "docs/images").glob("*.svg"))
    assert len(pictures) >= 2
    for picture in pictures:
        assert not re.search(r"(url\(|href=|src=)\W*\w+:", text(picture))


def test_the_readme_leads_to_every_page() -> None:
    readme = ROOT / "README.md"
    reached = {(readme.parent / link.partition("#")[0]).resolve() for link in links(readme)}
    assert {page for page in PAGES if page.parent == ROOT / "docs"} <= reached
