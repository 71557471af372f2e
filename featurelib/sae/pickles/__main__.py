"""Read the pickle FILE within limits and leave in FOLDER what it holds, or print one sentence why not."""

from __future__ import annotations

import sys
from pathlib import Path

from .archive import opened
from .flatten import Flat
from .handover import hand_over
from .limits import MIB, REFUSED, allowance, limit_self, memory
from .machine import Machine
from .values import Refused, shown


def main(file: Path, folder: Path) -> int:
    """The exit code: 0, or REFUSED with a printed sentence that goes on where the file's name ends."""
    size = file.stat().st_size
    limit_self(size)
    # said beforehand: there may be no memory left to say it
    too_large = f"asks for more than the {memory(size) // MIB} MiB of memory that its size allows; nothing was loaded."
    try:
        with opened(file, size) as (pickled, records):
            flat = Flat(Machine(records.check).run(pickled))
            hand_over(flat, records, folder, allowance(size))
    except Refused as refused:
        sentence = str(refused)
    except MemoryError:
        sentence = too_large
    except OSError as error:
        sentence = f"cannot be read or handed over ({shown(error)}); see that the temporary folder has room for it."
    else:
        return 0
    sys.stdout.buffer.write(sentence.encode("utf-8", "replace"))
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
