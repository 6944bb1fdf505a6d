"""The results of a map merged as they arrive, in its folder."""
