"""condormap in a notebook: a real kernel runs real cells."""

from __future__ import annotations

from typing import Any

import pytest

from condormap import PersonalPool

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CELLS = (
    """
    from condormap import condormap
    offset = 100
    def shifted(x):
        return x + offset
    m = condormap(shifted, range(5))
    """,
    "m.wait()",
    "list(m)",
)


@pytest.fixture(scope="module")
def outputs(pool: PersonalPool) -> list[list[Any]]:
    """Return the outputs of each cell."""
    import textwrap

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(textwrap.dedent(c)) for c in CELLS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDOR_CONFIG", str(pool.config_file))
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_function_from_a_notebook_runs_on_the_pool(outputs: list[list[Any]]) -> None:
    assert outputs[2][-1]["data"]["text/plain"] == "[100, 101, 102, 103, 104]"


def test_a_notebook_shows_a_progress_bar_while_it_waits(outputs: list[list[Any]]) -> None:
    shown = [output for output in outputs[1] if output["output_type"] == "display_data"]
    assert any("application/vnd.jupyter.widget-view+json" in output["data"] for output in shown)
