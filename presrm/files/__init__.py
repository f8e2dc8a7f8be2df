"""What stands on disk and how it is resumed: rows, tables, journals, the run folder and the ledger."""
