"""The folders of maps on disk, and the tags that users know them by."""
