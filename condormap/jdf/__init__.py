"""Job description files: split at their queue statements, checked, written."""
