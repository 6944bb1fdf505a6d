"""Job description files at random, each with what every queue statement of it means as a file of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

#: Commands, each of which may stand in a file.
COMMANDS = [
    "arguments = $(Process) of $(ClusterId)\n",
    "arguments = \"'$(a:no a)' $(b) $INT(n,%04d) $REAL(x) $$(Memory) $$([TARGET.Cpus * 2])\"\n",
    "ARGUMENTS   =   $Fnx(path) $Fp(path) $BASENAME(path)\n",
    "arguments = $CHOICE(Process, one, two, three) $SUBSTR(path, 1, 3) $EVAL(n)\n",
    "arguments = $ENV(HOME) $(item) $(Item) $(x),$(y) $(Step)/$(ItemIndex)\n",
    "arguments = ${cluster} $(DOLLAR)(cluster) #no comment\n",
    "arguments = one \\\n   two \\\n# inside \\\n three\n",
    "# a comment that is not continued \\\n",
    "#queue 5\n",
    "\n",
    "   \t\n",
    "a = 1\n",
    "a = $(a) 2\n",
    "b = $(a) and $(Process)\n",
    "n = $(Process) + 3\n",
    "x=2.5\n",
    "path = /some/folder/file.with.dots\n",
    "iter = 5\n",
    "+Quoted = $Fqnx(path)\n",
    "queued = no queue statement\n",
    '+Text = "quoted \\"text\\" $(a)"\n',
    "+Number=$(Process)\n",
    "My.Expression = ifThenElse(A =?= undefined, {1, 2}, [ b = 3 ])\n",
    'MY.Backslash = "C:\\dir\\"\n',
    "-Number = 3\n",
    "requirements @=end\n(Memory > 1) &&\n# comment\nqueue ||\n(Disk > 1)\n@end\n",
    "rank = Memory * 2\n",
    "requirements = TARGET.HasFast && (Memory >= $(n:64))\n",
    'environment = "A=\'x y\' B=""q"" C=\'$(a)\'"\n',
    "environment = A=1;B=2\n",
    "getenv = HOME, LANG\n",
    "request_memory = 64MB\n",
    "request_memory = ifThenElse(isUndefined(MemoryUsage), 32, 2 * MemoryUsage)\n",
    "a += 3\n",
    "request_disk = 2GB\n",
    "priority = $(Process)\n",
    "max_retries = 2\n",
    "retry_until = ExitCode == 3\n",
    "periodic_release = NumHolds > 3\n",
    "periodic_hold = false\n",
    "on_exit_remove = ExitCode == 0\n",
    "notification = error\n",
    "batch_name = batch $(a:none)\n",
    "job_lease_duration = 1200\n",
    "output = out.$(Process).$(x:0)\nerror = err.$(Cluster)\n",
    "log = the.log\n",
    "log = sub/../the.$(ClusterId).log\n",
    "initialdir = sub\n",
    "should_transfer_files = YES\ntransfer_input_files = FOLDER/one.dat, FOLDER/data/\n",
    'transfer_output_remaps = "a = b.$(Process); c = d"\nshould_transfer_files = yes\n',
    "stream_output = true\n",
    "universe = vanilla\n",
    "universe = local\n",
    "universe = scheduler\n",
    "universe = parallel\nmachine_count = 2\n",
    "universe = container\ncontainer_image = docker://image:tag\n",
    "universe = docker\ndocker_image = image:tag\n",
    "allowed_execute_duration = 60\nallowed_job_duration = 120\n",
    "concurrency_limits = a:2,b\n",
    "accounting_group = group.sub\n",
    "job_max_vacate_time = 20\nkill_sig = SIGINT\n",
    "submit_event_user_notes = notes $(Process)\n",
    "if true\n  c = yes\nelse\n  c = no\nendif\narguments = $(c)\n",
    "if defined a\n  if $(yes:1)\n    +WasSet = true\n  endif\nelif version >= 8.1.6\n  +WasSet = false\nendif\n",
    "if false\n arguments = never\n include : nowhere\n queue 7\nendif\n",
    ":if true\n:arguments = colon\n:endif\n",
    "include : included.inc\n",
    "include ifexist : nowhere.inc\n",
    "include ifexist : included.inc\n",
    "include : $(where:included).inc\n",
    "include command : /bin/sh script.sh\n",
    "include command into cached.inc : /bin/sh script.sh\n",
    "@include : included.inc\n",
    "warning : of no account\n",
    "if ! defined nothing\n  +Not = true\nendif\n",
    "if $(n:0)\n +If = 1\nelif true\n +If = 2\nelse\n +If = 3\nendif\n",
    "if version < 8.0.0\n +Old = true\nelif defined executable\n if true\n  +Old = false\n endif\nendif\n",
    "arguments = one # and two\n",
    "arguments = a \\\n  # b \\\n c\n",
    'submit_event_notes = \u00fcber \u2192 \U0001f600\n+Umlaut = "\u00e4 \u2192"\n',
    "include : /bin/sh script.sh |\n",
    "use_oauth_services =\n",
]
#: Queue statements.
QUEUES = [
    "queue\n",
    "Queue 2\n",
    "QUEUE   $(howmany:3)\n",
    "queue 1+1\n",
    "iterate 2\n",
    "queue in (a b c)\n",
    "queue item in (a, b c)\n",
    "queue item in a b, c\n",
    "queue 2 item in [1:] (a b c)\n",
    "queue item in [::2] (a b c d e)\n",
    "queue item in [:-1] (a b c)\n",
    "queue item in (\n  a\n  # a comment\n  b c\n\n  queue\n)\n",
    "queue item from (\na b\n\n  c # d\n#e\n)\n",
    "queue x, y from (\n  1, 2\n  3 4 and more\n  5\n  \\six seven\n)\n",
    "queue x,y from (\n  1, \\\n  2\n  3,4\n)\n",
    "queue x y from rows.txt\n",
    "queue x,y from [1:3] rows.txt\n",
    "queue 2 x, y from /bin/sh script.sh |\n",
    "queue item matching *.dat\n",
    "queue item matching files (*.dat *.txt)\n",
    "queue item matching files [0:1] *.dat\n",
    "queue item matching dirs s*\n",
    "queue item matching any (\n  s*\n  *.dat\n)\n",
    "queue item matching files (nothing* *.dat)\n",
    "queue 1.5\n",
    "queue true\n",
    "queue 2 in a b\n",
    "queue item in [-2:] (a b c)\n",
    "queue item in [-3:-1] (a b c d)\n",
    "queue item in [1] (a b c)\n",
    "queue item in [-1] (a b c)\n",
    "queue item from [-2:] (\n  a\n  b\n  c\n)\n",
    "queue item from [1:] /bin/sh script.sh |\n",
    'queue item from "/bin/sh script.sh" |\n',
    "queue x,y from sub/../rows.txt\n",
    "queue 2 item matching [:-1] *.dat\n",
    "queue item matching any [::2] (s* *.dat *.txt)\n",
    "queue item from (\n  a \\\n# inside \\\n  b\n  c\n)\n",
]


@dataclass(frozen=True)
class Generated:
    """A file, and a file for each of its queue statements: the commands above it, and no other queue statement."""

    whole: str
    blocks: list[str]


def prepare(folder: Path) -> None:
    """Make the files that generated files name."""
    (folder / "sub").mkdir()
    (folder / "data").mkdir()
    for name in ("one.dat", "two.dat"):
        (folder / name).write_text("1\n")
    (folder / "rows.txt").write_text("1 2\n\n# 3, 4\n  5,6\n)7\n8 9 10\n")
    (folder / "included.inc").write_text("a = included\n+Included = true\nif true\n b = in an if\nendif\n")
    (folder / "script.sh").write_text("echo a = 1\necho b = 2\n")


def generate(seed: int, folder: Path) -> Generated:
    """Return the file of this seed, to be submitted in `folder`."""
    rng = random.Random(seed)
    commands = "executable = /bin/sleep\ntransfer_executable = false\n"
    whole, blocks = commands, []
    for _ in range(rng.choice((1, 2, 2, 3))):
        part = "".join(rng.choice(COMMANDS) for _ in range(rng.randint(1, 7))).replace("FOLDER", str(folder))
        queue = rng.choice(QUEUES)
        commands += part
        whole += part + queue
        blocks.append(commands + queue)
    if rng.random() < 0.3:
        whole = whole.rstrip("\n")  # no newline at the end of the file
    return Generated(whole, blocks)
