#!/bin/sh
# Print the sum of the numbers in a file, one to a line.
awk '{ sum += $1 } END { print sum }' "$1"
