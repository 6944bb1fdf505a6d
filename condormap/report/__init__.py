"""What a person sees while a map runs."""
