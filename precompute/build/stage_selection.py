"""Which stages a build may touch: --only, --from and --to."""

from __future__ import annotations

from dataclasses import dataclass

from featurelib.schema import STAGES, Refusal


@dataclass(frozen=True)
class Span:
    """Which stages a build may touch."""

    only: str | None = None
    """The one stage to build, or None for all."""
    start: str | None = None
    """The stage from which everything is made again, even if it stands."""
    end: str | None = None
    """The last stage to build, or None for all."""

    def __post_init__(self) -> None:
        """Refuse flags that contradict each other."""
        if self.only and (self.end or self.start not in (None, self.only)):
            raise Refusal(f"--only {self.only} names the one stage to build; leave --from and --to out.")
        if self.start and self.end and STAGES.index(self.start) > STAGES.index(self.end):
            raise Refusal(f"--from {self.start} comes after --to {self.end}; give them the other way round.")

    def allows(self, stage: str) -> bool:
        """Whether `stage` may be built."""
        return self.only in (None, stage) and (self.end is None or STAGES.index(stage) <= STAGES.index(self.end))

    def forces(self, stage: str) -> bool:
        """Whether `stage` is made again although it stands; what may not be built is never forced, so it stays."""
        return self.start is not None and self.allows(stage) and STAGES.index(stage) >= STAGES.index(self.start)
