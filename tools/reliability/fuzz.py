"""Coverage-guided fuzzing of the two readers of text: UCI's format and the configuration.

    python -m tools.reliability.fuzz --write

Each is given what atheris makes of the files in `corpus/`; what a reader may do with it is in
`fuzz_targets.py`. An input that breaks this is left in the current folder, as `crash-...`: once
the defect is repaired, it belongs into `corpus/`.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from tools.reliability import table

NAME = "fuzz"
CORPUS = pathlib.Path(__file__).parent / "corpus"
# What is to be covered. All else is imported as it is: TensorFlow would take minutes.
INSTRUMENTED = [
    "reproduce.harness.config",
    "omegaconf",
    "tfoverparam.datasets.gas_sensor_drift.text_format",
    "yaml",
]
TITLES = {
    "text_format": "fuzzed text in UCI's format",
    "configuration": "fuzzed configurations and `--set`",
}
SECONDS_PER_INPUT = 10
LARGEST_INPUT = {"text_format": 6000, "configuration": 1000}  # bytes; a measurement has 2000


def main(arguments=None):
    """The command."""
    parser = table.parser(NAME, __doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for each target (default: 10)")
    parser.add_argument("--target", choices=TITLES, help="this one only, in this process")
    options = parser.parse_args(arguments)
    if options.target:
        fuzz(options.target, options.minutes)
    rows = [measure(target, options.minutes) for target in TITLES]
    table.report(NAME, rows, options.write, f"--minutes {options.minutes:g}")


def measure(target, minutes):
    """A `table.Row`: how many inputs were tried, and whether one of them broke the reader."""
    print(f"{target}: {minutes:g} minutes", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"tools.reliability.{NAME}"]
    done = subprocess.run(
        [*command, "--target", target, "--minutes", str(minutes)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    log = done.stdout + done.stderr
    executions = re.search(r"stat::number_of_executed_units: (\d+)", log)
    if executions is None:
        sys.exit(log)
    broken = done.returncode != 0
    if broken:
        print(log[-5000:], file=sys.stderr)
    seeds = len(list((CORPUS / target).iterdir()))
    covered, corpus = re.findall(r"cov: (\d+) .*?corp: (\d+)", log)[-1]
    found = f"{covered} branches covered, {corpus} inputs kept from {seeds} seeds"
    tried = int(executions[1])
    return table.Row(f"{TITLES[target]}, {minutes:g} minutes", tried, tried - broken, found)


def fuzz(target, minutes):
    """Fuzzes in this process, and ends it: with 0 if nothing was found."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tools.reliability.fuzz_targets import TARGETS
    with tempfile.TemporaryDirectory() as folder:  # for what is found to be of interest
        atheris.Setup(
            [
                NAME,
                folder,
                str(CORPUS / target),
                f"-max_total_time={60 * minutes:.0f}",
                f"-timeout={SECONDS_PER_INPUT}",
                f"-max_len={LARGEST_INPUT[target]}",
                "-print_final_stats=1",
            ],
            TARGETS[target],
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
