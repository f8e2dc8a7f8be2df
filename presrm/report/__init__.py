"""What a run found, as JSON, Markdown and a terminal table."""

from presrm.report.summary import to_json, to_markdown, to_table

__all__ = ["to_json", "to_markdown", "to_table"]
