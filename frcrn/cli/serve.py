"""`frcrn serve`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec

from frcrn.cli.common import add_runtime_option, compute_on_one_thread, show_log
from frcrn.config import FOR_RECORDINGS, FOR_STREAMS

DESCRIPTION = """Serve a page and an HTTP and WebSocket interface that remove noise from files and streams.
Without --host, only programs and browsers on this machine reach it."""

EPILOG = """examples:
  frcrn serve                                       then open http://127.0.0.1:8000
  frcrn serve default path/to/model --port 9000     two models to choose from
  FRCRN_AUTH=anna:secret frcrn serve --host 0.0.0.0
  curl --data-binary @noisy.wav 'http://127.0.0.1:8000/v1/enhance?name=noisy.wav' -o clean.wav

The interface is described at /openapi.json, and in docs/service.md. Ctrl-C stops the server."""

NEEDS = ("starlette", "uvicorn", "websockets", "python_multipart")
VARIABLE = "FRCRN_AUTH"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a page, HTTP and WebSocket",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="models to offer: names, model directories or checkpoint files (default: the bundled ones)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="the address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="P", help="the port to listen on; 0 takes a free one (default: 8000)"
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help=f"ask for this user and password (default: the variable {VARIABLE}, or none)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers may call the server, such as that of a proxy before it (localhost "
        "always may; without this option and --auth, so may IP addresses and this machine's own name)",
    )
    add_runtime_option(parser)
    _add_limits(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print log messages")
    parser.set_defaults(run=run)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    slow = "Uploads slower than 1 kB a second after their first minute, and connections silent for a minute, are ended."
    group = parser.add_argument_group("limits", slow)
    group.add_argument(
        "--workers", type=int, metavar="N", help="files enhanced at the same time (default: one per core, at most 4)"
    )
    group.add_argument("--queue", type=int, default=16, metavar="N", help="files that wait (default: 16)")
    group.add_argument("--streams", type=int, default=32, metavar="N", help="streams at the same time (default: 32)")
    group.add_argument("--max-mb", type=float, default=200, metavar="MB", help="size of one file (default: 200)")
    group.add_argument("--max-minutes", type=float, default=60, metavar="M", help="length of one file (default: 60)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise ImportError(f'frcrn serve needs {", ".join(missing)}: pip install "frcrn[serve]"')
    from frcrn.machine import available_cores
    from frcrn.serve.limits import Limits
    from frcrn.serve.models import Models
    from frcrn.serve.run import listen, serve

    if args.verbose:
        show_log()
    login = args.auth if args.auth is not None else os.environ.get(VARIABLE)
    if login is not None and (not login.partition(":")[2] or login.startswith(":")):
        raise ValueError("--auth: expected USER:PASSWORD, both not empty")
    limits = Limits(
        megabytes=args.max_mb,
        minutes=args.max_minutes,
        workers=min(4, available_cores()) if args.workers is None else args.workers,
        queue=args.queue,
        streams=args.streams,
    )
    compute_on_one_thread()
    listening = listen(args.host, args.port)
    models = Models(args.models or [FOR_RECORDINGS, FOR_STREAMS], args.runtime, args.device, args.precision)

    def ready() -> None:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"frcrn: http://{shown}:{port} (Ctrl-C stops it)", flush=True)
        if login is None and not host.startswith("127.") and host != "::1":
            print("frcrn: everybody who reaches this address can use it; --auth asks for a password", file=sys.stderr)

    serve(models, limits, listening, login=login, hosts=args.allow_host, ready=ready)
    return 0
