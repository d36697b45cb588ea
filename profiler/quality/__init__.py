"""What is wrong with data, found before they are loaded: docs/quality.md defines every figure."""

from __future__ import annotations

from profiler.quality.page import page
from profiler.quality.report import Report
from profiler.quality.survey import Portion, Survey
from profiler.quality.words import lines

__all__ = ["Portion", "Report", "Survey", "lines", "page"]
