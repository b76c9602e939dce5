"""The main series: which of a run's evaluations counts where one has to."""

from __future__ import annotations

from sftdiag.context import RunContext
from sftdiag.signals.evaluations import Evaluation


class MainSeries:
    """What a run's evaluations and its settings say of the main one.

    Attributes:
        context: what is known of the run.
        evaluations: the finite points of each series.
        evaluations_seen: how many each had, in the order of their first.
    """

    context: RunContext
    evaluations: dict[str, list[Evaluation]]
    evaluations_seen: dict[str, int]

    @property
    def main_series(self) -> str | None:
        """The evaluation series behind metric_for_best_model, else eval_loss, else the first."""
        if (chosen := self._chosen_series) is not None:
            return chosen
        seen = self.evaluations_seen
        return "eval_loss" if "eval_loss" in seen else next(iter(seen), None)

    @property
    def chosen_by_loss(self) -> bool:
        """Whether metric_for_best_model, where one is set, is an evaluation loss."""
        return not self.context.metric_for_best_model or self._chosen_series is not None

    @property
    def _chosen_series(self) -> str | None:
        metric = self.context.metric_for_best_model
        if not metric:
            return None
        names = (metric, f"eval_{metric}")
        return next((name for name in names if name in self.evaluations_seen), None)

    @property
    def main_evaluations(self) -> list[Evaluation]:
        """The points of the main series; none before its first."""
        return self.evaluations.get(self.main_series or "", [])

    def best_evaluation(self, until: int | None = None) -> tuple[str, Evaluation] | None:
        """Return the main series and its lowest evaluation, of all or of those up to a step.

        None before the first.
        """
        series = self.main_series
        points = self.main_evaluations
        if until is not None:
            points = [point for point in points if point.step <= until]
        if series is None or not points:
            return None
        return series, min(points, key=lambda point: point.loss)
