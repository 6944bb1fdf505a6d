"""A personal pool: find or install HTCondor's daemons, configure, start and stop them."""
