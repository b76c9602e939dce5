from __future__ import annotations

from pathlib import Path

import pytest


def test_the_fixture_and_the_option(pytester: pytest.Pytester, runs: Path) -> None:
    pytester.makepyfile(
        """
        def test_healthy(sftdiag_report):
            assert sftdiag_report.verdict == "healthy"
        """
    )
    result = pytester.runpytest_subprocess("--sftdiag-run", str(runs / "healthy"))
    result.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("--sftdiag-run", str(runs / "overfitting"))
    result.assert_outcomes(failed=1)


def test_the_marker_fails_with_the_diagnosis(pytester: pytest.Pytester, runs: Path) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.sftdiag({str(runs / "overfitting")!r})
        def test_sick():
            raise SystemError("the body of a test whose run is sick does not matter")

        @pytest.mark.sftdiag(run={str(runs / "overfitting")!r}, ignore="SFT2")
        def test_ignored(sftdiag_report):
            assert sftdiag_report.findings == ()

        @pytest.mark.sftdiag({str(runs / "healthy")!r}, fail_on="info")
        def test_healthy(sftdiag_report):
            assert sftdiag_report.verdict == "healthy"
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*sftdiag: *overfitting: error*SFT201*", "*eval_loss was best at step*"]
    )


def test_a_relative_run_is_relative_to_where_pytest_is_called(
    pytester: pytest.Pytester, runs: Path
) -> None:
    (pytester.path / "out").symlink_to(runs / "healthy")
    pytester.makepyfile(**{"tests/test_it": "def test_it(sftdiag_report): pass"})
    pytester.runpytest_subprocess("--sftdiag-run", "out").assert_outcomes(passed=1)


def test_a_failed_comparison_says_what_was_found(pytester: pytest.Pytester, runs: Path) -> None:
    pytester.makepyfile(
        """
        def test_report(sftdiag_report):
            assert sftdiag_report == 1

        def test_findings(sftdiag_report):
            assert sftdiag_report.at_least("warning") == ()

        def test_else():
            assert (1, 2) == (1, 3)
        """
    )
    result = pytester.runpytest_subprocess("--sftdiag-run", str(runs / "overfitting"))
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*overfitting: error SFT201 eval-loss-rising> == 1",
            "*set num_train_epochs to 25 instead of 80*",
            "*(SFT201 eval-loss-rising) == ()",
            "*SFT201 eval-loss-rising (error): eval_loss was best at step 50*",
            "*At index 1 diff: 2 != 3",
        ]
    )


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ("@pytest.mark.sftdiag", "no run to diagnose: pass --sftdiag-run PATH"),
        ("@pytest.mark.sftdiag('nope')", "*nope: no such file or folder*"),
        (
            "@pytest.mark.sftdiag('.', fail_at='error')",
            "the sftdiag marker takes a run*got fail_at",
        ),
        ("@pytest.mark.sftdiag(run={})", "no run to diagnose*"),
        ("@pytest.mark.sftdiag(run={'a': 1})", "the sftdiag marker's run must be a path*"),
        ("@pytest.mark.sftdiag('.', fail_on='fatal')", "*severity must be one of*"),
    ],
)
def test_misuse_fails_in_one_line(pytester: pytest.Pytester, mark: str, problem: str) -> None:
    pytester.makepyfile(f"import pytest\n\n{mark}\ndef test_it(): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{problem}*"])


def test_without_use_nothing_of_sftdiag_loads(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.startswith("sftdiag")}
            assert loaded == {"sftdiag", "sftdiag.pytest_plugin"}
            assert "rich" not in sys.modules
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_settings_file_holds_and_the_marker_wins(pytester: pytest.Pytester, runs: Path) -> None:
    pytester.makefile(".toml", sftdiag='ignore = ["SFT201"]\nlang = "zh"\n')
    pytester.makepyfile(
        f"""
        import pytest

        def test_fixture(sftdiag_report):
            assert sftdiag_report.language == "zh" and sftdiag_report.findings == ()

        @pytest.mark.sftdiag({str(runs / "overfitting")!r})
        def test_ignored(): pass

        @pytest.mark.sftdiag({str(runs / "overfitting")!r}, ignore=(), lang="en")
        def test_sick(): pass
        """
    )
    result = pytester.runpytest_subprocess("--sftdiag-run", str(runs / "overfitting"))
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*overfitting: error*SFT201*"])
