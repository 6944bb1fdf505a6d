#!/bin/sh
# flaky.sh FAILURES CODE SUCCESS: end with CODE in the first FAILURES runs of this job, and with SUCCESS after that.
# A job finds its own ad in the file $_CONDOR_JOB_AD; NumJobStarts says how often it has run before.
starts=$(awk -F' = ' '$1 == "NumJobStarts" { print $2 }' "$_CONDOR_JOB_AD")
echo "run ${starts:-0}"
[ "${starts:-0}" -lt "$1" ] && exit "$2"
exit "$3"
