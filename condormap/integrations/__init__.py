"""What other libraries take: a pool of processes, a backend of joblib's, one of MDAnalysis'."""
