"""What the jobs of a map are given: the function, the items, and the files with them."""
