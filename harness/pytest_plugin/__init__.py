"""The pytest plugin, and the only part of the harness that knows pytest.

It is switched on by `pytest_plugins = ("harness.pytest_plugin",)` in the root conftest, which works from any folder and
in any import mode. One module holds one kind of hook:

* `options`: command line, markers, settings of the session
* `markers`: `needs`, `topology`, `negative_control`, `plan` on an item, checked before it runs
* `fixtures`: `fabric` and `expect`, the two that suites use
* `verdict`: what a test's measurements mean for pytest
* `evidence`: `--prove-evidence`, which judges a test that passed without its evidence
* `recording`: one line a finished test, reports at the end, exit code
* `terminal`: header and summary
* `allure_bridge`: what Allure cannot know, when `--alluredir` is given
* `junit_bridge`: verdicts as properties, when `--junitxml` is given
"""

from __future__ import annotations

pytest_plugins = (
    "harness.pytest_plugin.options",
    "harness.pytest_plugin.markers",
    "harness.pytest_plugin.fixtures",
    "harness.pytest_plugin.verdict",
    "harness.pytest_plugin.evidence",
    "harness.pytest_plugin.recording",
    "harness.pytest_plugin.terminal",
    "harness.pytest_plugin.allure_bridge",
    "harness.pytest_plugin.junit_bridge",
)
