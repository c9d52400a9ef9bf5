"""The inputs and outputs in the module's README match its files."""

from __future__ import annotations

import pytest

from infra.terraform_docs import README, generated


def test_the_readme_lists_the_actual_inputs_and_outputs_and_a_wrong_list_is_corrected() -> None:
    readme = README.read_text(encoding="utf-8")
    stale = readme.replace("| `grace_seconds` |", "| `patience_seconds` |").replace("| `function_name` |", "| `job` |")
    assert stale != readme
    assert generated(stale) == readme, "write it anew: python -m infra.terraform_docs"


def test_a_readme_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="has no place for its inputs"):
        generated("# Module\n")
