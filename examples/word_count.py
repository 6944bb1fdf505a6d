"""The commonest words of many texts, counted by a shell script on an HTCondor pool.

Each text is an item. `count_words.sh` counts its words into a file; when the last one is in, `merge` adds them up.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from condormap import CondorMapper, Outcome, PersonalPool, remove

HERE = Path(__file__).parent
# The documents of this repository, and the licences that Debian has on every machine.
TEXTS = [
    *HERE.parent.glob("**/[!.]*.md"),
    HERE.parent / "LICENSE",
    *Path("/usr/share/common-licenses").glob("*"),
]

COUNTS = Path("output/word_count.txt")


def merge(outcomes: list[Outcome]) -> Counter[str]:
    """Return the words of all texts, with their counts."""
    words: Counter[str] = Counter()
    for outcome in outcomes:
        for line in outcome.output.read_text().splitlines():
            count, _, word = line.strip().partition(" ")
            words[word] += int(count)
    del words[""]
    return words


def main() -> None:
    texts = sorted(path for path in TEXTS if path.is_file() and not {".venv", "node_modules"} & {*path.parts})
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        print(f"Mapping count_words.sh over {len(texts)} texts on {pool.cpus} cpus")
        began = time.perf_counter()
        c = CondorMapper(
            HERE / "count_words.sh", texts, argtmpl="{} {out}", outtmpl="{index}.counts", pool=pool
        )
        c.set_on_complete(merge)
        c.wait()
        words = c.result()
        print(
            f"{words.total():,} words, {len(words):,} different ones, in {time.perf_counter() - began:.1f} s:"
        )
        for word, count in words.most_common(10):
            print(f"  {count:6,} {word}")
        alone = Counter(
            "".join(x if x.isascii() and x.isalpha() else " " for x in texts[0].read_text().lower()).split()
        )
        first = merge([c[0]])
        assert first == alone, "not what Python counts"
        print(f"{texts[0].name} compared with a count in Python: equal")
        remove(c.tag)
    COUNTS.parent.mkdir(exist_ok=True)
    COUNTS.write_text("".join(f"{count} {word}\n" for word, count in words.most_common()))
    print(f"All words: {COUNTS.resolve()}")


if __name__ == "__main__":
    main()
