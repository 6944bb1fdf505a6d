"""`CondorMapper`: an executable over a dataset, as a map whose function runs it."""
