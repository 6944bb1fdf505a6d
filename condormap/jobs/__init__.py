"""HTCondor's jobs at a prompt: Job, JobCluster, JobGroup."""
