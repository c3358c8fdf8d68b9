"""`frcrn enhance`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import (
    add_band_option,
    add_model_option,
    add_runtime_option,
    choose_threads,
    named,
    show_log,
)
from frcrn.config import FOR_RECORDINGS

if TYPE_CHECKING:
    from frcrn.inference.one_file import Outcome, Settings
    from frcrn.inference.paths import Job
    from frcrn.inference.voice_activity import RecordingLabels

DESCRIPTION = """Remove noise from audio files: wav, flac, ogg, opus or mp3, at any rate, any number of channels;
with the extra media also m4a, mp4, mov, mkv, webm, wma and amr.
One file goes to a file; several files or folders go into a folder, with the same
subfolders, names and formats.
Failed files are reported and do not stop the others. Inputs are never overwritten, other files
in a folder only where a run made them, or with --force."""

EPILOG = """examples:
  frcrn enhance noisy.wav -o clean.wav
  frcrn enhance noisy.wav                           writes noisy.clean.wav beside it
  frcrn enhance talk.mp4 -o clean.mp4               the picture is copied as it is
  frcrn enhance - -o - < noisy.flac > clean.flac
  frcrn enhance recordings/ -o cleaned/             same subfolders, names and formats
  frcrn enhance recordings/ -o cleaned/             again: only new and changed files
  frcrn enhance 'calls/**/*.mp3' -o cleaned/        a pattern; quote it
  frcrn enhance --from-file list.txt -o cleaned/    one path a line; - reads them from standard input
  frcrn enhance recordings/ -o cleaned/ --dry-run   print what would be done
  frcrn enhance recordings/ -o cleaned/ --json      one JSON object per file, and a summary
  frcrn enhance s3://b/raw -o s3://b/clean --ray ADDRESS     a corpus on a Ray cluster

folders:
  OUT/frcrn-manifest.jsonl holds hashes of each input, of the model with its options, and of each output. A file is
  enhanced again if one of them has changed, or with --force. The same command continues an interrupted run.
  OUT/failures.csv lists the files that failed in the last run, with reasons; it is absent if none failed.

exit codes:
  0 all files enhanced   2 something failed, or wrong usage   130 interrupted (Ctrl-C)   143 terminated"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "enhance",
        help="remove noise from audio files",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="*", metavar="IN", help="an audio file, a folder with such files, or a pattern")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the file or folder to write, - for standard output (default: NAME.clean in the folder of IN)",
    )
    add_model_option(parser, FOR_RECORDINGS)
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="how much noise to remove, 0 to 1 (default: 1.0)"
    )
    parser.add_argument(
        "--max-attenuation-db", type=float, metavar="DB", help="attenuate by at most this many dB (default: unlimited)"
    )
    parser.add_argument("--residual", action="store_true", help="write the removed noise instead of the speech")
    parser.add_argument("--mono", action="store_true", help="mix to one channel (default: enhance each channel)")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="replace NaN and Inf by zeros; enhance the readable part of truncated files",
    )
    parser.add_argument("--track", type=int, metavar="N", help="the audio track of a video to enhance (default: 1)")
    add_runtime_option(parser)
    add_band_option(parser)
    parser.add_argument(
        "--passes",
        type=int,
        metavar="N",
        help="run the network N times, each time with its frames elsewhere, and average: a little better, N times the "
        "time (default: what the model asks for: 2 for the bundled ones, else 1)",
    )
    parser.add_argument(
        "--normalise", type=float, metavar="LUFS", help="set the loudness, such as -16 (default: unchanged)"
    )
    parser.add_argument(
        "--vad",
        type=named,
        metavar="CSV",
        help="also write where speech is, a row for each stretch with file, start, end and its mean probability;"
        " for models that say so, such as an rnnoise",
    )
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    loud.add_argument("-v", "--verbose", action="store_true", help="print log messages")
    _add_many(parser)
    parser.set_defaults(run=run)


def _add_many(parser: argparse.ArgumentParser) -> None:
    """Add the options for folders, lists and corpora."""
    many = parser.add_argument_group("many files")
    many.add_argument("--from-file", metavar="LIST", help="read more inputs from a file, one a line")
    many.add_argument(
        "-j", "--jobs", type=int, metavar="N", help="processes (default: one per core, at most 8; 1 for few files)"
    )
    many.add_argument("--force", action="store_true", help="redo finished files, and replace others of their names")
    many.add_argument(
        "--dry-run", action="store_true", help="open the files and print what would be done; write nothing"
    )
    many.add_argument("--json", action="store_true", help="print one JSON object per file")
    many.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="enhance a corpus on a Ray cluster (without ADDRESS: on this machine); IN and OUT may be URLs such as"
        " s3://bucket/folder, see docs/scale.md",
    )


def run(args: argparse.Namespace) -> int:
    """Enhance everything, naming what failed."""
    from frcrn.inference.paths import plan, plan_beside

    if args.verbose:
        show_log()
    if args.jobs is not None and args.jobs < 1:
        raise ValueError(f"--jobs {args.jobs}: accepted are whole numbers from 1")
    settings, listed = _settings(args), _listed(args.from_file)
    if not args.inputs and not listed:
        raise ValueError("nothing to enhance: give files, folders or patterns, or a list with --from-file")
    if args.ray is not None:
        return _on_ray(args, settings)
    choose_threads()
    if "-" in (args.output, *args.inputs):
        return _through(args, settings)
    if args.output is None:
        plans = plan_beside([*args.inputs, *listed], force=args.force)
    else:
        plans = [(plan(args.inputs, args.output, listed), Path(args.output))]
    sources = [job.source for jobs, _ in plans for job in jobs]
    if args.vad is not None:
        _refuse_inside(args.vad, (job.target for jobs, _ in plans for job in jobs))
    labels = None if args.vad is None else _labels(args, sources, _outputs(plans))
    code = max(_work(args, settings, jobs, out, labels) for jobs, out in plans)
    if (
        labels
        and (count := labels.write(args.vad, sources, force=args.force)) is not None
        and not args.quiet
        and not args.json
    ):
        print(f"{args.vad}: {count} stretches of speech")
    return code


def _outputs(plans: Iterable[tuple[Sequence[Job], Path]]) -> Iterator[Path]:
    """Yield all files that are to be written."""
    from frcrn.cli.enhance_log import FAILURES
    from frcrn.inference.manifest import NAME

    for jobs, out in plans:
        yield from (job.target for job in jobs)
        yield from (out, out / NAME, out / FAILURES)


def _refuse_inside(name: str, targets: Iterable[Path]) -> None:
    """Refuse a table in a folder of the name of a file that is to be written."""
    above = {os.path.realpath(parent) for parent in Path(name).absolute().parents}
    for target in targets:
        if os.path.realpath(target) in above:
            raise ValueError(f"--vad {name}: {target} is the output, and no folder; choose another file")


def _labels(args: argparse.Namespace, sources: Sequence[Path], outputs: Iterable[Any]) -> RecordingLabels | None:
    """Open what finds speech, where the table that it is for may be written; a dry run needs only to know that."""
    from frcrn.inference.opening import open_network
    from frcrn.inference.voice_activity import RecordingLabels, refuse_taken, require_speech

    for source in sources:
        if source.exists() and not (source.is_file() or source.is_dir()):
            raise ValueError(f"--vad: {source} can be read once only; name a file")
    lists = [sys.stdin if args.from_file == "-" else args.from_file] if args.from_file else []
    refuse_taken(args.vad, [*sources, *lists], outputs, args.model, force=args.force)
    if args.dry_run:
        return None
    network = require_speech(open_network(args.model, args.runtime, 1, live=True, precision=args.precision), args.model)
    return RecordingLabels(network, repair=args.repair, track=args.track)


def _labelled(outcome: Outcome, labels: RecordingLabels) -> Outcome:
    """Find where speech is in a recording that is done; whatever goes wrong with it is its outcome."""
    if outcome.error is None:
        try:
            labels.add(outcome.job.source)
        except Exception as error:  # noqa: BLE001 - the other files go on
            return outcome._replace(error=error)
    return outcome


def _on_ray(args: argparse.Namespace, settings: Settings) -> int:
    """Enhance a corpus between two places on a cluster."""
    from frcrn.cli.corpus_log import enhance

    if (
        len(args.inputs) != 1
        or args.output is None
        or args.from_file
        or args.dry_run
        or args.vad is not None
        or "-" in (*args.inputs, args.output)
    ):
        raise ValueError(
            "--ray takes one IN and -o OUT, each a path or URL, without --from-file, --dry-run, --vad and -"
        )
    return enhance(args, settings)


def _through(args: argparse.Namespace, settings: Settings) -> int:
    """Enhance one recording from standard input, to standard output, or both."""
    from frcrn.files import refuse_written_over
    from frcrn.inference.one_file import through

    if len(args.inputs) != 1 or args.from_file or args.json or args.dry_run:
        raise ValueError("- stands for one recording; give one input, without --from-file, --json and --dry-run")
    output = "-" if args.output is None else args.output
    if output == "-" and sys.stdout.isatty():
        raise ValueError("standard output is a terminal; send the sound to a file or a program, or name a file with -o")
    source = sys.stdin.buffer if args.inputs[0] == "-" else args.inputs[0]
    target = sys.stdout.buffer if output == "-" else output
    refuse_written_over(target, [source], "standard output" if output == "-" else output)
    if args.vad is None:
        through(source, target, settings)
        return 0
    if args.inputs[0] == "-":
        raise ValueError("--vad: standard input can be read once only; name a file")
    sources = [Path(args.inputs[0])]
    labels = _labels(args, sources, [target])
    through(source, target, settings)
    if labels:
        labels.add(sources[0])
        labels.write(args.vad, sources, force=args.force)
    return 0


def _work(
    args: argparse.Namespace, settings: Settings, jobs: Sequence[Job], output: Path, labels: RecordingLabels | None
) -> int:
    from frcrn.cli.enhance_log import Log, rehearse
    from frcrn.inference import folder as batch
    from frcrn.inference.manifest import Manifest

    folder = _folder(output, jobs)
    manifest = None if folder is None else Manifest(folder)
    if args.dry_run:
        mark = batch.mark_of(settings.identity())
        work = batch.tasks(jobs, mark, manifest, force=args.force)
        return rehearse(work, as_json=args.json, repair=args.repair)
    with Log(jobs, folder, as_json=args.json, quiet=args.quiet) as log:
        outcomes = batch.enhance_all(jobs, settings, manifest, force=args.force, count=args.jobs, progress=log.partly)
        with closing(outcomes):
            for outcome in outcomes:
                log.add(_labelled(outcome, labels) if labels else outcome)
    return log.code


def _folder(output: Path, jobs: Sequence[Job]) -> Path | None:
    """Return the folder that gets a manifest; none where one file goes to a file, or nothing can be done."""
    if all(job.problem for job in jobs) or (len(jobs) == 1 and jobs[0].target == output):
        return None
    return output


def _settings(args: argparse.Namespace) -> Settings:
    from dataclasses import fields

    from frcrn.inference.one_file import Settings

    return Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})


def _listed(source: str | None) -> list[Path]:
    from frcrn.inference.paths import read_list

    if source is None:
        return []
    if source == "-":
        return read_list(sys.stdin)
    with open(source, encoding="utf-8", errors="surrogateescape") as lines:
        return read_list(lines)
