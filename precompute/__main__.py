"""The command line, as python -m precompute or feature-browser: build, classify, serve, status, verify and others."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from featurelib import __version__, installation
from featurelib.schema import RENAMED, STAGES, Refusal
from precompute.build import config as configuration
from precompute.build.flag import flag
from precompute.build.job import Say

OTHER_FLAGS = ["--config", "--data", "--from", "--layout", "--only", "--to"]
SAE_FLAGS = ("k", "threshold", "architecture")
"""What some files leave open."""
LAYOUTS = ("saelens", "sparsify", "neuronpedia")
REFUSED = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one sentence instead of the usage text; an unknown flag names the nearest one."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if message.startswith("unrecognized arguments") and unknown[0].startswith("-"):
            flags = [flag(name) for name in configuration.fields()] + OTHER_FLAGS
            near = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1)
            mend = f"did you mean {near[0]}?" if near else "see --help for those there are."
            message = f"{unknown[0]} is not a flag; {mend}"
        raise Refusal(message)


def parser() -> argparse.ArgumentParser:
    """The flags of every command; those of build are the fields of BuildConfig."""
    top = _Parser(
        prog=installation.command("").strip(),
        description="Turn a corpus into a run that the dashboard shows.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"feature-browser {__version__}")
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Parser)
    build = commands.add_parser("build", help="build a run, or go on with one", allow_abbrev=False)
    build.add_argument("source", nargs="?", help=configuration.fields()["source"].metadata["help"])
    build.add_argument("--config", type=Path, help="YAML file with the same keys as the flags; flags win")
    for name, field in configuration.fields().items():
        if name != "source":
            _add_flag(build, name, field.metadata)
    for spelled, dest, text in (
        ("--only", "only", f"build only this stage: one of {', '.join(STAGES)}"),
        ("--from", "start", "make everything again from this stage on"),
        ("--to", "end", "build no further than this stage"),
    ):
        build.add_argument(spelled, dest=dest, type=_stage_name, metavar="STAGE", help=text)
    status = commands.add_parser("status", help="the stages of every run")
    status.add_argument("name", nargs="?", help="one run (default: all)")
    verify = commands.add_parser("verify", help="compare every file of a run with its manifest")
    verify.add_argument("name", help="the run")
    share = commands.add_parser("share", help="copy a run without the texts and embeddings that another one has too")
    share.add_argument("name", help="the run")
    share.add_argument("other", help="the run that has the same texts and embeddings")
    share.add_argument("folder", type=Path, help="the folder of runs into which the copy goes")
    share.add_argument(
        "--without", action="append", default=[], type=_stage_name, metavar="STAGE", help="leave out what it made"
    )
    for command in (build, status, verify, share):
        command.add_argument("--data", type=Path, help="folder of the runs (default: data/ of the project, or ./data)")
    serve = commands.add_parser("serve", help="show the runs of a folder in the browser", allow_abbrev=False)
    serve.add_argument("data", nargs="?", type=Path, help="folder of the runs (default: as above)")
    _add_classify(commands)
    _add_sae_commands(commands)
    return top


def _stage_name(name: str) -> str:
    """A stage's name as it was options, which may be its first name; see `_present_names`."""
    if name not in (*STAGES, *RENAMED):
        near = difflib.get_close_matches(name, STAGES, n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"stages: {', '.join(STAGES)}."
        raise argparse.ArgumentTypeError(f"there is no stage '{name[:64]}'; {mend}")
    return name


def _present_names(names: Sequence[str | None], say: Say) -> list[str | None]:
    """The present names of stages; a note for each that was renamed since it was called as it is here."""
    for name in dict.fromkeys(names):
        if name in RENAMED:
            say(f"note: the stage '{name}' is now called '{RENAMED[name]}'")
    return [RENAMED.get(name, name) if name else None for name in names]


def _add_classify(commands: Any) -> None:
    classify = commands.add_parser(
        "classify", help="which labels features predict, beside embeddings, words and chance", allow_abbrev=False
    )
    classify.add_argument("config", nargs="?", type=Path, help="YAML file with the same keys as the flags; flags win")
    classify.add_argument("--run", help="the run whose texts are classified")
    several: dict[str, Any] = {"action": "append", "default": None}
    classify.add_argument("--label", **several, metavar="COLUMN", help="a column of labels; may be given several times")
    classify.add_argument(
        "--representation",
        **several,
        help="what a classifier sees, such as features+binary or embedding; several times",
    )
    classify.add_argument("--classifier", **several, help="logistic or tree; several times (default: both)")
    classify.add_argument("--split", metavar="COLUMN", help="column that calls texts train and test (default: drawn)")
    classify.add_argument("--together", metavar="COLUMN", help="column whose values are never on both sides")
    classify.add_argument(
        "--transfer", metavar="COLUMN", help="train on the texts of each of its values, and test on those of every one"
    )
    classify.add_argument(
        "--test-run", metavar="RUN", help="another run with the same embedder and SAE whose texts test too"
    )
    classify.add_argument("--name", help="name of the set of experiments (default: the label's)")
    classify.add_argument("--folds", type=int, help="parts of the cross-validation that finds settings (default 3)")
    classify.add_argument(
        "--resamples", type=int, metavar="N", help="fit each model on N other divisions of its training texts too"
    )
    classify.add_argument("--seed", type=int, help="seed of everything that is drawn")
    half = classify.add_mutually_exclusive_group()
    half.add_argument("--extract-only", action="store_true", help="of a MOSAIC file, only build the runs")
    half.add_argument("--classify-only", action="store_true", help="of a MOSAIC file, build no run")
    classify.add_argument("--data", type=Path, help="folder of the runs (default: data/ of the project, or ./data)")


CLASSIFY_FLAGS = (
    *("run", "label", "representation", "classifier", "split", "together", "transfer", "test_run"),
    *("name", "folds", "resamples", "seed"),
)


def _classify(options: argparse.Namespace) -> int:
    from precompute.classify.classify_config import config_of, read_yaml
    from precompute.classify.experiments import classify
    from precompute.classify.mosaic import is_mosaic

    keys = read_yaml(options.config) if options.config else {}
    if is_mosaic(keys):
        return _classify_mosaic(keys, options)
    flags = {name: getattr(options, name) for name in CLASSIFY_FLAGS}
    keys |= {name: value for name, value in flags.items() if value is not None}
    classify(config_of(keys), options.data, say)
    return 0


def _classify_mosaic(keys: dict[str, Any], options: argparse.Namespace) -> int:
    from precompute.build.build import build
    from precompute.build.stage_selection import Span
    from precompute.classify.experiments import classify
    from precompute.classify.mosaic import read_mosaic

    given = [name for name in CLASSIFY_FLAGS if getattr(options, name) is not None]
    if given:
        raise Refusal(f"{flag(given[0])} is given beside a MOSAIC file; write it there, or leave it out.")
    plan = read_mosaic(keys)
    for sentence in plan.said:
        say(f"note: {sentence}")
    for planned in plan.runs:
        if planned.build is not None and not options.classify_only:
            build(configuration.BuildConfig(**planned.build), options.data, Span(end="summarise"), say)
        if not options.extract_only:
            classify(planned.classify, options.data, say)
    return 0


def _add_sae_commands(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="say what an SAE's files are; nothing in them is run")
    export = commands.add_parser("export", help="write an SAE as another library does")
    for command in (inspect, export):
        command.add_argument("sae", help=configuration.fields()["sae"].metadata["help"].partition(": ")[2])
        for name in SAE_FLAGS:
            _add_flag(command, name, configuration.fields()[name].metadata)
    export.add_argument("folder", type=Path, help="where to write it; must be new or empty")
    export.add_argument("--layout", required=True, choices=LAYOUTS, help="whose layout")


def _add_flag(command: argparse.ArgumentParser, name: str, metadata: Any) -> None:
    value_type = configuration.plain_type(name)
    if value_type is bool:
        command.add_argument(flag(name), action=argparse.BooleanOptionalAction, default=None, help=metadata["help"])
    else:
        choices = metadata["choices"] or None
        command.add_argument(flag(name), type=value_type, choices=choices, help=metadata["help"])


def say(sentence: str) -> None:
    """Print one sentence, above any progress bar."""
    from tqdm import tqdm

    tqdm.write(sentence, file=sys.stdout)
    sys.stdout.flush()


def read_keys(options: argparse.Namespace) -> dict[str, Any]:
    """Join YAML file and flags into the keys of a build; an existing .yaml given as SOURCE is the file of keys."""
    keys: dict[str, Any] = {}
    source, yaml_file = options.source, options.config
    if yaml_file is None and source and Path(source).suffix in (".yaml", ".yml") and Path(source).is_file():
        yaml_file, source = Path(source), None
    if yaml_file is not None:
        if not yaml_file.is_file():
            raise Refusal(f"there is no file {yaml_file}; give --config a YAML file of build keys.")
        from precompute.build.config_file import read_yaml

        keys = read_yaml(yaml_file)
    flags = {name: getattr(options, name) for name in configuration.fields() if name != "source"} | {"source": source}
    keys |= {name: value for name, value in flags.items() if value is not None}
    for name, mend in (
        ("source", "give a file, a folder or a dataset id"),
        ("name", "give the run a name with --name NAME"),
    ):
        if not keys.get(name):
            raise Refusal(f"the build has no {name}; {mend}.")
    return keys


def run(arguments: Sequence[str]) -> int:
    """Carry out one command; return its exit code."""
    if "serve" in arguments[:1]:
        return _serve(arguments)
    options = parser().parse_args(arguments)
    options.data = getattr(options, "data", None) or installation.data_folder()
    if options.command == "build":
        from precompute.build.append.options import append_config
        from precompute.build.build import build
        from precompute.build.stage_selection import Span

        span = Span(*_present_names([options.only, options.start, options.end], say))
        keys = read_keys(options)
        appends = bool(keys.get("append"))
        for config in [append_config(keys, options.data)] if appends else configuration.one_each_layer(keys):
            build(config, options.data, span, say)
        return 0
    if options.command == "classify":
        return _classify(options)
    if options.command in ("inspect", "export"):
        return _read_sae(options)
    if options.command == "status":
        from precompute.commands.status import status

        return status(options.data, options.name, say)
    if options.command == "share":
        from precompute.commands.share import share

        without = _present_names(options.without, say)
        return share(options.data, options.name, options.other, options.folder, without, say)
    from precompute.commands.verify import verify

    return verify(options.data, options.name, say)


def _serve(arguments: Sequence[str]) -> int:
    from precompute.commands.serve import check_options, serve

    first = next((number for number, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    if arguments[first : first + 1] in (["--help"], ["--version"]):
        first = len(arguments)
    options = parser().parse_args(arguments[:first])
    return serve(options.data or installation.data_folder(), check_options(arguments[first:]))


def _read_sae(options: argparse.Namespace) -> int:
    from featurelib.sae.formats.checkpoint import LoadOptions
    from precompute.commands.export import export
    from precompute.commands.inspect import inspect

    load_options = LoadOptions(*(getattr(options, name) for name in SAE_FLAGS))
    if options.command == "inspect":
        return inspect(options.sae, load_options, say)
    return export(options.sae, options.folder, options.layout, load_options, say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0, or 2 with one sentence on standard error, or 130 when interrupted."""
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except Refusal as refusal:
        complaint = str(refusal)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except OSError as error:
        complaint = _disk_complaint(error)
    print(f"error: {complaint}", file=sys.stderr)  # noqa: T201
    return REFUSED


def _disk_complaint(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space is left on the disk{where}; free some and give the same command again, it goes on where it was."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return (
            f"a file may not be read or written{where}: {error.strerror}; mend its permissions or use another --data."
        )
    reason = error.strerror or " ".join(str(error).split())[:160] or type(error).__name__
    return f"the system refused a file operation{where}: {reason}; mend that and give the same command again."


if __name__ == "__main__":
    sys.exit(main())
