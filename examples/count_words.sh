#!/bin/sh
# Count the words of a text: count_words.sh TEXT COUNTS
tr '[:upper:]' '[:lower:]' < "$1" | tr -cs '[:alpha:]' '\n' | sort | uniq -c > "$2"
