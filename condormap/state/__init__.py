"""The state of a map: its jobs by the event log, its items by the outcome files."""
