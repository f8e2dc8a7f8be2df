"""What a run found, as JSON, Markdown and a terminal table."""

from presrm.report.summary import IterationSummary, to_json, to_markdown, to_table

__all__ = ["IterationSummary", "to_json", "to_markdown", "to_table"]
