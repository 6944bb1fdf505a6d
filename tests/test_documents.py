"""Every example in the documents runs as it is printed."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

from condormap import PersonalPool
from condormap.folders.paths import daemons_folder

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_EXAMPLES = [path for path in DOCUMENTS if ">>>" in path.read_text()]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=lambda path: path.name)
def test_every_example_of_a_document_gives_what_is_printed(
    document: Path, pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jdfs").symlink_to(ROOT / "jdfs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONDOR_CONFIG", str(pool.config_file))
    home = tmp_path / "home"  # other tests have maps with the same tags
    home.mkdir(mode=0o700)
    (home / "daemons").symlink_to(daemons_folder())
    monkeypatch.setenv("CONDORMAP_HOME", str(home))
    failed, attempted = doctest.testfile(str(document), module_relative=False, optionflags=FLAGS)
    assert attempted
    assert not failed


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_has_a_code_block_that_is_never_run(document: Path) -> None:
    """Python stands in documents as a session, which the test above runs; shell commands are few and plain."""
    blocks = document.read_text().split("```python\n")[1:]
    assert all(block.startswith(">>>") for block in blocks)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = [part.split(")")[0] for part in document.read_text().split("](")[1:]]
    local = [target.split("#")[0] for target in targets if "://" not in target]
    assert [target for target in local if not os.path.exists(document.parent / target)] == []
