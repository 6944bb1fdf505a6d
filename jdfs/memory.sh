#!/bin/sh
# Take so many megabytes of memory for ten minutes: tail keeps a line until it has an end, and this one has none.
{ head -c "$1"000000 /dev/zero; sleep 600; } | tail -n 1 > /dev/null
