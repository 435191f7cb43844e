"""``python -m helpers.kernel install [--prefix PREFIX]`` makes the kernel known to Jupyter."""

import argparse
import sys
from pathlib import Path

from helpers.kernel import spec


def main(arguments: list[str] | None = None) -> None:
    """Install the kernelspec, or serve as the kernel that Jupyter starts."""
    parser = argparse.ArgumentParser(prog="python -m helpers.kernel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="write the kernelspec")
    install.add_argument(
        "--prefix", type=Path, default=Path(sys.prefix), help="default: %(default)s"
    )
    serve = commands.add_parser("serve", help="run the kernel (Jupyter does this)")
    serve.add_argument("--connection-file", required=True)
    chosen = parser.parse_args(arguments)
    if chosen.command == "install":
        print(f"{spec.NAME} is in {spec.install(chosen.prefix)}")
    else:
        from helpers.kernel.app import serve as run

        run(chosen.connection_file)


if __name__ == "__main__":
    main()
