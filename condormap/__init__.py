"""condormap: call a Python function over a dataset on an HTCondor pool as if it were map."""
