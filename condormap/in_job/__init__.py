"""What runs inside a job, and the formats that it shares with the submitting side; travels with every map."""
