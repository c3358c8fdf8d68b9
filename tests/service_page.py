"""The service in a process of its own, and what scripts on its page begin with."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BEGIN = """
const at = (id) => document.getElementById(id);
const { queue, player, stage } = await import("/static/app.js");
const until = async (ready) => {
  for (const end = Date.now() + 20000; !ready(); ) {
    if (Date.now() > end) throw new Error(`in vain: ${ready}`);
    await new Promise((good) => setTimeout(good, 20));
  }
};
const idle = () => until(() => !queue.recordings.some((each) => each.busy));
const drawn = () => ["before", "after", "removed"].every((name) => stage.pictures[name]?.latest);
const shown = () => until(() => player.seconds && drawn());
"""


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """Serve on a free port of this machine; give the address."""
    command = [sys.executable, "-m", "frcrn", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"http://[\w.:]+", line)
            assert found, f"the service did not begin: {line}"
            yield f"{found[0]}/"
        finally:
            server.terminate()
